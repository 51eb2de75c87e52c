"""Pushes the last tick to a receiver of OpenTelemetry's protocol (OTLP over HTTP), once an interval.

The numbers are those of /metrics, as they were committed, so the SDK's pipeline has no part in it: its instruments add
up what they are told, and here all is added up. Nor has its exporter, which holds a thread while a receiver is slow and
reads an answer to its end, if it has one. The resource is the SDK's, the messages are opentelemetry-proto's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from itertools import count
from zlib import crc32

from exporter.clock import Clock
from exporter.config.schema import Otlp
from exporter.errors import Reason, ScrapeError
from exporter.ledger import families as f
from exporter.ledger.accounts import Labels
from exporter.ledger.changes import Saved
from exporter.publish.otlp_link import LONGEST_WAIT, Failure, Link
from exporter.publish.server import Site
from exporter.publish.view import View
from exporter.records import NS, Instant
from exporter.sources.fetch import Fetcher

log = logging.getLogger(__name__)

FLUSH_SECONDS = 2.0

Count = Callable[[str, Labels, int], None]  # family, labels, times


class Pusher:
    """Pushes what the site shows to where the config says, if it says so. `count` books what became of it.

    `ledger`: whose counters they are; only its identity is used.
    """

    def __init__(
        self, site: Site, clock: Clock, count: Count, ledger: Saved, *, flush_seconds: float = FLUSH_SECONDS
    ) -> None:
        self._site = site
        self._clock = clock
        self._count = count
        self._ledger = Saved(ledger_id=ledger.ledger_id, began=ledger.began)
        self._flush_seconds = flush_seconds
        self._settings: Otlp | None = None
        self._changed = asyncio.Event()
        self._pushed: Instant | None = None  # the tick that was last taken whole
        self._works: bool | None = None  # None: not tried yet

    def configure(self, settings: Otlp | None) -> None:
        """Push there from now on; None: nowhere."""
        if settings == self._settings:
            return
        self._settings, self._pushed, self._works = settings, None, None
        self._changed.set()
        if settings:
            self._count(f.PUSHES, (), 0)

    async def run(self) -> None:
        """Push until cancelled. No failure ends it."""
        while True:
            self._changed.clear()
            pushing = asyncio.create_task(self._push_for_ever(), name="otlp pushes")
            try:
                await self._changed.wait()
            finally:
                pushing.cancel()
                await asyncio.wait([pushing])

    async def flush(self) -> None:
        """Push the last tick if it was not, in a single attempt and within `flush_seconds`."""
        view = self._news()
        if self._settings is None or view is None:
            return
        try:
            async with asyncio.timeout(self._flush_seconds), Fetcher() as fetcher:
                await self._push(Link(self._settings, self._ledger, fetcher), self._settings.target, view, 0)
        except TimeoutError:
            log.warning("otlp: the last tick was not pushed within %g s", self._flush_seconds)

    async def _push_for_ever(self) -> None:
        """At k x interval of the monotonic clock, counted from now. Slots that pass meanwhile are skipped."""
        settings = self._settings
        if settings is None:
            return
        async with Fetcher() as fetcher:
            link = Link(settings, self._ledger, fetcher)
            due = self._clock.now().monotonic_ns + settings.interval
            while True:
                await self._clock.sleep_until(due)
                failure = None
                if view := self._news():
                    failure = await self._push(link, settings.target, view, due + settings.interval)
                earliest = self._clock.now().monotonic_ns + round(failure.wait * NS if failure else 0)
                while due <= earliest:
                    due += settings.interval

    def _news(self) -> View | None:
        """The last tick, unless it was pushed."""
        view = self._site.view
        return view if view and view.at != self._pushed else None

    async def _push(self, link: Link, name: str, view: View, until_ns: int) -> Failure | None:
        """One tick, whole; retried until then, when newer numbers are due. What went wrong last, if anything did."""
        try:
            failure = await self._deliver(link, view, until_ns)
        except ScrapeError as error:
            failure = Failure(error.reason.value, str(error))
        except Exception as error:  # ours, and no reason to stop counting money
            if self._works is not False:
                log.exception("otlp: unexpected error")
            failure = Failure(Reason.INTERNAL.value, f"{type(error).__name__}, see the log")
        self._count(f.PUSHES, (), 1)
        if failure:
            self._count(f.PUSH_FAILURES, (failure.reason,), 1)
            if self._works is not False:
                log.warning("otlp: pushing to %s fails, %s: %s", name, failure.reason, failure.detail)
        else:
            self._pushed = view.at
            if not self._works:
                log.info("otlp: %s takes what is pushed", name)
        self._works = failure is None
        return failure

    async def _deliver(self, link: Link, view: View, until_ns: int) -> Failure | None:
        headers = await asyncio.to_thread(link.headers)
        bodies = link.bodies(view)
        last: Failure | None = None
        while body := await asyncio.to_thread(next, bodies, b""):
            failure = await self._send(link, body, headers, until_ns)
            last = failure or last
            if failure and not failure.alone:
                break
        return last

    async def _send(self, link: Link, body: bytes, headers: dict[str, str], until_ns: int) -> Failure | None:
        """One request, tried again while that may help."""
        for attempt in count():
            failure = await link.send(body, headers, self._clock.now().wall_ns)
            if failure is None or not failure.passing:
                break
            wait = max(failure.wait, self._backoff(attempt))
            again_ns = self._clock.now().monotonic_ns + round(wait * NS)
            if again_ns >= until_ns:
                break
            await self._clock.sleep_until(again_ns)
        return failure

    def _backoff(self, attempt: int) -> float:
        """1, 2, 4, ... seconds, less up to half of it: not at the same moment as every other exporter."""
        drawn = crc32(f"{self._ledger.ledger_id}{attempt}".encode()) / 2**32
        return min(2.0**attempt, LONGEST_WAIT) * (1 - drawn / 2)
