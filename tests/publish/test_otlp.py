"""The last tick is pushed once an interval, and tried again while that may help."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from email.utils import formatdate
from itertools import pairwise
from typing import Any

import pytest

from exporter.ledger.accounts import Family
from exporter.publish.otlp_link import LONGEST_WAIT, seconds
from exporter.publish.writer import Exposition
from exporter.records import NS
from tests.publish.collector import Answer, collecting, endless, numbers, rejects, says, silent
from tests.publish.desk import INTERVAL, PUSHES, WALL, otlp, pushing
from tests.publish.test_otlp_encoder import LONG, many
from tests.publish.test_writer import parsed


async def test_each_interval_the_last_tick_is_pushed_and_none_twice() -> None:
    async with collecting() as collector, pushing(collector) as desk:
        assert desk.counted == {(PUSHES, ()): 0}, "a series to begin with"
        await desk.slot(INTERVAL - 1)
        assert collector.pushes == [], "not before an interval has passed"
        made = desk.tick()
        await desk.slot(1)
        assert [push.times for push in collector.pushes] == [{made.at.wall_ns}]
        assert numbers(collector.pushes) == parsed(Exposition().update(made).body("text"), "text")
        await desk.slot()
        assert len(collector.pushes) == 1, "there was no other tick"
        for _ in range(2):
            made = desk.tick()
            await desk.slot()
            assert collector.pushes[-1].times == {made.at.wall_ns}
        assert len(collector.pushes) == 3
        assert desk.counted == {(PUSHES, ()): 3}


async def test_before_the_first_tick_there_is_nothing_to_push() -> None:
    async with collecting() as collector, pushing(collector) as desk:
        desk.site.view = None
        await desk.slot()
        await desk.pusher.flush()
        assert collector.pushes == []
        assert desk.counted == {(PUSHES, ()): 0}


@pytest.mark.parametrize("status", [429, 502, 503, 504])
@pytest.mark.parametrize("asked", ["7", formatdate(WALL // NS + INTERVAL + 7, usegmt=True)], ids=["seconds", "date"])
async def test_a_receiver_that_is_busy_is_asked_again_when_it_says(status: int, asked: str) -> None:
    async with collecting(says(status, after=asked)) as collector, pushing(collector) as desk:
        await desk.slot()
        made = desk.site.view
        assert made
        desk.tick(many(10))
        await desk.slot(6.9)
        assert len(collector.pushes) == 1
        await desk.slot(0.2)
        assert len(collector.pushes) == 2
        assert collector.pushes[0].body == collector.pushes[1].body, "the same tick"
        assert collector.pushes[0].times == {made.at.wall_ns}
        assert desk.counted == {(PUSHES, ()): 1}, "in the end it was taken"


async def test_without_a_word_it_waits_twice_as_long_each_time_until_newer_numbers_are_due() -> None:
    async with collecting(*[says(503)] * 7) as collector, pushing(collector) as desk:
        await desk.slot()
        tried = [0]
        for tenth in range(1, 10 * INTERVAL):
            desk.clock.advance(NS // 10)
            await desk.clock.settled(1)
            if len(collector.pushes) > len(tried):
                tried.append(tenth)
        waits = [after - before for before, after in pairwise(tried)]
        assert len(waits) in (5, 6)
        assert all(5 * 2**n <= wait <= 10 * 2**n + 1 for n, wait in enumerate(waits))
        assert desk.failures() == {"status": 1}, "one push, however often it was tried"
        made = desk.tick()
        collector.answers.clear()
        await desk.slot(0.1)
        assert collector.pushes[-1].times == {made.at.wall_ns}
        assert desk.counted[PUSHES, ()] == 2


async def test_a_wait_beyond_the_interval_is_kept_too() -> None:
    async with collecting(says(503, after="150")) as collector, pushing(collector) as desk:
        await desk.slot()
        for _ in range(2):
            desk.tick()
            await desk.slot()
        assert len(collector.pushes) == 1
        await desk.slot()
        assert len(collector.pushes) == 2


@pytest.mark.parametrize(
    ("header", "expected"),
    {
        "": 0, "0": 0, "12": 12, "999999999": LONGEST_WAIT, "9" * 400: 0, "-5": 0, "1.5": 0, "١": 0, "soon": 0,
        "Tue, 14 Nov 2023 22:13:30 GMT": 10, "Tue, 14 Nov 2023 22:13:10 GMT": 0, "Tue, 14 Nov 2023 22:13:30": 10,
        "Fri, 31 Dec 9999 23:59:59 GMT": LONGEST_WAIT, "Tue, 99 Nov 2023 22:13:30 GMT": 0,
        "Tue, 14 Nov 2023 22:13:30 +9999": 0,
    }.items(),
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date_and_never_for_ever(header: str, expected: float) -> None:
    assert seconds(header, WALL) == expected


@pytest.mark.parametrize("status", [300, 307, 401, 403, 404, 500, 501])
async def test_what_a_retry_does_not_mend_is_not_retried(status: int) -> None:
    async with collecting(says(status, after="600")) as collector, pushing(collector) as desk:
        await desk.slot()
        await desk.slot(INTERVAL - 1)
        assert len(collector.pushes) == 1
        assert desk.failures() == {"status": 1}
        await desk.slot(1)
        assert len(collector.pushes) == 2, "the next interval is another try, with the same tick if there is no other"


async def test_one_request_that_is_refused_does_not_cost_the_others() -> None:
    for answers, reason in (([says(400)], "status"), ([says(), says(413)], "status"), ([rejects(3)], "rejected")):
        async with collecting(*answers) as collector, pushing(collector) as desk:
            made = desk.tick(many(1500, LONG))
            await desk.slot()
            assert len(collector.pushes) == 3
            assert numbers(collector.pushes) == parsed(Exposition().update(made).body("text"), "text")
            assert desk.failures() == {reason: 1}
            assert desk.counted[PUSHES, ()] == 1


async def test_what_is_wrong_with_the_receiver_ends_the_push() -> None:
    async with collecting(says(), says(401)) as collector, pushing(collector) as desk:
        desk.tick(many(1500, LONG))
        await desk.slot()
        assert len(collector.pushes) == 2


async def test_a_busy_receiver_goes_on_where_it_stopped() -> None:
    async with collecting(says(), says(429)) as collector, pushing(collector) as desk:
        made = desk.tick(many(1500, LONG))
        await desk.slot()
        await desk.slot(1.1)
        first, refused, *rest = collector.pushes
        assert len(rest) == 2
        assert refused.body == rest[0].body
        assert numbers([first, *rest]) == parsed(Exposition().update(made).body("text"), "text")
        assert desk.failures() == {}


async def test_a_warning_is_no_failure() -> None:
    """A partial success with nothing rejected; nor is a 200 that is not OTLP's."""
    for answer in (rejects(0, "deprecated"), says(200, b"thanks"), says(204)):
        async with collecting(answer) as collector, pushing(collector) as desk:
            await desk.slot()
            assert desk.counted == {(PUSHES, ()): 1}


async def test_nobody_there(caplog: pytest.LogCaptureFixture) -> None:
    """Said once when it goes, once when it comes back; counted each time."""
    caplog.set_level(logging.INFO, "exporter.publish.otlp")
    async with collecting() as gone:
        pass
    async with pushing(gone) as desk:
        for _ in range(3):
            desk.tick()
            await desk.slot()
            await desk.slot(INTERVAL - 0.1)
            await desk.slot(0.1 + INTERVAL)
        assert set(desk.failures()) == {"connect"}
        assert desk.failures()["connect"] == desk.counted[PUSHES, ()] >= 3
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert "connect: " in caplog.messages[0]
        async with collecting() as back:
            await desk.configure(otlp(back))
            for _ in range(2):
                desk.tick()
                await desk.slot()
            assert len(back.pushes) == 2
        assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
        async with collecting() as other:
            await desk.configure(otlp(other))
            await desk.slot()
            assert len(other.pushes) == 1, "what another has is news to this one"
        assert other.url in caplog.messages[2]


async def test_a_reload_turns_it_off_and_on_and_elsewhere() -> None:
    async with collecting() as first, collecting() as second, pushing(first) as desk:
        desk.pusher.configure(otlp(first))
        await desk.slot(INTERVAL / 2)
        desk.pusher.configure(otlp(first))  # nothing changed: the interval goes on
        await desk.slot(INTERVAL / 2)
        assert len(first.pushes) == 1

        desk.pusher.configure(None)
        desk.tick()
        desk.clock.advance(10 * INTERVAL * NS)
        await desk.clock.settled(0)
        await desk.pusher.flush()
        assert len(first.pushes) == 1

        await desk.configure(otlp(second, interval="10s", resource={"team": "ops"}))
        await desk.slot(10)
        assert (len(first.pushes), len(second.pushes)) == (1, 1)
        assert second.pushes[0].resource["team"] == "ops"


async def test_a_reload_ends_a_push_that_waits() -> None:
    async with collecting(says(503)) as busy, collecting() as other, pushing(busy) as desk:
        await desk.slot()
        await desk.configure(otlp(other))
        await desk.slot()
        assert (len(busy.pushes), len(other.pushes)) == (1, 1)


async def test_at_the_end_the_last_tick_is_pushed_once() -> None:
    async with collecting() as collector, pushing(collector) as desk:
        await desk.slot()
        await desk.pusher.flush()
        assert len(collector.pushes) == 1, "it was there already"
        made = desk.tick()
        await desk.pusher.flush()
        await desk.pusher.flush()
        assert len(collector.pushes) == 2
        assert collector.pushes[1].times == {made.at.wall_ns}


@pytest.mark.parametrize(
    ("answer", "reason"), [(says(503, after="0"), "status"), (endless(), "too_large")], ids=["busy", "endless"]
)
async def test_at_the_end_there_is_one_attempt(answer: Answer, reason: str) -> None:
    async with collecting(answer) as collector, pushing(collector) as desk:
        await desk.pusher.flush()
        assert len(collector.pushes) == 1
        assert desk.failures() == {reason: 1}


async def test_at_the_end_nobody_waits_for_a_receiver(caplog: pytest.LogCaptureFixture) -> None:
    async with collecting(*[silent()] * 3) as collector, pushing(collector, flush_seconds=0.2) as desk:
        begun = time.monotonic()
        await desk.pusher.flush()
        assert 0.2 <= time.monotonic() - begun < 8  # less than the request's own 10 s, on the busiest machine
        assert len(collector.pushes) <= 1
    assert "was not pushed within 0.2 s" in caplog.text


class Watched(Mapping[str, Family]):
    """Counters that know on which thread they are read."""

    def __init__(self, families: Mapping[str, Family], broken: bool = False) -> None:
        self.families, self.broken = families, broken
        self.threads: set[int] = set()

    def __getitem__(self, name: str) -> Family:
        self.threads.add(threading.get_ident())
        if self.broken:
            raise ArithmeticError("a bug")
        return self.families[name]

    def __iter__(self) -> Any:
        return iter(self.families)

    def __len__(self) -> int:
        return len(self.families)


async def test_the_loop_does_none_of_the_work() -> None:
    async with collecting() as collector, pushing(collector) as desk:
        watched = Watched(many(1500, LONG).counters)
        desk.tick()
        assert desk.site.view
        desk.site.view = replace(desk.site.view, counters=watched)
        await desk.slot()
        assert len(collector.pushes) == 3
        assert watched.threads
        assert threading.get_ident() not in watched.threads


async def test_a_bug_of_ours_is_a_failed_push_and_no_more(caplog: pytest.LogCaptureFixture) -> None:
    async with collecting() as collector, pushing(collector) as desk:
        for _ in range(2):
            desk.tick()
            assert desk.site.view
            desk.site.view = replace(desk.site.view, counters=Watched({}, broken=True))
            await desk.slot()
        assert desk.failures() == {"internal": 2}
        assert caplog.text.count("Traceback") == 1
        desk.tick()
        await desk.slot()
        assert len(collector.pushes) == 1


def test_who_does_not_push_does_not_load_it() -> None:
    code = "import sys, exporter.app; print([name for name in sys.modules if name.startswith(('opentele', 'google'))])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout == "[]\n"
