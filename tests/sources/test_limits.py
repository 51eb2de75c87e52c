"""Each ceiling of sources/limits.py: what reaches it is read, what passes it is a failed scrape with its reason, and a
scanner that refused a page reads the next good one."""

from __future__ import annotations

import gc
import time
import tracemalloc
from contextlib import suppress
from dataclasses import fields, replace

import pytest

from exporter.errors import Reason, ScrapeError
from exporter.ledger.changes import Saved
from exporter.metering.meter import Meter
from exporter.metering.meters import Meters
from exporter.metering.route import Scope
from exporter.records import NS, Instant, Reading, Samples, Series
from exporter.sources.exposition import Scanner
from exporter.sources.limits import LIMITS, Limits, Room
from exporter.sources.reader import Reader
from exporter.sources.registry import ENGINES

GOOD = b"# TYPE g gauge\ng 1\n"
SMALL = Limits(
    lines=50, line_bytes=300, series=20, labels=30, labels_each=4, name_bytes=10, value_bytes=100, value=1000
)

REASONS: dict[str, Reason] = {one.name: one.metadata["reason"] for one in fields(Limits)}


def series(count: int, labels: int = 1) -> bytes:
    """That many series, each with so many labels."""
    row = ",".join(f'l{index}="%d"' for index in range(labels)).encode()
    return b"".join(b"g{%s} 1\n" % (row % ((number,) * labels)) for number in range(count))


# Ceiling -> a page that reaches it, a page that passes it.
EDGES: dict[str, tuple[bytes, bytes]] = {
    "lines": (b"g 1\n" + b"z 1\n" * 49, b"g 1\n" + b"z 1\n" * 50),
    "line_bytes": (b'g{a="1"}' + b" " * 290 + b" 1\n", b'g{a="1"}' + b" " * 291 + b" 1\n"),
    "series": (series(20), series(21)),
    "labels": (series(10, labels=3), series(10, labels=3) + b'g{x="1"} 1\n'),
    "labels_each": (series(1, labels=4), series(1, labels=5)),
    "name_bytes": (b"g{%s='1'} 1\n".replace(b"'", b'"') % (b"n" * 10), b'g{%s="1"} 1\n' % (b"n" * 11)),
    "value_bytes": (b'g{n="%s"} 1\n' % (b"v" * 100), b'g{n="%s"} 1\n' % (b"v" * 101)),
    "value": (b'g{n="1"} 999\n', b'g{n="1"} 999\ng 1\n'),
}


def refusal(scanner: Scanner, body: bytes) -> Reason:
    with pytest.raises(ScrapeError) as error:
        scanner.scan(body)
    assert str(error.value).startswith("more than ")
    return error.value.reason


@pytest.mark.parametrize("name", EDGES)
def test_each_ceiling_holds_to_the_last_one_and_no_further(name: str) -> None:
    below, above = EDGES[name]
    for scanner in (Scanner(["g"], SMALL), warm := Scanner(["g"], SMALL)):
        if scanner is warm:
            scanner.scan(GOOD)
        assert scanner.scan(below)
        assert refusal(scanner, above) is REASONS[name]
        assert len(scanner.scan(GOOD)) == 1
        assert scanner.scan(below)


def test_every_ceiling_is_tried_here() -> None:
    assert {one.name for one in fields(Limits)} == {*EDGES, "all_series"}


def test_a_followed_page_that_grows_past_a_ceiling_is_refused_too() -> None:
    """The page is one group that is all ours: then its lines are taken without a search."""
    head = b"# TYPE g gauge\n"
    for name in ("series", "labels", "labels_each", "value_bytes", "value"):
        scanner = Scanner(["g"], SMALL)
        scanner.scan(head + b"g 1\n")
        scanner.scan(head + b"g 2\n")
        below, above = EDGES[name]
        assert scanner.scan(head + below)
        assert refusal(scanner, head + above) is REASONS[name]


def test_what_counts_beyond_what_a_float_can_count_by_one_is_refused() -> None:
    """Such a counter used to end the tick: 1e305 tokens have no cost per token that a float could hold."""
    names = ENGINES["vllm"].names
    page = b"vllm:prompt_tokens_total %s\nvllm:generation_tokens_total 6\n"
    for scanner in (Scanner(names), Scanner(names)):
        assert len(scanner.scan(page % b"9007199254740985")) == 2
        assert refusal(scanner, page % b"9007199254740992") is Reason.VALUE_TOO_LARGE
        assert refusal(scanner, page % b"1e305") is Reason.VALUE_TOO_LARGE
        assert len(scanner.scan(page % b"+Inf")) == 1  # as before: not a number of tokens, so not there
        assert len(scanner.scan(page % b"NaN")) == 1
    with pytest.raises(ScrapeError):
        Reader("vllm").read("t", page % b"5" + b"process_start_time_seconds 1e300\n", Instant(0, 0))


def test_the_room_of_all_targets_turns_the_large_away_and_never_the_small() -> None:
    room = Room(replace(LIMITS, all_series=100))
    large, larger, small = (Scanner(["g"], replace(LIMITS, all_series=100), room) for _ in range(3))
    assert len(large.scan(series(80))) == 80
    assert refusal(larger, series(90)) is Reason.TOO_MANY_SERIES_IN_ALL
    assert len(small.scan(series(30))) == 30  # less than a third: whoever was there first
    assert refusal(large, series(81)) is Reason.TOO_MANY_SERIES_IN_ALL
    assert len(large.scan(series(70))) == 70
    del large
    gc.collect()
    assert len(larger.scan(series(70))) == 70  # a target that left has left its room


def test_baselines_are_bounded_in_all_though_each_page_is_small() -> None:
    """A target may show other series each time: what is remembered of them is what grows."""
    meters = [_meter(room) for room in [Room(replace(LIMITS, all_series=1000))] * 2]
    meter, other = meters
    for step in range(50):
        meter.observe(_reading(step, range(step * 20, step * 20 + 20)))
    with pytest.raises(ScrapeError) as refused:
        meter.observe(_reading(50, range(1000, 1001)))
    assert refused.value.reason is Reason.TOO_MANY_SERIES_IN_ALL
    other.observe(_reading(0, range(20)))
    assert len(meter.baselines) == 1000


def test_the_meters_of_one_process_share_one_room() -> None:
    meters = Meters(Saved())
    meters.configure({name: _scope() for name in ("a", "b")}, 0)
    for name in ("a", "b"):
        meters.observe(replace(_reading(0, range(5)), target=name))
    (room,) = {id(meter._room) for meter in meters._meters.values()}
    assert room == id(meters._room)


def _scope() -> Scope:
    return Scope("any", "m", lambda _, model, __: ("p", "t", model), watched_since_ns=NS)


def _meter(room: Room) -> Meter:
    return Meter(ENGINES["vllm"], _scope(), room)


def _reading(step: int, numbers: range) -> Reading:
    samples: Samples = {
        Series("vllm:prompt_tokens_total", (("m", str(number)),), f'vllm:prompt_tokens_total{{m="{number}"}}'): 1.0
        for number in numbers
    }
    return Reading("t", "vllm", Instant(step * 15 * NS, (1_000_000 + step * 15) * NS), 5.0, samples)


WORST = {
    "a line for every label that there can be": b'g{n="%d"} 1\n',
    "foreign lines": b"z %d\n",
    "comments": b"# HELP z %d\n# TYPE z gauge\n",
    "groups": b"# TYPE z%d gauge\nz 1\n",
    "blanks": b" " * 100 + b"#%d\n",
    "spaces before": b" " * 1000 + b'g{n="%d"} 1\n',
    "names alike": b'gg{a="%d"} 1\n',
    "quotes": b'g{a="' + b'\\"' * 500 + b'%d"} 1\n',
    "braces": b"g" + b"{" * 400 + b"%d\n",
    "hashes within lines": b'z{a="' + b"#" * 300 + b'%d"} 1\n',
}


@pytest.mark.parametrize("name", WORST)
def test_the_worst_pages_are_read_or_refused_in_bounded_time_and_memory(name: str) -> None:
    line = WORST[name]
    body = b"".join(line % number for number in range((1 << 20) // len(line % 1)))
    pages = (body, body.replace(b"1\n", b"2\n"), b"# TYPE g gauge\ng 1\n" + body)
    scanner = Scanner(["g"])
    tracemalloc.start()
    began = time.thread_time()
    for page in pages:
        with suppress(ScrapeError):
            scanner.scan(page)
    seconds, (_, peak) = time.thread_time() - began, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seconds < 60  # a tenth of that, under tracemalloc; backtracking would take hours
    assert peak < 60 * len(body)  # of the shortest lines; 200,000 of them at most
