"""One task for each target: look, hand on; forever, on time, and alone in its failures."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from hashlib import blake2b
from typing import Protocol

from exporter.clock import Clock
from exporter.errors import Reason, ScrapeError
from exporter.records import NS, GpuReading, Instant, Reading
from exporter.sources.look import Look
from exporter.sources.target import Target

LOG = logging.getLogger("exporter.sources")
GROUP = 8  # targets that wake together: of more the event loop would be held for long
FEW = 32  # all of which wake together: a small fleet is known at once


class Sink(Protocol):
    """Where readings go. `good` may raise ScrapeError to refuse one, and changes nothing when it is cancelled."""

    async def good(self, reading: Reading | GpuReading, seconds: float) -> None: ...

    def failed(self, target: str, at: Instant, seconds: float, error: ScrapeError) -> None: ...


class Poller:
    """Looks at one target at offset + k x interval of the monotonic clock, counted from the start of `run`."""

    def __init__(self, target: Target, look: Look, clock: Clock, sink: Sink, offset_ns: int) -> None:
        self._target = target
        self._look = look
        self._clock = clock
        self._sink = sink
        self._offset_ns = offset_ns
        self._up: bool | None = None  # None: not tried yet
        self._seen: set[str] = set()  # bugs already logged

    async def run(self) -> None:
        """Poll until cancelled. A slot that passed while a scrape ran is skipped, so slots never bunch."""
        interval = self._target.interval_ns
        slot = self._clock.now().monotonic_ns + self._offset_ns
        while True:
            await self._clock.sleep_until(slot)
            await self.poll_once()
            late = max(0, self._clock.now().monotonic_ns - slot)
            slot += (late // interval + 1) * interval

    async def poll_once(self) -> None:
        """One scrape. Every failure ends in the sink; a cancelled scrape changes nothing."""
        started = self._clock.now()
        try:
            reading = await self._look()
            await self._sink.good(reading, self._seconds_since(started))
        except ScrapeError as error:
            failure = error.with_traceback(None)  # whose frames would keep the body until the collector finds them
        except Exception as error:  # one bad source hurts only itself
            failure = self._bug(error)
        else:
            if not self._up:
                LOG.info("target %s is up, engine %s", self._target.name, reading.engine)
            self._up = True
            return
        if self._up is not False:
            LOG.warning("target %s is down, %s: %s", self._target.name, failure.reason, failure)
        self._up = False
        self._sink.failed(self._target.name, self._clock.now(), self._seconds_since(started), failure)

    def _bug(self, error: Exception) -> ScrapeError:
        kind = repr(error)[:200]
        if kind not in self._seen and len(self._seen) < 20:
            self._seen.add(kind)
            LOG.error("target %s: unexpected error", self._target.name, exc_info=error)
        return ScrapeError(Reason.INTERNAL, f"{self._target.name}: {type(error).__name__}, see the log")

    def _seconds_since(self, started: Instant) -> float:
        return (self._clock.now().monotonic_ns - started.monotonic_ns) / NS


def spread(targets: Iterable[Target]) -> dict[str, int]:
    """When each target is first scraped, in ns after the start: groups spread evenly over the interval.

    Which targets share a group is drawn from their names, so it is the same at every start and a pool's replicas do
    not all wake together. A few start at once.
    """
    drawn = sorted(targets, key=lambda target: blake2b(target.name.encode(), digest_size=8).digest())
    if len(drawn) <= FEW:
        return {target.name: 0 for target in drawn}
    groups = -(-len(drawn) // GROUP)
    return {target.name: index // GROUP * target.interval_ns // groups for index, target in enumerate(drawn)}
