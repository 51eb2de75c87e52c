"""When the config is read again: somebody asks (SIGHUP, POST), or its file is another one than before.

However many ask, one reload runs at a time, and those who asked while it ran share the next one: each is answered by a
reload that began after it asked. However often they ask, reloads take a small share of the time, so that scrapes and
answers keep theirs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

from exporter.clock import Clock
from exporter.config.load import load
from exporter.config.schema import Config
from exporter.errors import ConfigError
from exporter.ledger.accounts import Labels
from exporter.records import NS

log = logging.getLogger(__name__)

WATCH_NS = 5 * NS  # a change of the file is seen after that long at most
REST = 100  # after a reload, times as long as it took
MOST_REST_NS = NS  # whoever asks waits for it
APART_NS = 3_000_000  # between two who share a reload: a hundred answers in a row would hold up scrapes

Print = tuple[int, ...] | None  # of a file: another one after each change; None: it cannot be had


class Reloads:
    """Reads the file and hands each valid config to `swap`; a bad one changes nothing."""

    def __init__(self, file: Path, swap: Callable[[Config], Awaitable[None]], clock: Clock) -> None:
        self._file = file
        self._swap = swap
        self._clock = clock
        self._print = fingerprint(file)
        self._worked, self._succeeded_at = True, clock.now().wall_ns / NS  # the last one; Unix seconds of the last good
        self._one_at_a_time = asyncio.Lock()
        self._rested_ns = 0  # of the monotonic clock: not before
        self._asked = self._answered = 0
        self._refusal: ConfigError | None = None  # what the last one that was answered ended with
        self._hung_up = asyncio.Event()

    def ask(self) -> None:
        """Reload soon; what comes of it is logged."""
        self._hung_up.set()

    async def reload(self) -> None:
        """Read the config again and swap to it. ConfigError leaves the old one at work."""
        self._asked += 1
        mine = self._asked
        async with self._one_at_a_time:
            if self._answered >= mine:
                await self._clock.sleep_until(self._clock.now().monotonic_ns + APART_NS)
            else:
                await self._clock.sleep_until(self._rested_ns)
                answers, self._refusal = self._asked, None
                started_ns = self._clock.now().monotonic_ns
                try:
                    await self._reload()
                except ConfigError as error:
                    self._refusal = error
                self._answered, ended_ns = answers, self._clock.now().monotonic_ns
                self._rested_ns = ended_ns + min(REST * (ended_ns - started_ns), MOST_REST_NS)
            if self._refusal:
                raise ConfigError(self._refusal.problems)

    async def _reload(self) -> None:
        try:
            # Looked at before it is read: what changes meanwhile is seen as one more change.
            self._print = await asyncio.to_thread(fingerprint, self._file)
            today = datetime.fromtimestamp(self._clock.now().wall_ns / NS, UTC).date()
            config = await asyncio.to_thread(load, self._file, today=today)
        except ConfigError:
            self._worked = False
            raise
        self._worked, self._succeeded_at = True, self._clock.now().wall_ns / NS
        await self._swap(config)
        log.info("config reloaded", extra={"file": str(self._file)})

    async def run(self) -> None:
        """Reload whenever asked, until cancelled."""
        while True:
            await self._hung_up.wait()
            self._hung_up.clear()
            try:
                await self.reload()
            except ConfigError as error:
                for problem in error.problems:
                    log.warning("config not reloaded, the old one still serves", extra={"problem": problem})

    async def watch(self) -> None:
        """Ask for a reload whenever the file has changed, until cancelled."""
        while True:
            await self._clock.sleep_until(self._clock.now().monotonic_ns + WATCH_NS)
            found = await asyncio.to_thread(fingerprint, self._file)
            if found is not None and found != self._print:  # a file that is being replaced may be gone for a moment
                self._print = found
                self.ask()

    def gauges(self) -> dict[str, dict[Labels, float]]:
        """How the last one went."""
        return {
            "tokencost_config_last_reload_successful": {(): float(self._worked)},
            "tokencost_config_last_reload_success_timestamp_seconds": {(): self._succeeded_at},
        }


def fingerprint(file: Path) -> Print:
    """Follows links: a mounted ConfigMap is replaced by turning one."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
