"""The one place that asks what time it is. Everything else is handed an Instant or a Clock."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

from exporter.records import NS, Instant


class Clock(Protocol):
    """Time, injectable: tests pass a clock that moves when told to."""

    def now(self) -> Instant: ...

    async def sleep_until(self, monotonic_ns: int) -> None:
        """Return at or after that monotonic time; at once if it has passed."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> Instant:
        return Instant(time.monotonic_ns(), time.time_ns())

    async def sleep_until(self, monotonic_ns: int) -> None:
        await asyncio.sleep(max(0, monotonic_ns - time.monotonic_ns()) / NS)
