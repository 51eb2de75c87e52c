"""A clock that moves when told to."""

from __future__ import annotations

import asyncio

from exporter.records import Instant


class ManualClock:
    """Time stands still between calls of `advance`; `settled` says when everybody has come to rest again."""

    def __init__(self, wall_ns: int) -> None:
        self._now = Instant(1_000_000_000, wall_ns)
        self._sleepers: list[tuple[int, asyncio.Future[None]]] = []

    def now(self) -> Instant:
        return self._now

    async def sleep_until(self, monotonic_ns: int) -> None:
        if monotonic_ns <= self._now.monotonic_ns:
            await asyncio.sleep(0)
            return
        sleeper = (monotonic_ns, asyncio.get_running_loop().create_future())
        self._sleepers.append(sleeper)
        try:
            await sleeper[1]
        finally:
            self._sleepers.remove(sleeper)

    def advance(self, nanoseconds: int) -> None:
        """Move both clocks and wake whoever is due."""
        self._now = Instant(self._now.monotonic_ns + nanoseconds, self._now.wall_ns + nanoseconds)
        for due, future in self._sleepers:
            if due <= self._now.monotonic_ns and not future.done():
                future.set_result(None)

    async def settled(self, sleepers: int) -> None:
        """Wait until that many tasks sleep, none of them due. Fails after 20 s of real time."""
        async with asyncio.timeout(20):
            # Sockets and worker threads are real here, and there is no event for "everybody is done".
            while sum(due > self._now.monotonic_ns for due, _ in self._sleepers) != sleepers:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
