"""The whole program, put together: config -> objects -> one group of named tasks.

    pollers --readings--> Books --tick--> Store (commit) --> Exposition (render) --> Site --> Server

Everything is built here and handed down. One lock orders what must not overlap: a tick, a reload, the last save.
"""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

from exporter import __version__
from exporter.books import Books
from exporter.books import Published as Gauges
from exporter.clock import Clock
from exporter.collected import Collected
from exporter.config.schema import Config
from exporter.config.shard import WHOLE, Shard
from exporter.discovery.discovery import Discovery
from exporter.errors import LedgerError, ScrapeError
from exporter.health import Health
from exporter.ledger.changes import Changes, State
from exporter.ledger.store import Store
from exporter.loop import Upkeep
from exporter.pricing.catalog import Catalog
from exporter.publish.catalog import CATALOG, of_shard
from exporter.publish.gate import Gate
from exporter.publish.otlp import Pusher
from exporter.publish.runtime import Runtime
from exporter.publish.server import Server, Site
from exporter.publish.snapshot import Snapshot
from exporter.publish.view import TargetStatus, View
from exporter.publish.writer import Exposition
from exporter.records import NS, GpuReading, Instant, Reading
from exporter.reloads import Reloads
from exporter.sources.fetch import Fetcher
from exporter.sources.pollers import Pollers
from exporter.sources.target import Target, targets
from exporter.waiting import Thread, first

log = logging.getLogger(__name__)

MANY = 2_000  # series of a page that are not metered on the loop: a microsecond or two each

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    config_file: Path
    listen_address: str = ":9742"
    telemetry_path: str = "/metrics"
    storage_path: str = "data/ledger.db"
    web_config_file: Path | None = None
    enable_lifecycle: bool = False
    auto_reload: bool = False
    shard: Shard = WHOLE


class App:
    """One exporter process. `run` returns after SIGTERM, SIGINT or `stop`, with the ledger saved.

    ConfigError where web.yml will not do.
    """

    def __init__(self, options: Options, config: Config, clock: Clock, upkeep: Upkeep | None = None) -> None:
        self.gate = Gate(options.web_config_file)
        self._options = options
        # With what was discovered, and as it stands in the file: of both, what this shard has.
        self._config = self._written = options.shard.part(config)
        self._clock = clock
        self._started = clock.now()
        self._stop = asyncio.Event()
        self._reconfigured = asyncio.Event()  # the interval may be another one
        self._tick_lock = asyncio.Lock()
        self._serving = asyncio.Event()  # there are books and pollers
        self._tried = asyncio.Event()  # every target has been tried once
        self._catalog = Catalog()
        self._health = Health()
        self._site = Site()
        self._upkeep = upkeep
        self._exposition = Exposition(Runtime(upkeep.lag if upkeep else None).block)
        self._published = of_shard(str(options.shard.index)) if options.shard != WHOLE else CATALOG
        self._store = Store(options.storage_path)
        self._reloads = Reloads(options.config_file, self._swap, clock)
        # One worker, so that whatever touches the ledger or the page happens in order, even after a cancellation.
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        # One for all meters, so that what a cancelled scrape left running ends before the target's next one begins, and
        # before the books take another config.
        self._meter = Thread("meter")
        self._meter_lock = asyncio.Lock()  # held while a reading is taken, and while the books take another config
        self._saved_at: float | None = None  # Unix seconds of the last transaction
        self._save_works = True

    def stop(self) -> None:
        """Ask the program to save and end."""
        self._stop.set()

    async def run(self, on_listening: Callable[[str], None] | None = None) -> None:
        """Serve until stopped. LedgerError or StartError when it cannot start."""
        self._handle_signals()
        saved = await self._in_worker(self._store.open)
        server = Server(
            self._site,
            telemetry_path=self._options.telemetry_path,
            reload=self._reloads.reload if self._options.enable_lifecycle else None,
            gate=self.gate,
        )
        try:
            address = await server.start(self._options.listen_address)
            log.info("listening", extra={"address": address, "scheme": self.gate.scheme, "version": __version__})
            if on_listening:
                on_listening(address)
            await self._load_catalog(self._config)
            async with Discovery(self._clock, saved.discovered) as self._discovery:
                await first(self._discovery.prepare(self._written), self._stop.wait())
                self._config = self._discovery.adopt(self._written)
                self._books = Books(self._config, saved, self._clock.now(), self._catalog)
                wanted = targets(self._config)
                self._health.configure(wanted)
                self._ledger_id = saved.ledger_id
                self._pusher = Pusher(self._site, self._clock, self._books.count, saved)
                self._pusher.configure(self._config.otlp)
                try:
                    await self._serve(wanted)
                finally:
                    async with self._tick_lock:
                        await self._tick()
                    await self._pusher.flush()
                    await server.stop()
        finally:
            await self._in_worker(self._store.close)
            self._worker.shutdown()
            self._meter.close()
        log.info("stopped", extra={"ledger": self._options.storage_path})

    async def _serve(self, wanted: Sequence[Target]) -> None:
        async with Fetcher() as fetcher, asyncio.TaskGroup() as tasks:
            self._pollers = Pollers(tasks, fetcher, self._clock, self)
            self._pollers.configure(wanted)
            self._note_tried()  # there may be nothing to try yet
            self._serving.set()
            tasks.create_task(self._tick_for_ever(), name="tick")
            others = [
                tasks.create_task(self._reloads.run(), name="reload when asked"),
                tasks.create_task(self._pusher.run(), name="push to OTLP"),
                tasks.create_task(self._follow_discovery(), name="follow what is discovered"),
            ]
            if self._options.auto_reload:
                others.append(tasks.create_task(self._reloads.watch(), name="watch the config"))
            await self._stop.wait()
            async with self._tick_lock:  # a swap is not cut off in the middle
                self._pollers.end()
                for task in others:
                    task.cancel()
        await self._pollers.close()

    async def _swap(self, config: Config) -> None:
        """From now on that config holds, for what was counted too: nothing is counted twice, and nothing is lost."""
        await self._serving.wait()  # asked for while the program starts
        config = await asyncio.to_thread(self._options.shard.part, config)
        if config == self._written:
            return
        await self._load_catalog(config)
        await self._discovery.prepare(config)
        async with self._tick_lock:
            self._written = config
            await self._hold(self._discovery.adopt(config))
            self._reconfigured.set()

    async def _follow_discovery(self) -> None:
        """Other targets under the same config, for as long as there are any."""
        while True:
            await self._discovery.changed()
            async with self._tick_lock:
                config = self._discovery.resolved()
                if config != self._config:
                    await self._hold(config)

    async def _hold(self, config: Config) -> None:
        wanted = await self._in_worker(targets, config)
        async with self._meter.free, self._meter_lock:
            found = self._books.collect(self._clock.now())
            await self._in_worker(self._books.swap, found, config)
        self._config = config
        self._pusher.configure(config.otlp)
        self._health.configure(wanted)
        await asyncio.sleep(0)  # of a thousand targets each of these takes milliseconds
        self._pollers.configure(wanted)
        await asyncio.sleep(0)
        await self._tick()

    async def _load_catalog(self, config: Config) -> None:
        """Where API models may need it, import the price catalog: tenths of a second, so not on the loop."""
        priced = any(route.provider for gateway in config.gateways for route in gateway.routes)
        if priced and config.prices.catalog != "none":
            await self._in_worker(self._catalog.load)

    # -- sources ----------------------------------------------------------------------------------------------------

    async def good(self, reading: Reading | GpuReading, seconds: float) -> None:
        """A poller read a source (Sink). Cancelled while much is worked out, it changes nothing."""
        measured = None
        if isinstance(reading, Reading) and len(reading.samples) > MANY:
            measured = await self._meter.do(self._books.measure, reading)
        async with self._meter_lock:
            if isinstance(reading, Reading):
                self._books.observe(reading, measured)
            else:
                for refusal in self._books.observe_gpus(reading):
                    log.error("%s", refusal)
        self._health.good(reading.target, reading.engine, reading.at, seconds)
        self._note_tried()

    def failed(self, target: str, at: Instant, seconds: float, error: ScrapeError) -> None:  # noqa: ARG002 - Sink
        """A poller could not read a source (Sink)."""
        self._books.failed(target, error.reason)
        self._health.failed(target, seconds, error)
        self._discovery.failed(target, error.reason)
        self._note_tried()

    def _note_tried(self) -> None:
        if self._health.all_tried:
            self._tried.set()

    # -- ticks ------------------------------------------------------------------------------------------------------

    async def _tick_for_ever(self) -> None:
        """The first tick as soon as every target has been tried, then one per interval, a quarter after the scrapes."""
        interval = self._config.scrape.interval
        due = self._started.monotonic_ns + interval + interval // 4
        await first(self._stop.wait(), self._tried.wait(), self._clock.sleep_until(due))
        while not self._stop.is_set():
            async with self._tick_lock:
                await self._tick()
            now = self._clock.now().monotonic_ns
            if self._reconfigured.is_set():
                self._reconfigured.clear()
                due = now
            while due <= now:
                due += self._config.scrape.interval
            await first(self._stop.wait(), self._reconfigured.wait(), self._clock.sleep_until(due))

    async def _tick(self) -> None:
        """Book, commit, then publish: nothing that was seen can be unseen. The loop only collects and hands over."""
        now = self._clock.now()
        self._discovery.report(self._books.count)
        found, statuses = self._books.collect(now), self._health.statuses()
        health, ready = self._health.gauges(), self._health.all_tried and self._discovery.all_tried
        health |= self._discovery.gauges()
        unsaved = await self._in_worker(self._commit, found, self._discovery.drain())
        if unsaved is None:
            self._saved_at = now.wall_ns / NS
            if not self._save_works:
                log.info("the ledger can be written again")
            self._save_works = True
        else:
            changes, error = unsaved
            self._books.undrain(changes)
            self._discovery.undrain(changes.discovered)
            self._books.save_failed()
            if self._save_works:
                log.warning("cannot save the ledger: serving from memory, trying again", extra={"error": error})
            self._save_works = False
        await self._in_worker(self._publish, now, health, statuses)
        if self._upkeep:
            await self._in_worker(self._upkeep.settle)
        self._site.ready = self._site.ready or ready

    # Of ten thousand tenants it takes a while to make what is saved and what is published, and to let go of it: both of
    # these leave nothing of it to the loop.

    def _commit(self, found: Collected, discovered: dict[str, State | None]) -> tuple[Changes, LedgerError] | None:
        self._books.book(found)
        changes = replace(self._books.drain(), discovered=discovered)
        try:
            self._store.save(changes)
        except LedgerError as error:
            return changes, error
        return None

    def _publish(self, now: Instant, health: Gauges, statuses: tuple[TargetStatus, ...]) -> None:
        gauges = self._books.gauges(now) | health | self._own_gauges()
        if self._options.shard != WHOLE:  # the others spend too: when it is used up, no shard knows
            gauges.pop("tokencost_budget_exhaustion_timestamp_seconds", None)
        view = View(now, self._started, self._books.accounts, gauges, statuses, self._published)
        self._site.history.update(view)
        self._site.rendered, self._site.snapshot, self._site.view = self._exposition.update(view), Snapshot(view), view

    def _own_gauges(self) -> Gauges:
        gauges = self._reloads.gauges()
        if self._saved_at is not None:
            gauges["tokencost_ledger_last_save_timestamp_seconds"] = {(): self._saved_at}
        if self._ledger_id:
            gauges["tokencost_ledger_info"] = {(self._ledger_id,): 1.0}
        shard = self._options.shard
        if shard != WHOLE:
            gauges["tokencost_shard_info"] = {(str(shard.index), str(shard.of)): 1.0}
        build = (__version__, os.environ.get("TOKENCOST_REVISION", ""), platform.python_version())
        gauges["tokencost_build_info"] = {build: 1.0}
        return gauges

    async def _in_worker(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._worker, partial(work, *args, **kwargs))

    # -- signals ----------------------------------------------------------------------------------------------------

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.stop)
        loop.add_signal_handler(signal.SIGINT, self.stop)
        loop.add_signal_handler(signal.SIGHUP, self._reloads.ask)
