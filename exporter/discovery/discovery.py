"""All sources of endpoints of a config: watched side by side, put together into the config that holds now.

    sources --sets--> watchers --resolve--> Config --> swapped to, as at a reload

A new config is prepared first (its sources have answered, or had their time) and then adopted.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from exporter.clock import Clock
from exporter.config.discovery import Discover
from exporter.config.schema import Config
from exporter.discovery.dns import Name
from exporter.discovery.file_sd import INTERVAL, Files
from exporter.discovery.found import Asked, Source
from exporter.discovery.http_sd import HttpService
from exporter.discovery.kubernetes import Pods
from exporter.discovery.resolve import Clash, of_config, resolve
from exporter.discovery.watcher import Watcher
from exporter.errors import Reason
from exporter.ledger import families as f
from exporter.ledger.accounts import Labels
from exporter.ledger.changes import State
from exporter.records import NS
from exporter.sources.fetch import Fetcher
from exporter.waiting import first

log = logging.getLogger("exporter.discovery")

PATIENCE_NS = 10 * NS  # for the first answer of a source; what the ledger knows of it serves after that
APART_NS = NS  # between two changes of targets: what comes together is taken together

Count = Callable[[str, Labels, int], None]  # family, labels, times


class Discovery:
    """An async context manager: its sources are watched until it is left. `saved`: what the ledger knew."""

    def __init__(self, clock: Clock, saved: Mapping[str, State], *, patience_ns: int = PATIENCE_NS) -> None:
        self._clock = clock
        self._patience_ns = patience_ns
        self._saved = dict(saved)  # of sources that have not been seen yet
        self._gone = set(saved)  # states that the ledger has and the config does not
        self._config: Config | None = None
        self._watchers: dict[str, Watcher] = {}
        self._prepared: dict[str, Watcher] = {}
        self._running: dict[Watcher, asyncio.Task[None]] = {}
        self._news = asyncio.Event()
        self._tried = asyncio.Event()
        self._clashes: set[Clash] = set()
        self._failures: Counter[Labels] = Counter()
        self._swapped_ns = 0

    async def __aenter__(self) -> Self:
        self._fetcher = await Fetcher().__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for task in self._running.values():
            task.cancel()
        if self._running:
            await asyncio.wait(self._running.values())
        await self._fetcher.__aexit__(kind, error, traceback)

    # -- a config ---------------------------------------------------------------------------------------------------

    async def prepare(self, config: Config) -> None:
        """Ask the sources of this config that are not watched yet, and wait for them, but not for ever."""
        for watcher in set(self._prepared.values()) - set(self._watchers.values()):
            self._end(watcher)  # of a config that was prepared and not adopted
        self._prepared = {}
        for name, spec in of_config(config).items():
            known = self._watchers.get(name)
            if known and known.spec == spec:
                self._prepared[name] = known
                continue
            state = known.state() if known else self._saved.pop(name, None)
            source = self._source(spec, config.scrape.timeout)
            watcher = self._prepared[name] = Watcher(name, spec, source, self._clock, self._changed, state)
            self._running[watcher] = asyncio.create_task(watcher.run(), name=f"discover {name}")
        self._tried.clear()
        self._note_tried()
        await first(self._tried.wait(), self._clock.sleep_until(self._clock.now().monotonic_ns + self._patience_ns))

    def adopt(self, config: Config) -> Config:
        """From now on this config, which has been prepared, holds: with what was found for it."""
        for watcher in set(self._watchers.values()) - set(self._prepared.values()):
            self._end(watcher)
        self._gone = (self._gone | self._watchers.keys()) - self._prepared.keys()
        self._config, self._watchers = config, dict(self._prepared)
        return self.resolved()

    def resolved(self) -> Config:
        """The config that holds now."""
        assert self._config is not None  # noqa: S101 - one was adopted
        now = self._clock.now().monotonic_ns
        self._news.clear()
        self._swapped_ns = now
        for watcher in self._watchers.values():
            watcher.expire(now)
        found = {name: watcher.endpoints() for name, watcher in self._watchers.items()}
        config, clashes = resolve(self._config, found)
        for clash in set(clashes) - self._clashes:
            log.warning("discovery %s: target %s is left to %s, which has it", clash.source, clash.target, clash.owner)
            self._failures[clash.source, Reason.DUPLICATE.value] += 1
        self._clashes = set(clashes)
        return config

    async def changed(self) -> None:
        """Return when `resolved` has news, at most once a second."""
        while True:
            expiries = [at for watcher in self._watchers.values() if (at := watcher.next_expiry) is not None]
            if not expiries:
                await self._news.wait()
            else:
                await first(self._news.wait(), self._clock.sleep_until(min(expiries)))
            await self._clock.sleep_until(self._swapped_ns + APART_NS)
            if self._news.is_set() or min(expiries, default=0) <= self._clock.now().monotonic_ns:
                return

    def failed(self, target: str, reason: Reason) -> None:
        """A scrape of that target failed: if it is no longer listed, this may be its end."""
        dropped = [watcher.failed(target, reason) for watcher in self._watchers.values()]
        if any(dropped):
            self._news.set()

    def _source(self, spec: Discover, timeout_ns: int) -> Source:
        if spec.file_sd:
            return Asked(Files(spec.file_sd.files).look, self._clock, INTERVAL)
        if spec.http_sd:
            service = HttpService(spec.http_sd, timeout_ns, self._fetcher)
            return Asked(service.look, self._clock, spec.http_sd.interval)
        if spec.dns:
            return Asked(Name(spec.dns, timeout_ns).look, self._clock, spec.dns.interval)
        assert spec.kubernetes  # noqa: S101 - the schema has seen to it
        return Pods(spec.kubernetes, timeout_ns, self._fetcher, self._clock)

    def _changed(self) -> None:
        """Called by watchers, for what has not been adopted too."""
        self._news.set()
        self._note_tried()

    def _note_tried(self) -> None:
        if all(watcher.tried for watcher in self._prepared.values()):
            self._tried.set()

    def _end(self, watcher: Watcher) -> None:
        self._running.pop(watcher).cancel()

    # -- how it is doing --------------------------------------------------------------------------------------------

    @property
    def all_tried(self) -> bool:
        """Every source has answered or failed once."""
        return all(watcher.tried for watcher in self._watchers.values())

    def report(self, count: Count) -> None:
        """Book what failed since the last report."""
        for name, watcher in self._watchers.items():
            for reason, times in watcher.failures.items():
                self._failures[name, reason.value] += times
            watcher.failures.clear()
        for labels, times in self._failures.items():
            count(f.DISCOVERY_FAILURES, labels, times)
        self._failures.clear()

    def gauges(self) -> dict[str, dict[Labels, float]]:
        """The discovery_* gauges."""
        tried = [watcher for watcher in self._watchers.values() if watcher.tried]
        return {
            "tokencost_discovery_up": {(one.name,): float(one.up) for one in tried},
            "tokencost_discovery_targets": {(one.name,): float(len(one.listed)) for one in self._watchers.values()},
            "tokencost_discovery_last_success_timestamp_seconds": {
                (one.name,): one.last_success for one in tried if one.last_success is not None
            },
        }

    # -- ledger -----------------------------------------------------------------------------------------------------

    def drain(self) -> dict[str, State | None]:
        """What the ledger must write. One that was not saved goes to `undrain`."""
        states: dict[str, State | None] = dict.fromkeys(self._gone)
        self._gone = set()
        for name, watcher in self._watchers.items():
            if watcher.unsaved:
                states[name], watcher.unsaved = watcher.state(), False
        return states

    def undrain(self, states: Mapping[str, State | None]) -> None:
        """These did not reach the disk: the next drain carries them again."""
        self._gone |= {name for name, state in states.items() if state is None} - self._watchers.keys()
        for name in states.keys() & self._watchers.keys():
            self._watchers[name].unsaved = True
