"""Waiting: for whichever comes first, for one's turn, and for a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


async def first(*waits: Awaitable[object]) -> None:
    """Return when the first of them is done; the others are cancelled."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


class Turns:
    """Shares the loop among tasks that each work for a while: when in one turn of it they have worked for SECONDS, the
    others wait for the next, and sockets and timers have theirs in between."""

    SECONDS = 0.004

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        self._clock = clock
        self._began: float | None = None  # this turn's work

    async def mine(self) -> None:
        """Return when there is time to work."""
        while True:
            now = self._clock()
            if self._began is None:
                self._began = now
                asyncio.get_running_loop().call_soon(self._over)
            if now - self._began < self.SECONDS:
                return
            await asyncio.sleep(0)

    def _over(self) -> None:
        """Called at the start of the next turn."""
        self._began = None


class Thread:
    """Works beside the loop, on one thing at a time. Whoever waits for it may be cancelled: what has begun goes on to
    its end, and what has not is never begun. Whoever has `free` knows that it does nothing."""

    def __init__(self, name: str) -> None:
        self.free = asyncio.Lock()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=name)

    async def do(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """What it returns or raises."""
        await self.free.acquire()
        try:
            working = asyncio.wrap_future(self._executor.submit(work, *args, **kwargs))
        except BaseException:
            self.free.release()
            raise
        working.add_done_callback(lambda _: self.free.release())
        return await asyncio.shield(working)

    def close(self) -> None:
        """Let it end; blocks until it has."""
        self._executor.shutdown()
