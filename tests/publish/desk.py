"""A pusher at work, on a clock that moves when told to."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from exporter.config.schema import Otlp
from exporter.ledger.accounts import Labels
from exporter.ledger.changes import Saved
from exporter.publish.otlp import Pusher
from exporter.publish.server import Site
from exporter.publish.snapshot import Snapshot
from exporter.publish.view import View
from exporter.records import NS
from tests.clock import ManualClock
from tests.publish.collector import Collector
from tests.publish.world import fleet

WALL = 1_700_000_000 * NS
INTERVAL = 60
PUSHES, FAILURES = "tokencost_otlp_pushes_total", "tokencost_otlp_push_failures_total"


class Clock(ManualClock):
    """Counts who goes to sleep."""

    sleeps = 0

    async def sleep_until(self, monotonic_ns: int) -> None:
        self.sleeps += 1
        await super().sleep_until(monotonic_ns)


@dataclass
class Desk:
    """A pusher at work, and what it counted."""

    flush_seconds: float
    site: Site = field(default_factory=Site)
    clock: Clock = field(default_factory=lambda: Clock(WALL))
    counted: Counter[tuple[str, Labels]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        ledger = Saved(ledger_id="a-ledger", began=1_600_000_000)
        self.pusher = Pusher(self.site, self.clock, self.count, ledger, flush_seconds=self.flush_seconds)

    def count(self, family: str, labels: Labels, times: int) -> None:
        self.counted[family, labels] += times

    def tick(self, view: View | None = None) -> View:
        """Publish numbers as of now."""
        made = replace(view or fleet(), at=self.clock.now())
        self.site.view = Snapshot(made).view
        return made

    def failures(self) -> dict[str, int]:
        return {labels[0]: times for (family, labels), times in self.counted.items() if family == FAILURES}

    async def configure(self, settings: Otlp) -> None:
        """Swap to other settings and wait until they hold."""
        sleeps = self.clock.sleeps
        self.pusher.configure(settings)
        async with asyncio.timeout(20):
            while self.clock.sleeps == sleeps:  # noqa: ASYNC110 - the next to sleep waits for its first interval
                await asyncio.sleep(0)

    async def slot(self, passes: float = INTERVAL) -> None:
        """Let so many seconds pass, and whatever is due then be done."""
        self.clock.advance(round(passes * NS))
        await self.clock.settled(1)


@asynccontextmanager
async def pushing(collector: Collector, flush_seconds: float = 20.0, **settings: Any) -> AsyncIterator[Desk]:
    """A pusher that has just been configured, with a tick to push."""
    desk = Desk(flush_seconds)
    desk.tick()
    desk.pusher.configure(otlp(collector, **settings))
    task = asyncio.create_task(desk.pusher.run())
    try:
        await desk.clock.settled(1)
        yield desk
    finally:
        task.cancel()
        await asyncio.wait([task])


def otlp(collector: Collector, **settings: Any) -> Otlp:
    return Otlp.model_validate({"endpoint": collector.url, **settings})
