"""Taking turns on one loop, and beside it."""

from __future__ import annotations

import asyncio
from threading import Event

import pytest

from exporter.waiting import Thread, Turns, first


async def test_the_first_that_is_done_ends_the_wait_and_the_others() -> None:
    ended = asyncio.Event()

    async def for_ever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    await first(for_ever(), asyncio.sleep(0))
    await ended.wait()


async def test_what_many_do_is_spread_over_turns_and_others_come_in_between() -> None:
    now, log = 0.0, []
    turns = Turns(lambda: now)

    async def work(name: int) -> None:
        nonlocal now
        await turns.mine()
        now += Turns.SECONDS / 2
        log.append(name)

    async def socket() -> None:
        while len(log) < 6:
            log.append(-1)
            await asyncio.sleep(0)

    await asyncio.gather(socket(), *(work(number) for number in range(6)))
    assert [name for name in log if name >= 0] == list(range(6))
    parts = "".join("|" if name < 0 else "." for name in log).strip("|").split("|")
    assert max(map(len, parts)) <= 4, "two turns, at most, without the other"
    assert len(parts) > 1


async def test_who_waits_for_the_clock_alone_goes_on_at_once() -> None:
    turns = Turns()
    for _ in range(3):
        await turns.mine()


async def test_what_a_thread_has_begun_keeps_it_busy_also_when_nobody_waits_for_it() -> None:
    """A config is swapped where it is free: what it works on must not change under it."""
    thread, began, end, log = Thread("test"), Event(), Event(), []

    def work() -> None:
        began.set()
        end.wait(20)
        log.append("begun")

    waits = [asyncio.create_task(thread.do(work)), asyncio.create_task(thread.do(log.append, "not begun"))]
    await asyncio.to_thread(began.wait, 20)
    for wait in waits:
        wait.cancel()
    assert [type(error) for error in await asyncio.gather(*waits, return_exceptions=True)] == [
        asyncio.CancelledError, asyncio.CancelledError,
    ]  # fmt: skip
    assert (thread.free.locked(), log) == (True, [])
    end.set()
    async with thread.free:
        assert log == ["begun"]
    assert await thread.do(lambda: "next") == "next"
    thread.close()


async def test_what_a_thread_raises_is_raised_and_it_is_free_again() -> None:
    thread = Thread("test")
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            await thread.do(lambda: 1 // 0)
    assert await thread.do(abs, -1) == 1
    thread.close()
    with pytest.raises(RuntimeError):
        await thread.do(abs, -1)
    assert not thread.free.locked()
