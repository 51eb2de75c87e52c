"""The pollers of a config: one task for each target, begun and ended as targets come and go."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from exporter.clock import Clock
from exporter.records import NS
from exporter.sources.fetch import Fetcher
from exporter.sources.limits import Room
from exporter.sources.look import look_at
from exporter.sources.nvml import Nvml
from exporter.sources.poller import Poller, Sink, spread
from exporter.sources.target import Target
from exporter.waiting import Turns


class Pollers:
    """They run in `tasks` and share the connections of `fetcher`, the room for series, and turns on the loop."""

    def __init__(self, tasks: asyncio.TaskGroup, fetcher: Fetcher, clock: Clock, sink: Sink) -> None:
        self._tasks = tasks
        self._fetcher = fetcher
        self._clock = clock
        self._sink = sink
        self._room = Room()
        self._turns = Turns()
        self._running: dict[Target, asyncio.Task[None]] = {}
        self._ended = False
        self._nvml: Nvml | None = None

    def configure(self, wanted: Sequence[Target]) -> None:
        """Poll these; one that is the same in every respect goes on undisturbed. Nothing after `end`: reloads may be
        late."""
        if self._ended:
            return
        offsets = spread(wanted)
        for target in self._running.keys() - set(wanted):
            self._running.pop(target).cancel()
        for target in wanted:
            if target not in self._running:
                driver = partial(self._driver, target)
                look = look_at(target, self._fetcher, self._clock, driver, self._room, self._turns)
                poller = Poller(target, look, self._clock, self._sink, offsets[target.name])
                self._running[target] = self._tasks.create_task(poller.run(), name=f"poll {target.name}")

    def end(self) -> None:
        """Poll no more."""
        self._ended = True
        for task in self._running.values():
            task.cancel()

    async def close(self) -> None:
        """Let go of the driver."""
        if self._nvml:
            await self._nvml.close()

    def _driver(self, target: Target) -> Nvml:
        """The driver of this machine, which a process can have open once only; its timeout is that of its first use."""
        if self._nvml is None:
            self._nvml = Nvml(target.timeout_ns / NS)
        return self._nvml
