"""A poller keeps its slots, hands on what it read, and fails alone."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field, replace

import pytest

from exporter.config.schema import Config
from exporter.errors import Reason, ScrapeError
from exporter.records import NS, Instant, Reading
from exporter.sources.fetch import Fetcher
from exporter.sources.poller import GROUP, Poller, spread
from exporter.sources.target import Basic, Target, TlsFiles, targets
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
    read: list[tuple[Reading, float]] = field(default_factory=list)
    refused: list[tuple[str, Instant, float, Reason]] = field(default_factory=list)

    def good(self, reading: Reading, seconds: float) -> None:
        if self.refuse:
            raise self.refuse
        self.read.append((reading, seconds))

    def failed(self, target: str, at: Instant, seconds: float, error: ScrapeError) -> None:
        self.refused.append((target, at, seconds, error.reason))

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
    return Poller(replace(TARGET, engine=engine), Script(list(answers), clock, takes), clock, sink, 0), clock, sink


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
    one = Poller(TARGET, Script([PAGE], clock, takes), clock, sink, offset_ns=7)
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
        both = [Poller(target(origin), fetcher, clock, sink, 0) for origin in (good, bad)]
        await asyncio.gather(*(one.poll_once() for one in both))
    assert [reading.target for reading, _ in sink.read] == [f"{good}/metrics"]
    assert [name for name, *_ in sink.refused] == [f"{bad}/metrics"]


def named(count: int, interval_ns: int = 15 * NS) -> list[Target]:
    return [replace(TARGET, name=f"http://10.0.0.{n}:8000/metrics", interval_ns=interval_ns) for n in range(count)]


def test_a_single_target_starts_at_once_and_small_fleets_together() -> None:
    assert spread(named(1)) == {"http://10.0.0.0:8000/metrics": 0}
    assert set(spread(named(GROUP)).values()) == {0}
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
    assert (second.pool, second.engine, second.role, second.auth, second.tls) == ("b", "auto", "any", None, None)
