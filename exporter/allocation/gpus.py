"""The GPUs of all pools: from what sources read to what each pool held and used in a tick."""

from __future__ import annotations

from collections.abc import Sequence

from exporter.allocation.gputime import GpuTime, gpu_time
from exporter.allocation.holdings import Held, Refusal, hold
from exporter.config.schema import Pool
from exporter.ledger.changes import Saved
from exporter.metering.gpus import GpuMeters
from exporter.records import GpuReading, Instant


class Gpus:
    """Who holds what changes when a source says so, at the moment it says so, and not before the end of a tick."""

    def __init__(self, saved: Saved) -> None:
        self.meters = GpuMeters(saved)
        self._pools: tuple[Pool, ...] = ()
        self._changes: dict[str, list[tuple[int | None, tuple[Held, ...]]]] = {}  # monotonic ns; None: from the start
        self.refused: tuple[Refusal, ...] = ()

    @property
    def pools(self) -> list[str]:
        """The pools whose GPUs a source is read for."""
        return [pool.name for pool in self._pools]

    def configure(self, pools: Sequence[Pool]) -> None:
        """The pools of a config, or those of a shard's and who shares GPUs with them. Between two ticks only."""
        self._pools = tuple(pool for pool in pools if pool.gpus_from is not None)
        self.meters.configure({pool.gpus_from or "" for pool in self._pools})
        held, refused = hold(self._pools, self.meters.gpus())
        self._changes = {name: [(None, found)] for name, found in held.items()}
        self.refused = tuple(refused)

    def observe(self, reading: GpuReading) -> list[Refusal]:
        """Take one reading; the shares that are refused from now on."""
        if not self.meters.observe(reading):
            return []
        held, refused = hold(self._pools, self.meters.gpus())
        for name, found in held.items():
            if found != self._changes[name][-1][1]:
                self._changes[name].append((reading.at.monotonic_ns, found))
        new = [refusal for refusal in refused if refusal not in self.refused]
        self.refused = tuple(refused)
        return new

    def collect(self, began: Instant, now: Instant) -> dict[str, GpuTime]:
        """What each pool held and used between these moments."""
        uses = self.meters.take()
        length = max(0, now.monotonic_ns - began.monotonic_ns)
        found = {}
        for name, changes in self._changes.items():
            moments = [
                (0 if at is None else min(max(0, at - began.monotonic_ns), length), held) for at, held in changes
            ]
            found[name] = gpu_time(moments, uses)
            self._changes[name] = [(None, changes[-1][1])]
        return found
