"""The books of the whole process: readings in, one exact tick at a time out. Pure: told the time, never asks.

Between ticks only meters change, with each reading that `observe` takes. `collect` takes what they have, quickly;
`book` accrues every pool's cost, settles who used it, prices what went to providers and books it all to the accounts;
`drain` says what the ledger must write and `gauges` what is published. Nothing here awaits, and all but observing and
collecting may run in a worker thread.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from exporter.allocation.api import ApiBook
from exporter.allocation.booked import Booked
from exporter.allocation.gpus import Gpus
from exporter.allocation.holdings import Refusal
from exporter.allocation.lots import Seen
from exporter.allocation.pool import PoolBook, Timing
from exporter.allocation.roster import Roster
from exporter.budgets.budgets import Budgets
from exporter.collected import Collected, sort_out
from exporter.config.schema import Config
from exporter.errors import Reason
from exporter.ledger import families as f
from exporter.ledger import saving
from exporter.ledger.accounts import Family, Labels
from exporter.ledger.changes import Changes, Saved, State
from exporter.ledger.departures import Departures
from exporter.live import Live
from exporter.metering.meter import Measured
from exporter.metering.meters import Meters
from exporter.metering.usage import Gauges, Usage
from exporter.posting import Posting
from exporter.pricing.book import PriceBook, midnight_ns
from exporter.pricing.card import PriceCard
from exporter.pricing.catalog import Catalog
from exporter.published import pool_gauges
from exporter.records import NS, GpuReading, Instant, Reading

Published = dict[str, dict[Labels, float]]

_PROVIDER = "provider:"  # providers' and gateways' states stand among the pools' in the ledger; no pool has a colon
_GATEWAY = "gateway:"


class Books:
    """Everything that counts, restored from `saved` and going on from `now`."""

    def __init__(self, config: Config, saved: Saved, now: Instant, catalog: Catalog | None = None) -> None:
        self._catalog = catalog or Catalog()
        self.accounts = f.open_books()
        for name, rows in saved.accounts.items():
            for labels, value in rows:
                self.accounts[name].add(labels, value)
            self.accounts[name].unsaved.clear()
        self._post = Posting(self.accounts)
        self._budgets = Budgets(self.accounts[f.SPEND], saved, now)
        self._live = Live(config.live.windows)
        self._live.begin(now.monotonic_ns)
        self._meters = Meters(saved)
        self._gpus = Gpus(saved)
        self._pools: dict[str, PoolBook] = {}
        self._apis: dict[str, ApiBook] = {}
        self._gateways: dict[str, int] = {}  # name -> Unix ns since when it is watched
        self._events: Counter[tuple[str, Labels]] = Counter()  # what the next tick adds to the health counters
        self._proofs: list[tuple[str, float]] = []
        self._found = Collected(now)
        self._gone: set[str] = set()  # states that the ledger knows and the config does not
        self._tenants: dict[str, None] = {}  # everyone who has an account, in the order of their first
        self._tenant_rows = 0
        self._last = now
        self._departures = Departures(self.accounts)
        self._adopt(config, saved.pools, now)

    # -- readings ---------------------------------------------------------------------------------------------------

    def measure(self, reading: Reading) -> Measured | None:
        """Work out what a good scrape says, for `observe` to take: nothing else here looks at what it changes, so it
        may run in a worker thread, one at a time. ScrapeError as of `observe`."""
        return self._meters.measure(reading)

    def observe(self, reading: Reading, measured: Measured | None = None) -> None:
        """Take one good scrape. What was measured of it saves working it out, unless something came between.
        ScrapeError, with nothing changed, when it cannot be this target's next page."""
        news = reading.target not in self._meters.answered
        if not self._meters.observe(reading, measured):
            return  # a scrape that was under way when a reload dropped its target
        if news and reading.process_start is not None:
            self._proofs.append((self._roster.owner(reading.target), reading.process_start))
        self._events[f.SCRAPES, (reading.target,)] += 1

    def observe_gpus(self, reading: GpuReading) -> list[Refusal]:
        """Take one good look at a source of GPUs; the shares of GPUs that are refused from now on."""
        if reading.target not in self._gpus.meters:
            return []
        self._events[f.SCRAPES, (reading.target,)] += 1
        return [refusal for refusal in self._gpus.observe(reading) if refusal.pool in self._pools]

    def failed(self, target: str, reason: Reason) -> None:
        """Count a scrape that gave nothing."""
        if target in self._meters or target in self._gpus.meters:
            self._events[f.SCRAPES, (target,)] += 1
            self._events[f.FAILURES, (target, reason.value)] += 1

    def save_failed(self) -> None:
        """Count a transaction that did not reach the disk."""
        self._events[f.SAVE_FAILURES, ()] += 1

    def count(self, family: str, labels: Labels = (), times: int = 1) -> None:
        """Count what happened to this process itself, with the next tick; 0 times opens the account."""
        self._events[family, labels] += times

    # -- time -------------------------------------------------------------------------------------------------------

    def tick(self, now: Instant) -> None:
        """Book everything up to `now`."""
        self.book(self.collect(now))

    def collect(self, now: Instant) -> Collected:
        """Everything read since the last tick. Quick; from here on readings belong to the next one."""
        elapsed = max(0, now.monotonic_ns - self._last.monotonic_ns)
        gpus = self._gpus.collect(self._last, now)
        self._last = now
        taken = list(self._meters.take())
        for one in taken:
            if one.resets:
                self._events[f.RESETS, (one.target,)] += one.resets
        events, self._events = self._events, Counter()
        proofs, self._proofs = self._proofs, []
        read, self._meters.read = self._meters.read, set()
        answered, gauges = set(self._meters.answered), self._meters.all_gauges()
        targets = self._meters.drain()
        targets.targets.update(self._gpus.meters.drain())
        return Collected(now, elapsed, taken, events, proofs, read, answered, gauges, gpus, targets)

    def book(self, found: Collected) -> None:
        """Book what was collected. Touches nothing that a reading touches: it may run in a worker thread."""
        self._found = found
        sorted_out = sort_out(found.taken, self._roster, self._pools)
        now, used, reported = found.at, sorted_out.used, sorted_out.reported
        self._budgets.begin(now, found.elapsed_ns)
        for pool, process_start in found.proofs:
            if pool in self._pools:
                self._pools[pool].prove(process_start)
        for place in [place for place in reported if "," in place]:
            for pool, part in self._roster.divide(place, reported.pop(place), self._pools, used).items():
                reported.setdefault(pool, Usage()).merge(part)
        booked: dict[str, Booked] = {}
        for name, book in self._pools.items():
            usage = used.get(name, Usage())
            reports = reported.get(name, Usage()) if name in self._roster.behind_gateways else None
            seen = self._seen(name, usage, found)
            parts = sorted_out.parts.get(name, {})
            gpus = found.gpus.get(name)
            booked[name] = book.tick(now.wall_ns - found.elapsed_ns, now.wall_ns, usage, seen, reports, parts, gpus)
            self._post.use(name, usage if reports is None else reports)
            self._post.engines(name, usage)
            if book.gaps and self._roster.members[name] <= found.answered:
                book.gaps = []  # every engine has spoken; what none of them proved was not paid for
        for place in [place for place in reported if place not in self._pools]:
            booked[place] = self._book_provider(place, reported[place], now)
        for place, result in booked.items():
            self._record(place, result, pool=place in self._pools)
        for (family, labels), amount in found.events.items():
            self.accounts[family].add(labels, amount)
        self._departures.settle(now.monotonic_ns)
        self._budgets.settle()
        self._live.record(now.monotonic_ns, booked)

    def _record(self, place: str, booked: Booked, *, pool: bool) -> None:
        self._post.booked(place, booked, pool=pool)
        self._budgets.add(place, booked.spend)

    def _book_provider(self, place: str, usage: Usage, now: Instant) -> Booked:
        self._post.use(place, usage)
        return self._apis.setdefault(place, ApiBook(place)).tick(self._card, usage, now.wall_ns)

    def _seen(self, pool: str, usage: Usage, found: Collected) -> Seen:
        if any(any(column.values()) for column in usage.tokens.values()):
            return Seen.USED
        targets = self._roster.members[pool]
        if not targets <= found.read:
            return Seen.UNKNOWN
        running = any((found.gauges[target].running or 0) > 0 for target in targets)
        return Seen.BUSY if running else Seen.QUIET

    # -- config -----------------------------------------------------------------------------------------------------

    def configure(self, config: Config, now: Instant) -> None:
        """Swap to a new config: the old one is booked up to `now`, then other prices, pools and targets hold."""
        self.swap(self.collect(now), config)

    def swap(self, found: Collected, config: Config) -> None:
        """Swap to a new config, which holds from where `found` ends. Nothing may be observed or measured meanwhile."""
        self.book(found)
        self._undrain_targets(found.targets)  # nobody will drain that tick by itself
        self._live.configure(config.live.windows)
        self._live.begin(found.at.monotonic_ns)
        self._adopt(config, {}, found.at)

    def _adopt(self, config: Config, saved: dict[str, State], now: Instant) -> None:
        self._budgets.configure(config)
        prices = PriceBook(config.prices.gpus)
        self._card = PriceCard(config.prices.models, self._catalog if config.prices.catalog != "none" else None)
        self._roster = Roster(config, self.accounts[f.TOKENS].labels)
        pools = {pool.name: pool for pool in config.pools}
        gateways = {gateway.name: gateway for gateway in config.gateways}

        for name in self._pools.keys() - pools.keys():
            self._close(self._pools.pop(name))
        for name, pool in pools.items():
            if name in self._pools:
                self._pools[name].configure(pool, prices, config.prices.energy)
                continue
            lifetime = self._lifetime(name)
            book = self._pools[name] = PoolBook(pool, prices, now.wall_ns, lifetime, config.prices.energy)
            if name in saved:
                book.restore(saved[name], now.wall_ns)
        self._gateways = {
            name: self._gateways.get(name) or saved.get(_GATEWAY + name, {}).get("watched_since_ns", now.wall_ns)
            for name in gateways
        }
        for name, state in saved.items():
            if name.startswith(_PROVIDER):
                provider = name.removeprefix(_PROVIDER)
                self._apis[provider] = ApiBook(provider, state["carry"])
            elif not name.startswith(_GATEWAY) and name not in pools:  # it left while the exporter was down
                self._close(PoolBook.leftover(name, state, prices))
            elif name.startswith(_GATEWAY) and name.removeprefix(_GATEWAY) not in gateways:
                self._gone.add(name)

        since = {name: book.watched_since_ns for name, book in self._pools.items()} | self._gateways
        scopes = self._roster.scopes(since)
        self._meters.configure(scopes, now.wall_ns)
        self._gpus.configure(config.sharing)
        self._departures.configure((*scopes, *self._gpus.meters), now.monotonic_ns)

    def _close(self, book: PoolBook) -> None:
        """A pool left: what it had queued is decided now."""
        self._record(book.name, book.close(), pool=True)
        self._gone.add(book.name)

    def _lifetime(self, pool: str) -> Timing:
        timing: Timing = {}
        for (_, model, place, token), value in _rows(self.accounts[f.TOKENS]):
            if place == pool:
                timing[model, token] = timing.get((model, token), 0) + value
        for (place, model, phase), value in _rows(self.accounts[f.REQUEST_TIME]):
            if place == pool:
                timing[model, phase] = value
        return timing

    # -- ledger -----------------------------------------------------------------------------------------------------

    def drain(self) -> Changes:
        """What changed since the last drain, as one transaction. One that was not saved goes to `undrain`."""
        states: dict[str, State | None] = dict.fromkeys(self._gone)
        self._gone = set()
        states |= {name: book.state() for name, book in self._pools.items()}
        states |= {_PROVIDER + name: {"carry": api.carry} for name, api in self._apis.items()}
        states |= {_GATEWAY + name: {"watched_since_ns": since} for name, since in self._gateways.items()}
        targets = self._found.targets
        return replace(
            saving.take(self.accounts, self._budgets.drain()),
            pools=states,
            targets=targets.targets,
            baselines=targets.baselines,
            dropped=targets.dropped,
        )

    def undrain(self, changes: Changes) -> None:
        """These changes did not reach the disk: the next drain carries them again."""
        saving.give_back(self.accounts, changes)
        self._gone |= {name for name, state in changes.pools.items() if state is None}
        self._budgets.undrain(changes)
        self._undrain_targets(changes)

    def _undrain_targets(self, changes: Changes) -> None:
        self._meters.undrain(changes)
        self._gpus.meters.undrain(changes.targets)

    # -- what is published besides the accounts ---------------------------------------------------------------------

    def pending(self, pool: str) -> int:
        """pico-USD accrued and not yet settled; 0 for what is not a pool of the config."""
        return self._pools[pool].pending if pool in self._pools else 0

    def gauges(self, now: Instant) -> Published:
        """Metric name -> labels -> value, of pools, budgets and live windows, as the last tick found them."""
        spend = self.accounts[f.SPEND].labels
        self._tenants.update(dict.fromkeys(labels[0] for labels in spend[self._tenant_rows :]))
        self._tenant_rows = len(spend)
        gauges = self._live.gauges(now.monotonic_ns, self._tenants)

        def put(metric: str, labels: Labels, value: float | None) -> None:
            if value is not None:
                gauges.setdefault(metric, {})[labels] = value

        for name, book in self._pools.items():
            engines = (self._found.gauges.get(target, Gauges()) for target in self._roster.members[name])
            for metric, labels, value in pool_gauges(book, engines, self._found.gpus.get(name), now.wall_ns):
                put("tokencost_" + metric, labels, value)
        for metric, labels, value in self._budgets.gauges():
            put("tokencost_" + metric, labels, value)
        refused = Counter(refusal.pool for refusal in self._gpus.refused)
        for name in (name for name in self._gpus.pools if name in self._pools):
            put("tokencost_refused_gpus", (name,), float(refused[name]))
        for name in self._apis:
            put("tokencost_allocation_info", (name, "price_card"), 1.0)
        if newest := self._catalog.newest_price(now.wall_ns):  # loaded, so somebody needs it
            put("tokencost_price_catalog_info", (self._catalog.version,), 1.0)
            put("tokencost_price_catalog_newest_price_timestamp_seconds", (), midnight_ns(newest) / NS)
        return gauges


def _rows(family: Family) -> Iterable[tuple[Labels, int]]:
    return zip(family.labels, family.values, strict=True)
