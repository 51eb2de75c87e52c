"""Taking turns on one loop."""

from __future__ import annotations

import asyncio

from exporter.waiting import Turns, first


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
