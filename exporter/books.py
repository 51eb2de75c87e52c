"""The books of the whole process: readings in, one exact tick at a time out. Pure: told the time, never asks.

Between ticks only meters and health change. A tick accrues every pool's cost, settles who used it, books it to the
accounts and says what the ledger must write; `gauges` then reads what is published. Nothing here blocks or awaits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from exporter.allocation.lots import Seen
from exporter.allocation.pool import Booked, PoolBook, Timing
from exporter.allocation.tenants import Admission
from exporter.config.schema import Config, Pool
from exporter.errors import Reason
from exporter.ledger import families as f
from exporter.ledger.accounts import Labels
from exporter.ledger.changes import Changes, Saved, State
from exporter.ledger.money import PICO_PER_USD
from exporter.live import Live
from exporter.metering.labels import safe
from exporter.metering.meter import Meter
from exporter.metering.route import Scope
from exporter.metering.usage import Usage
from exporter.pricing.book import PriceBook
from exporter.records import OTHER, Instant, Reading
from exporter.sources.registry import ENGINES

Gauges = dict[str, dict[Labels, float]]


class Books:
    """Everything that counts, restored from `saved` and going on from `now`."""

    def __init__(self, config: Config, saved: Saved, now: Instant) -> None:
        self.accounts = f.open_books()
        for name, rows in saved.accounts.items():
            for labels, value in rows:
                self.accounts[name].add(labels, value)
            self.accounts[name].unsaved.clear()
        self._live = Live(config.live.windows)
        self._live.begin(now.monotonic_ns)
        self._pools: dict[str, PoolBook] = {}
        self._meters: dict[str, Meter] = {}
        self._targets: dict[str, str] = {}  # target -> pool
        self._members: dict[str, frozenset[str]] = {}  # pool -> targets
        self._read: set[str] = set()  # targets read since the last tick
        self._answered: set[str] = set()  # targets read since this process started
        self._events: Counter[tuple[str, Labels]] = Counter()  # what the next tick adds to the health counters
        self._gone_pools: set[str] = set()
        self._gone_targets: set[str] = set()
        self._tenants: dict[str, None] = {}  # everyone who has an account, in the order of their first
        self._tenant_rows = 0
        self._last = now
        self._adopt(config, saved, now)

    # -- readings ---------------------------------------------------------------------------------------------------

    def observe(self, reading: Reading) -> None:
        """Take one good scrape. ScrapeError, with nothing changed, when it cannot be this target's next page."""
        pool = self._targets.get(reading.target)
        if pool is None:
            return  # a scrape that was under way when a reload dropped its target
        meter = self._meters.get(reading.target)
        engine = ENGINES[reading.engine]
        if meter is None:
            meter = self._meters[reading.target] = Meter(engine, self._scope(reading.target))
        elif meter.engine is not engine:
            meter.configure(engine, self._scope(reading.target))
        meter.observe(reading)
        if reading.process_start is not None and reading.target not in self._answered:
            self._pools[pool].prove(reading.process_start)
        self._read.add(reading.target)
        self._answered.add(reading.target)
        self._events[f.SCRAPES, (reading.target,)] += 1

    def failed(self, target: str, reason: Reason) -> None:
        """Count a scrape that gave nothing."""
        if target in self._targets:
            self._events[f.SCRAPES, (target,)] += 1
            self._events[f.FAILURES, (target, reason.value)] += 1

    def save_failed(self) -> None:
        """Count a transaction that did not reach the disk."""
        self._events[f.SAVE_FAILURES, ()] += 1

    # -- time -------------------------------------------------------------------------------------------------------

    def tick(self, now: Instant) -> None:
        """Book everything up to `now`."""
        elapsed = max(0, now.monotonic_ns - self._last.monotonic_ns)
        self._last = now
        used: dict[str, Usage] = {name: Usage() for name in self._pools}
        for target, pool in self._targets.items():  # in the config's order, so that rows come in the same order
            if target in self._meters:
                usage = self._meters[target].take()
                used[pool].merge(usage)
                self._events[f.RESETS, (target,)] += usage.resets
        booked = {}
        for name, book in self._pools.items():
            seen = self._seen(name, used[name])
            booked[name] = book.tick(now.wall_ns - elapsed, now.wall_ns, used[name], seen)
            self._post(name, booked[name])
            if book.gaps and self._members[name] <= self._answered:
                book.gaps = []  # every engine has spoken; what none of them proved was not paid for
        self._post_events()
        self._live.record(now.monotonic_ns, booked)
        self._read.clear()

    def _seen(self, pool: str, usage: Usage) -> Seen:
        if any(usage.tokens.values()):
            return Seen.USED
        targets = self._members[pool]
        if not targets <= self._read:
            return Seen.UNKNOWN
        running = any((self._meters[target].gauges.running or 0) > 0 for target in targets)
        return Seen.BUSY if running else Seen.QUIET

    def _post(self, pool: str, booked: Booked) -> None:
        accounts, usage = self.accounts, booked.usage
        for resource, amount in booked.cost.items():
            accounts[f.COST].add((pool, resource), amount)
        accounts[f.IDLE].add((pool,), booked.idle)
        accounts[f.GPU_TIME].add((pool,), booked.gpu_ns)
        accounts[f.BUSY_TIME].add((pool,), booked.busy_ns)
        for (tenant, model, token), amount in usage.tokens.items():
            accounts[f.TOKENS].add((tenant, model, pool, token), amount)
            accounts[f.SPEND].open((tenant, model, pool, token))
            if not booked.priced:
                accounts[f.UNPRICED].add((model, pool, token), amount)
            if tenant == OTHER:
                accounts[f.OVERFLOW].add((), amount)
        for (tenant, model, token), amount in booked.spend.items():
            accounts[f.SPEND].add((tenant, model, pool, token), amount)
        for (tenant, model), amount in usage.requests.items():
            accounts[f.REQUESTS].add((tenant, model, pool), amount)
        for (model, phase), amount in usage.nanoseconds.items():
            accounts[f.REQUEST_TIME].add((pool, model, phase), amount)

    def _post_events(self) -> None:
        for (family, labels), amount in self._events.items():
            self.accounts[family].add(labels, amount)
        self._events.clear()

    # -- config -----------------------------------------------------------------------------------------------------

    def configure(self, config: Config, now: Instant) -> None:
        """Swap to a new config: the old one is booked up to `now`, then other prices, pools and targets hold."""
        self.tick(now)
        self._live.configure(config.live.windows)
        self._live.begin(now.monotonic_ns)
        self._adopt(config, Saved(), now)

    def _adopt(self, config: Config, saved: Saved, now: Instant) -> None:
        prices = PriceBook(config.prices.gpus)
        self._admission = Admission(
            config.tenants,
            (pool.tenant for pool in config.pools if pool.tenant),
            {labels[0] for labels in self.accounts[f.TOKENS].labels},
        )
        pools = {pool.name: pool for pool in config.pools}
        for name in self._pools.keys() - pools.keys():
            self.accounts[f.IDLE].add((name,), self._pools.pop(name).close())
            self._gone_pools.add(name)
        for name, state in saved.pools.items():
            if name not in pools:  # it left the config while the exporter was down
                self.accounts[f.IDLE].add((name,), sum(lot[1] for lot in state["lots"]))
                self._gone_pools.add(name)
        for name, pool in pools.items():
            self._gone_pools.discard(name)
            if name in self._pools:
                self._pools[name].configure(pool, prices)
                continue
            book = self._pools[name] = PoolBook(pool, prices, now.wall_ns, self._lifetime(name))
            if name in saved.pools:
                book.restore(saved.pools[name], now.wall_ns)
        self._adopt_targets(pools, saved)

    def _adopt_targets(self, pools: Mapping[str, Pool], saved: Saved) -> None:
        self._endpoints = {end.target: (pool, end) for pool in pools.values() for end in pool.endpoints}
        targets = {target: pool.name for target, (pool, _) in self._endpoints.items()}
        self._gone_targets |= (self._targets.keys() | saved.targets.keys()) - targets.keys()
        self._gone_targets -= targets.keys()
        self._targets = targets
        self._members = {name: frozenset(end.target for end in pool.endpoints) for name, pool in pools.items()}
        for target in self._meters.keys() - targets.keys():
            del self._meters[target]
        self._answered &= targets.keys()
        for target in targets:
            self.accounts[f.SCRAPES].open((target,))
            self.accounts[f.RESETS].open((target,))
        for target, meter in self._meters.items():
            meter.configure(meter.engine, self._scope(target))
        for target, state in saved.targets.items():
            if target in targets and state["engine"] in ENGINES:
                meter = self._meters[target] = Meter(ENGINES[state["engine"]], self._scope(target))
                owed = {(tenant, model, token): amount for tenant, model, token, amount in state["owed"]}
                meter.restore(saved.baselines.get(target, {}), state["process_start"], state["last_seen_ns"], owed)

    def _scope(self, target: str) -> Scope:
        pool, end = self._endpoints[target]
        return Scope(
            role=end.role,
            model=safe(end.model or pool.name),
            tenant=self._admission.of(pool),
            watched_since_ns=self._pools[pool.name].watched_since_ns,
        )

    def _lifetime(self, pool: str) -> Timing:
        timing: Timing = {}
        for labels, value in zip(self.accounts[f.TOKENS].labels, self.accounts[f.TOKENS].values, strict=True):
            if labels[2] == pool:
                timing[labels[1], labels[3]] = timing.get((labels[1], labels[3]), 0) + value
        for labels, value in zip(
            self.accounts[f.REQUEST_TIME].labels, self.accounts[f.REQUEST_TIME].values, strict=True
        ):
            if labels[0] == pool:
                timing[labels[1], labels[2]] = value
        return timing

    # -- ledger -----------------------------------------------------------------------------------------------------

    def drain(self) -> Changes:
        """What changed since the last drain, as one transaction. One that was not saved goes to `undrain`."""
        accounts = []
        for name, family in self.accounts.items():
            accounts += [(name, row, family.labels[row], family.values[row]) for row in sorted(family.unsaved)]
            family.unsaved.clear()
        pools: dict[str, State | None] = {name: book.state() for name, book in self._pools.items()}
        pools.update(dict.fromkeys(self._gone_pools))
        targets: dict[str, State | None] = dict.fromkeys(self._gone_targets)
        baselines: dict[str, dict[str, float]] = {}
        dropped = set()
        for target, meter in self._meters.items():
            if not meter.touched:
                continue
            targets[target] = _meter_state(meter)
            baselines[target] = {key: meter.baselines[key] for key in meter.unsaved}
            if meter.dropped:
                dropped.add(target)
            meter.unsaved, meter.dropped, meter.touched = set(), False, False
        self._gone_pools, self._gone_targets = set(), set()
        return Changes(tuple(accounts), pools, targets, baselines, frozenset(dropped))

    def undrain(self, changes: Changes) -> None:
        """These changes did not reach the disk: the next drain carries them again."""
        for name, row, _, _ in changes.accounts:
            self.accounts[name].unsaved.add(row)
        self._gone_pools |= {name for name, state in changes.pools.items() if state is None and name not in self._pools}
        for target, state in changes.targets.items():
            if state is None:
                if target not in self._targets:
                    self._gone_targets.add(target)
            elif target in self._meters:
                meter = self._meters[target]
                meter.unsaved |= changes.baselines[target].keys() & meter.baselines.keys()
                meter.dropped |= target in changes.dropped
                meter.touched = True

    def pending(self, pool: str) -> int:
        """pico-USD accrued and not yet settled; 0 for a pool that is not in the config."""
        return self._pools[pool].lots.pending if pool in self._pools else 0

    # -- what is published besides the accounts ---------------------------------------------------------------------

    def gauges(self, now: Instant) -> Gauges:
        """Metric name -> labels -> value, of pools and live windows."""
        spend = self.accounts[f.SPEND].labels
        self._tenants.update(dict.fromkeys(labels[0] for labels in spend[self._tenant_rows :]))
        self._tenant_rows = len(spend)
        gauges = self._live.gauges(now.monotonic_ns, self._tenants)

        def put(metric: str, labels: Labels, value: float | None) -> None:
            if value is not None:
                gauges.setdefault(metric, {})[labels] = value

        for name, book in self._pools.items():
            supply = book.supply
            price = supply.usd_per_gpu_hour(now.wall_ns)
            put("tokencost_pending_cost_usd", (name,), book.lots.pending / PICO_PER_USD)
            put("tokencost_gpus", (name,), float(supply.gpus))
            put("tokencost_unpriced_gpus", (name,), float(supply.gpus) if price is None else 0.0)
            put("tokencost_gpu_price_usd_per_hour", (name, supply.product), None if price is None else float(price))
            put("tokencost_allocation_info", (name, book.method), 1.0)
            put("tokencost_requests_running", (name,), self._total(name, "running"))
            put("tokencost_requests_waiting", (name,), self._total(name, "waiting"))
            caches = self._values(name, "kv_cache")
            put("tokencost_kv_cache_usage_ratio", (name,), sum(caches) / len(caches) if caches else None)
        return gauges

    def _values(self, pool: str, gauge: str) -> list[float]:
        meters = (self._meters[target] for target in self._members[pool] if target in self._meters)
        return [value for meter in meters if (value := getattr(meter.gauges, gauge)) is not None]

    def _total(self, pool: str, gauge: str) -> float | None:
        values = self._values(pool, gauge)
        return sum(values) if values else None


def _meter_state(meter: Meter) -> State:
    return {
        "engine": meter.engine.name,
        "process_start": meter.process_start,
        "last_seen_ns": meter.last_seen_ns,
        "owed": [[*key, amount] for key, amount in meter.owed.items()],
    }
