"""A poller keeps its slots, hands on what it read, and fails alone."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field, replace

import pytest

from exporter.config.schema import Config
from exporter.errors import Reason, ScrapeError
from exporter.records import NS, NVML, Gpu, GpuReading, Instant, Reading
from exporter.sources.fetch import Fetcher
from exporter.sources.limits import Room
from exporter.sources.look import LARGE, look_at
from exporter.sources.poller import FEW, GROUP, Poller, spread
from exporter.sources.target import Basic, Bearer, Kind, Target, TlsFiles, targets
from exporter.waiting import Turns
from tests.sources.servers import PAGE, TARGET, http, says, serve, target


@dataclass
class Hand:
    """A clock that moves when it is slept on, and stops a poller after so many sleeps."""

    ns: int = 1000
    slots: list[int] = field(default_factory=list)
    stop_after: int = 4

    def now(self) -> Instant:
        return Instant(self.ns, 10**18 + self.ns)

    async def sleep_until(self, monotonic_ns: int) -> None:
        if len(self.slots) == self.stop_after:
            raise asyncio.CancelledError
        self.slots.append(monotonic_ns)
        self.ns = max(self.ns, monotonic_ns)


@dataclass
class Ledger:
    """A sink that writes down what it got."""

    refuse: Exception | None = None
    seen: list[tuple[Reading | GpuReading, float]] = field(default_factory=list)
    refused: list[tuple[str, Instant, float, Reason]] = field(default_factory=list)

    async def good(self, reading: Reading | GpuReading, seconds: float) -> None:
        if self.refuse:
            raise self.refuse
        self.seen.append((reading, seconds))

    def failed(self, target: str, at: Instant, seconds: float, error: ScrapeError) -> None:
        self.refused.append((target, at, seconds, error.reason))

    @property
    def read(self) -> list[tuple[Reading, float]]:
        return [(reading, seconds) for reading, seconds in self.seen if isinstance(reading, Reading)]

    @property
    def gpus(self) -> list[GpuReading]:
        return [reading for reading, _ in self.seen if isinstance(reading, GpuReading)]

    @property
    def reasons(self) -> list[Reason]:
        return [reason for *_, reason in self.refused]


@dataclass
class Script:
    """Answers of a target, one after the other; the last one for ever. Each takes `takes` ns."""

    answers: list[bytes | BaseException]
    clock: Hand
    takes: int = 0
    asked: list[Target] = field(default_factory=list)

    async def get(self, target: Target) -> bytes:
        self.asked.append(target)
        self.clock.ns += self.takes
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer


def poller(*answers: bytes | BaseException, takes: int = 0, engine: str = "auto") -> tuple[Poller, Hand, Ledger]:
    clock, sink = Hand(), Ledger()
    target = replace(TARGET, engine=engine)
    look = look_at(target, Script(list(answers), clock, takes), clock, FakeNvml, Room(), Turns())
    return Poller(target, look, clock, sink, 0), clock, sink


async def test_a_reading_says_what_was_read_when_and_since_when() -> None:
    one, clock, sink = poller(PAGE + b"process_start_time_seconds 1.5e9\n", takes=NS)
    await one.poll_once()
    ((reading, seconds),) = sink.read
    assert (reading.target, reading.engine, reading.process_start, seconds) == (TARGET.name, "vllm", 1.5e9, 1.0)
    assert reading.at == clock.now() == Instant(NS + 1000, 10**18 + NS + 1000)
    assert {series.name: value for series, value in reading.samples.items() if ":" in series.name} == {
        "vllm:prompt_tokens_total": 5,
        "vllm:generation_tokens_total": 6,
    }


async def test_a_page_without_a_start_time_has_none() -> None:
    one, _, sink = poller(PAGE)
    await one.poll_once()
    assert sink.read[0][0].process_start is None


@pytest.mark.parametrize(
    ("takes", "expected"), [(0, [0, 1, 2, 3]), (1, [0, 1, 2, 3]), (15 * NS, [0, 2, 4, 6]), (40 * NS, [0, 3, 6, 9])]
)
async def test_slots_are_kept_and_missed_ones_skipped(takes: int, expected: list[int]) -> None:
    """Slots are start + offset + k intervals; a scrape that runs over them costs those slots and no more."""
    clock, sink = Hand(), Ledger()
    look = look_at(TARGET, Script([PAGE], clock, takes), clock, FakeNvml, Room(), Turns())
    one = Poller(TARGET, look, clock, sink, offset_ns=7)
    with pytest.raises(asyncio.CancelledError):
        await one.run()
    assert clock.slots == [1000 + 7 + k * 15 * NS for k in expected]
    assert len(sink.read) == 4


@pytest.mark.parametrize(
    ("answer", "engine", "reason"),
    [
        (ScrapeError(Reason.TIMEOUT, "late"), "auto", Reason.TIMEOUT),
        (b"", "vllm", Reason.EMPTY),
        (b"other_total 1\n", "auto", Reason.UNKNOWN_ENGINE),
        (b"other_total 1\n", "vllm", Reason.MISSING_SERIES),
        (b"vllm:prompt_tokens_total 5\n", "auto", Reason.MISSING_SERIES),
        (b"vllm:prompt_tokens_total 5\nvllm:generation", "auto", Reason.TRUNCATED),
        (PAGE, "no_such_engine", Reason.UNKNOWN_ENGINE),
        (ZeroDivisionError("a bug"), "auto", Reason.INTERNAL),
    ],
)
async def test_a_failed_scrape_is_a_reason_and_the_next_one_is_tried(
    answer: bytes | BaseException, engine: str, reason: Reason
) -> None:
    one, _, sink = poller(answer, PAGE, engine=engine)
    await one.poll_once()
    assert (sink.reasons, sink.read) == ([reason], [])
    await one.poll_once()
    assert len(sink.read) == (engine != "no_such_engine")


@pytest.mark.parametrize("error", [ScrapeError(Reason.SEVERAL_PROCESSES, "two"), KeyError("a bug")])
async def test_a_reading_the_sink_refuses_is_a_failed_scrape(error: Exception) -> None:
    one, _, sink = poller(PAGE)
    sink.refuse = error
    await one.poll_once()
    assert sink.reasons == [error.reason if isinstance(error, ScrapeError) else Reason.INTERNAL]


async def test_a_cancelled_scrape_changes_nothing() -> None:
    one, _, sink = poller(asyncio.CancelledError())
    with pytest.raises(asyncio.CancelledError):
        await one.poll_once()
    assert (sink.read, sink.refused) == ([], [])


async def test_another_engine_at_the_address_is_recognised() -> None:
    """The scrape that finds the old engine's counters gone fails, the next one reads the new engine."""
    other = PAGE.replace(b"vllm:", b"sglang:")
    one, _, sink = poller(PAGE, other, other)
    for _ in range(3):
        await one.poll_once()
    assert sink.reasons == [Reason.MISSING_SERIES]
    assert [reading.engine for reading, _ in sink.read] == ["vllm", "sglang"]


async def test_series_keep_their_identity_from_scrape_to_scrape() -> None:
    one, _, sink = poller(PAGE)
    await one.poll_once()
    await one.poll_once()
    first, second = (set(reading.samples) for reading, _ in sink.read)
    assert first == second


async def test_only_changes_are_logged_and_each_bug_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "exporter.sources")
    late, bug = ScrapeError(Reason.TIMEOUT, "late"), ZeroDivisionError("a bug")
    one, _, _ = poller(late, late, PAGE, PAGE, late, bug, bug, PAGE)
    for _ in range(8):
        await one.poll_once()
    texts = [record.getMessage().removeprefix(f"target {TARGET.name}") for record in caplog.records]
    assert texts == [
        " is down, timeout: late",
        " is up, engine vllm",
        " is down, timeout: late",
        ": unexpected error",
        " is up, engine vllm",
    ]
    assert [bool(record.exc_info) for record in caplog.records] == [False, False, False, True, False]


async def test_one_bad_source_hurts_only_itself() -> None:
    """Two pollers over one fetcher and real sockets: one server answers nonsense, the other is read."""
    clock, sink = Hand(), Ledger()
    async with Fetcher() as fetcher, serve(says(http())) as (good, _), serve(says(b"\0\0")) as (bad, _):
        urls = [target(origin) for origin in (good, bad)]
        both = [Poller(url, look_at(url, fetcher, clock, FakeNvml, Room(), Turns()), clock, sink, 0) for url in urls]
        await asyncio.gather(*(one.poll_once() for one in both))
    assert [reading.target for reading, _ in sink.read] == [f"{good}/metrics"]
    assert [name for name, *_ in sink.refused] == [f"{bad}/metrics"]


DCGM_PAGE = b'DCGM_FI_DEV_POWER_USAGE{gpu="0",UUID="GPU-a"} 300\n'
DCGM = replace(TARGET, name="http://127.0.0.1:9400/metrics", engine="dcgm", kind="gpus")


async def test_gpus_of_dcgm_exporter_are_read_and_fail_like_any_other_page() -> None:
    clock, sink = Hand(), Ledger()
    script = Script([DCGM_PAGE, PAGE, DCGM_PAGE], clock, takes=NS)
    one = Poller(DCGM, look_at(DCGM, script, clock, FakeNvml, Room(), Turns()), clock, sink, 0)
    for _ in range(3):
        await one.poll_once()
    first, second = sink.gpus
    assert (first.target, first.engine, first.at.monotonic_ns) == (DCGM.name, "dcgm", NS + 1000)
    assert [(gpu.uuid, gpu.power) for gpu in second.gpus] == [("GPU-a", 300)]
    assert sink.reasons == [Reason.MISSING_SERIES]
    assert script.asked == [DCGM] * 3


async def test_a_large_page_does_not_hold_the_loop() -> None:
    clock, sink, turns = Hand(), Ledger(), 0
    body = b"".join(b'DCGM_FI_DEV_POWER_USAGE{gpu="%d",UUID="GPU-%d"} %d\n' % (n, n, n) for n in range(4000))
    body += b"# %s\n" % (b"x" * LARGE)
    one = Poller(DCGM, look_at(DCGM, Script([body], clock), clock, FakeNvml, Room(), Turns()), clock, sink, 0)
    reading = asyncio.create_task(one.poll_once())
    while not reading.done():
        turns += 1
        await asyncio.sleep(0)
    assert [gpu.power for gpu in sink.gpus[0].gpus] == list(range(4000))
    assert turns > 10


@pytest.mark.parametrize(("kind", "engines"), [("gateway", ["litellm"]), ("engine", [])])
async def test_a_gateway_s_page_is_read_as_a_gateway_s(kind: Kind, engines: list[str]) -> None:
    clock, sink = Hand(), Ledger()
    gate = replace(TARGET, kind=kind)
    look = look_at(gate, Script([b"litellm_in_flight_requests 1\n"], clock), clock, FakeNvml, Room(), Turns())
    await Poller(gate, look, clock, sink, 0).poll_once()
    assert [reading.engine for reading, _ in sink.read] == engines


@dataclass
class FakeNvml:
    """GPUs of this machine that answer or raise."""

    answer: Exception | None = None

    async def read(self, at: Instant) -> GpuReading:
        if self.answer:
            raise self.answer
        return GpuReading(NVML, "nvml", at, (Gpu("GPU-a", "0", "NVIDIA H200"),))


@pytest.mark.parametrize(
    ("nvml", "reasons"),
    [
        (FakeNvml(), []),
        (FakeNvml(answer=ScrapeError(Reason.NO_DRIVER, "no driver")), [Reason.NO_DRIVER]),
        (FakeNvml(answer=ZeroDivisionError("a bug")), [Reason.INTERNAL]),
    ],
)
async def test_the_driver_is_asked_and_nothing_is_fetched(nvml: FakeNvml, reasons: list[Reason]) -> None:
    clock, sink = Hand(), Ledger()
    local = replace(DCGM, name=NVML, url=NVML, engine="nvml")
    nothing = Script([AssertionError("fetched")], clock)
    one = Poller(local, look_at(local, nothing, clock, lambda: nvml, Room(), Turns()), clock, sink, 0)
    for _ in range(2):
        await one.poll_once()
    assert sink.reasons == reasons * 2
    assert sink.gpus == ([] if reasons else [await nvml.read(clock.now())] * 2)
    assert nothing.asked == []


def named(count: int, interval_ns: int = 15 * NS) -> list[Target]:
    return [replace(TARGET, name=f"http://10.0.0.{n}:8000/metrics", interval_ns=interval_ns) for n in range(count)]


def test_a_single_target_starts_at_once_and_small_fleets_together() -> None:
    assert spread(named(1)) == {"http://10.0.0.0:8000/metrics": 0}
    assert set(spread(named(FEW)).values()) == {0}
    assert spread([]) == {}


@pytest.mark.parametrize("count", [33, 100, 1000])
def test_targets_are_spread_in_groups_over_the_interval(count: int) -> None:
    offsets = spread(named(count))
    slots = sorted(set(offsets.values()))
    groups = -(-count // GROUP)
    assert len(offsets) == count
    assert slots == [k * 15 * NS // groups for k in range(groups)]
    assert max(list(offsets.values()).count(slot) for slot in slots) == GROUP


def test_the_spread_is_the_same_at_every_start_and_mixes_neighbours() -> None:
    offsets = spread(named(1000))
    assert offsets == spread(reversed(named(1000)))
    assert len({offsets[one.name] for one in named(32)}) > 10


def test_targets_are_what_the_config_says() -> None:
    config = Config.model_validate(
        {
            "scrape": {"interval": "10s", "timeout": "2s", "max_body_bytes": 4096},
            "pools": [
                {
                    "name": "a",
                    "engine": "vllm",
                    "gpus": {"count": 1},
                    "endpoints": [
                        {
                            "url": "https://h:1/metrics?key=x",
                            "basic_auth": {"username": "u", "password_file": "/s/p"},
                            "tls": {"ca_file": "/s/ca"},
                            "allow_link_local": True,
                        },
                    ],
                },
                {"name": "b", "gpus": {"count": 1}, "endpoints": [{"url": "http://h:2/metrics"}]},
            ],
        }
    )
    first, second = targets(config)
    assert (first.name, first.url, first.pool, first.engine) == (
        "https://h:1/metrics", "https://h:1/metrics?key=x", "a", "vllm",
    )  # fmt: skip
    assert (first.interval_ns, first.timeout_ns, first.max_body_bytes) == (10 * NS, 2 * NS, 4096)
    assert isinstance(first.auth, Basic)
    assert (str(first.auth.password_file), first.auth.username) == ("/s/p", "u")
    assert isinstance(first.tls, TlsFiles)
    assert (str(first.tls.ca), first.tls.cert) == ("/s/ca", None)
    assert (first.link_local, second.link_local) == (True, False)
    assert (second.pool, second.engine, second.role, second.auth, second.tls) == ("b", "auto", "any", None, None)


def test_each_source_of_gpus_is_a_target_once_however_many_pools_take_gpus_from_it() -> None:
    def pool(name: str, gpus: dict[str, object]) -> dict[str, object]:
        return {"name": name, "gpus": gpus, "endpoints": [{"url": f"http://{name}:8000/metrics"}]}

    node = "http://node:9400/metrics"
    config = Config.model_validate(
        {
            "scrape": {"interval": "10s", "timeout": "2s", "max_body_bytes": 4096},
            "pools": [
                pool("a", {"source": "dcgm", "url": node, "match": {"pod": "a-.*"}, "bearer_token_file": "/s/t"}),
                pool("b", {"source": "nvml"}),
                pool("c", {"source": "dcgm", "url": f"{node}?x=1", "match": {"pod": "c-.*"}}),
                pool("d", {"source": "dcgm", "url": "https://other/metrics", "tls": {"ca_file": "/s/ca"}}),
                pool("e", {"count": 1}),
                pool("f", {"source": "amd", "url": "http://amd:5000/metrics"}),
            ],
            "gateways": [
                {"name": "g", "endpoints": [{"url": "http://g:1/metrics"}], "routes": [{"model": "*", "pool": "e"}]}
            ],
        }
    )
    found = targets(config)
    assert [(one.kind, one.name, one.pool, one.engine) for one in found] == [
        *(("engine", f"http://{name}:8000/metrics", name, "auto") for name in "abcdef"),
        ("gateway", "http://g:1/metrics", "g", "auto"),
        ("gpus", node, "", "dcgm"),
        ("gpus", "nvml://localhost", "b", "nvml"),
        ("gpus", "https://other:443/metrics", "d", "dcgm"),
        ("gpus", "http://amd:5000/metrics", "f", "amd"),
    ]
    shared, local, other = found[7:10]
    assert (shared.url, str(shared.auth.token_file) if isinstance(shared.auth, Bearer) else "") == (node, "/s/t")
    assert isinstance(other.tls, TlsFiles)
    assert str(other.tls.ca) == "/s/ca"
    assert {(one.interval_ns, one.timeout_ns) for one in found} == {(10 * NS, 2 * NS)}
    assert (shared.max_body_bytes, shared.role, local.auth) == (4096, "any", None)


def test_nvml_is_one_source_however_many_pools_select_from_it() -> None:
    pools = [
        {
            "name": name,
            "gpus": {"source": "nvml", "select": [f"GPU-{name}"]},
            "endpoints": [{"url": f"http://{name}:1/metrics"}],
        }
        for name in ("a", "b")
    ]
    *_, last = found = targets(Config.model_validate({"pools": pools}))
    assert (len(found), last.name, last.pool) == (3, NVML, "")
    assert last.interval_ns == 10 * NS, "the driver forgets its samples after some 16 s"
