"""How long the loop is held is what it says, and a collector that waits until it is asked loses nothing."""

from __future__ import annotations

import asyncio
import gc
import sys
import weakref
from collections.abc import Iterator

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as text

from exporter.loop import BOUNDS, SOME, WARM, Lag, Upkeep, Watched
from exporter.publish.catalog import by_name
from exporter.publish.runtime import LAG, Runtime


class Ring:
    """An object in a cycle with itself, and some weight."""

    def __init__(self) -> None:
        self.itself = self
        self.weight = [object() for _ in range(10)]


@pytest.fixture
def upkeep() -> Iterator[Upkeep]:
    upkeep = Upkeep()
    upkeep._calls = WARM  # it has been at work for a while
    with upkeep.at_work():
        yield upkeep


def test_a_turn_is_the_time_between_two_waits() -> None:
    lag, times = Lag(), iter([1.0, 1.0, 1.03, 1.03, 1.0304, 1.0304])
    selector = Watched(lag, lambda: next(times))
    for _ in range(3):
        selector.select(0)
    selector.close()
    assert lag.seconds == pytest.approx(0.0304)
    assert (lag.counts[0], lag.counts[BOUNDS.index(0.05)], sum(lag.counts)) == (1, 1, 2)


def test_a_turn_begins_when_its_first_timer_was_due() -> None:
    """A thread that kept the interpreter held the loop as well, though nothing of the loop ran."""
    lag, times = Lag(), iter([10.0, 10.5, 10.6, 10.6])
    selector = Watched(lag, lambda: next(times))
    selector.select(0.0)  # due at 10, back at 10.5
    selector.select(0.0)
    selector.close()
    assert lag.seconds == pytest.approx(0.6, abs=2e-3)
    assert lag.counts[BOUNDS.index(1.0)] == 1


def test_a_wait_for_the_network_is_no_turn() -> None:
    lag, times = Lag(), iter([10.0, 10.5, 10.5])
    selector = Watched(lag, lambda: next(times))
    wakes = asyncio.SelectorEventLoop(selector)  # has a socket to itself
    wakes.call_soon_threadsafe(lambda: None)
    selector.select(None)
    times = iter([10.51, 10.51])
    selector.select(0)
    assert lag.seconds == pytest.approx(0.01)
    times = iter([11.0] * 9)
    wakes.close()


def test_a_callback_that_computes_for_long_is_seen() -> None:
    lag, now = Lag(), 0.0

    async def compute() -> None:
        nonlocal now
        await asyncio.sleep(0)
        now += 0.3
        await asyncio.sleep(0)

    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(Watched(lag, lambda: now))) as runner:
        runner.run(compute())
    assert lag.counts[BOUNDS.index(0.5)] == 1
    assert sum(lag.counts[BOUNDS.index(0.005) :]) == 1


def test_the_histogram_on_the_page() -> None:
    lag = Lag()
    for seconds in (0.0004, 0.001, 0.015, 7.0):
        lag.note(seconds)
    pages = {fmt: page.decode().lstrip("\n") + "\n" for fmt, page in Runtime(lag).block().headers.items()}
    old = text(pages["text"])
    new = openmetrics(pages["openmetrics"] + "# EOF\n")  # type: ignore[no-untyped-call]
    for page in (old, new):
        (family,) = [family for family in page if family.name == LAG]
        assert (family.type, family.documentation) == ("histogram", by_name()[LAG].help)
        values = {sample.labels.get("le", sample.name.rpartition("_")[2]): sample.value for sample in family.samples}
        assert values["sum"] == pytest.approx(7.0164)
        assert [values[le] for le in ("0.001", "0.01", "0.02", "1.0", "+Inf", "count")] == [2, 2, 3, 3, 4, 4]


def test_without_a_measured_loop_there_is_no_histogram() -> None:
    assert LAG.encode() not in Runtime().block().headers["text"]


def test_what_lives_on_is_looked_at_once(upkeep: Upkeep) -> None:
    upkeep.settle()
    before = gc.get_freeze_count()
    alive = [Ring() for _ in range(upkeep._limit // 10)]
    upkeep.settle()
    assert gc.get_freeze_count() > before + len(alive)
    upkeep.settle()
    assert sys.getallocatedblocks() < upkeep._limit, "nothing is done before it has grown again"


def test_frozen_objects_are_freed_when_nobody_has_them(upkeep: Upkeep) -> None:
    kept = Ring()
    kept.itself = None  # type: ignore[assignment]
    upkeep.settle()
    gone = weakref.ref(kept)
    del kept
    assert gone() is None


def test_garbage_that_grows_is_freed_and_nothing_is_frozen(upkeep: Upkeep) -> None:
    """Connections that are closed leave cycles: they must not be kept for ever, nor what is alive beside them."""
    gc.set_threshold(0)  # none but settle
    upkeep.settle()
    frozen, first = gc.get_freeze_count(), Ring()
    gone = weakref.ref(first)
    del first
    while sys.getallocatedblocks() <= upkeep._limit:
        Ring()
    assert gone()
    upkeep.settle()
    assert gone() is None
    assert gc.get_freeze_count() <= frozen


def test_what_comes_first_stays_and_is_not_looked_at() -> None:
    """A thousand targets at their first scrape: nothing of it is garbage, and to look for some takes long."""
    rounds = gc.get_stats()[2]["collections"]
    with Upkeep().at_work():
        begun = gc.get_stats()[2]["collections"]
        upkeep = Upkeep()
        for _ in range(WARM):
            alive = [Ring() for _ in range(SOME)]
            upkeep.settle()
        assert gc.get_stats()[2]["collections"] == begun > rounds
        assert gc.get_freeze_count() > len(alive)


def test_the_process_has_its_collector_back() -> None:
    before = gc.get_threshold(), sys.getswitchinterval()
    with Upkeep().at_work():
        assert gc.get_freeze_count()
        assert gc.get_threshold() != before[0]
    assert (gc.get_threshold(), sys.getswitchinterval(), gc.get_freeze_count()) == (*before, 0)
    assert SOME > 0
