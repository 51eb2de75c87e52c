"""One pool's money: what it costs, what of it was used, and by whom. Every tick closes exactly."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Self

from exporter.allocation.booked import Booked
from exporter.allocation.claims import Claims
from exporter.allocation.fitted import Rates
from exporter.allocation.fitting import Fitting, Part
from exporter.allocation.gputime import GpuTime
from exporter.allocation.lots import Lot, Lots, Seen, as_row
from exporter.allocation.split import COMPUTE_TIME, FITTED, WEIGHTS, Shares, divide, shares, timed_units, weight_shares
from exporter.allocation.supply import Accrued, Supply
from exporter.columns import Columns, merge, nonzero, sums, together
from exporter.config.prices import Energy
from exporter.config.schema import Pool
from exporter.ledger.changes import State
from exporter.metering.usage import Usage
from exporter.metering.window import Window
from exporter.pricing.book import PriceBook
from exporter.records import NS

# What said how much of the last tick was work.
UTILIZATION, TOKENS = "gpu_utilization", "tokens"
# Seconds are counted when requests finish, tokens while they run: the window must be longer than the longest request.
_TIMING_SPAN_NS = 3600 * NS

Timing = dict[tuple[str, str], int]  # (model, token class) -> tokens, (model, phase) -> nanoseconds


class PoolBook:
    """State of one pool: remainders, lots, how far its time is accrued, and the stretches nobody watched."""

    def __init__(
        self,
        pool: Pool,
        prices: PriceBook,
        watched_since_ns: int,
        lifetime: Timing | None = None,
        energy: Energy | None = None,
    ) -> None:
        self.name = pool.name
        self.watched_since_ns = watched_since_ns
        self.accrued_to_ns = watched_since_ns
        self.gaps: list[tuple[int, int]] = []  # Unix ns; time while the exporter was down, not proven to be paid for
        self.method = WEIGHTS
        self.lots = Lots(pool.claim_within)
        self.claims = Claims(pool.claim_within, self._claimed)
        self._fitting = Fitting()
        self._rates: dict[str, Rates] | None = None  # of the engines' models in this tick, where they are fitted
        self._clock_ns = 0
        self._proven: list[tuple[int, int]] = []
        self._known: set[str] = set()  # models of the last tick with tokens
        self._timing: Window[tuple[str, str]] = Window(_TIMING_SPAN_NS)
        self._lifetime: Timing = dict(lifetime or {})
        self.pool = pool
        self.supply = Supply(pool, prices, energy)
        self.busy_from = TOKENS

    @classmethod
    def leftover(cls, name: str, state: State, prices: PriceBook) -> Self:
        """A pool that left the config while the exporter was down: only good for `close`."""
        end = {"url": "http://gone/metrics"}
        book = cls(Pool.model_validate({"name": name, "endpoints": [end], "gpus": {"count": Decimal(1)}}), prices, 0)
        book.restore(state, state["accrued_to_ns"])
        return book

    def configure(self, pool: Pool, prices: PriceBook, energy: Energy | None = None) -> None:
        """Other prices, another split: the state stays."""
        carry = self.supply.carry
        self.pool = pool
        self.supply = Supply(pool, prices, energy)
        self.supply.carry = carry
        self.lots.horizon_ns = self.claims.horizon_ns = pool.claim_within

    @property
    def pending(self) -> int:
        """pico-USD accrued, and not known yet who used it."""
        return self.lots.pending + self.claims.pending

    def state(self) -> State:
        """What the ledger keeps."""
        return {
            "watched_since_ns": self.watched_since_ns,
            "accrued_to_ns": self.accrued_to_ns,
            "clock_ns": self._clock_ns,
            "carry": self.supply.carry,
            "gaps": self.gaps,
            "lots": [as_row(lot) for lot in self.lots.queue],
            "claims": self.claims.state(),
        }

    def restore(self, state: State, now_wall_ns: int) -> None:
        """Go on from what the ledger kept. The time since then is a gap: it costs only as far as it is proven."""
        self.watched_since_ns = state["watched_since_ns"]
        self._clock_ns = state["clock_ns"]
        self.supply.carry = dict(state["carry"])
        self.lots.queue = deque(Lot(*lot) for lot in state["lots"])
        self.claims.restore(state["claims"])
        self.gaps = [(start, end) for start, end in state["gaps"]]
        if state["accrued_to_ns"] < now_wall_ns:
            self.gaps.append((state["accrued_to_ns"], now_wall_ns))
        self.accrued_to_ns = now_wall_ns

    def prove(self, process_start: float) -> None:
        """An engine of this pool has been alive since then (Unix seconds): so much of the gaps was paid for (law 5)."""
        alive_ns = round(process_start * NS)
        left = []
        for start, end in self.gaps:
            proven = max(start, alive_ns)
            if proven < end:
                self._proven.append((proven, end))
            if min(proven, end) > start:
                left.append((start, min(proven, end)))
        self.gaps = left

    def tick(
        self,
        start_ns: int,
        end_ns: int,
        usage: Usage,
        seen: Seen,
        reports: Usage | None = None,
        parts: Mapping[str, Part] | None = None,
        gpus: GpuTime | None = None,
    ) -> Booked:
        """Accrue [start, end) of Unix time, and book what is known by now about who used it.

        `reports` is what gateways say of this pool's tokens; None: no gateway routes to it, the engines' own series
        say whose tokens are whose. `parts` is `usage` by target, for the fit. `gpus` is what a source says of the
        pool's GPUs; None: the config counts them.
        """
        self._clock_ns += end_ns - start_ns
        self.accrued_to_ns = end_ns
        gpus = gpus or GpuTime(((0, self.supply.configured),))
        lot, cost = self._accrue(start_ns, end_ns, gpus)
        settled = self.lots.settle(lot, seen)
        self._learn(usage, reports, parts or {})
        used = nonzero(usage.tokens)
        active, busy_ns = self._active(settled.active, used)
        spend = divide(active, used, self._shares(used)) if used else {}
        priced = settled.active.priced
        if reports is None:
            taken = self.claims.flush()  # a gateway may just have left the config
            tokens, unpriced = usage.tokens, {} if priced else sums(used)
        else:
            self.claims.stock(self._clock_ns, sums(used), sums(spend), priced=priced)
            taken = self.claims.claim(self._clock_ns, reports.tokens)
            tokens, spend, unpriced = reports.tokens, {}, {}
        merge(taken.unpriced, unpriced)
        return Booked(
            cost=cost,
            tokens=together(tokens, taken.tokens),
            spend=together(spend, taken.spend),
            unpriced=taken.unpriced,
            idle=settled.idle.cost + settled.active.cost - active,
            gpu_ns=lot.gpu_ns,
            busy_ns=busy_ns,
            microjoules={device.held.gpu.name: device.microjoules for device in gpus.devices},
        )

    def close(self) -> Booked:
        """The pool leaves the config: queued cost was used by no one, stocked tokens were nobody's."""
        gone = self.claims.flush()
        return Booked({}, gone.tokens, gone.spend, gone.unpriced, idle=self.lots.flush().cost)

    def _accrue(self, start_ns: int, end_ns: int, gpus: GpuTime) -> tuple[Lot, dict[str, int]]:
        """The tick's lot, and its cost by resource."""
        first = gpus.counts[0][1]
        parts = [self.supply.accrue(start, end, first) for start, end in self._proven]
        self._proven = []
        ends = [start_ns + after_ns for after_ns, _ in gpus.counts[1:]] + [end_ns]
        for (after_ns, counts), end in zip(gpus.counts, ends, strict=True):
            parts.append(self.supply.accrue(start_ns + after_ns, end, counts))
        if gpus.devices:
            parts.append(Accrued(self.supply.draw(gpus.microjoules)))
        cost: dict[str, int] = {}
        for part in parts:
            merge(cost, part.cost)
        priced = any(part.priced for part in parts)
        lot = Lot(self._clock_ns, sum(cost.values()), sum(part.gpu_ns for part in parts), priced=priced)
        if self.pool.busy_from == TOKENS:
            return lot, cost
        known, busy = self.supply.at_work(gpus, end_ns, by_price=True)
        known_ns, busy_ns = self.supply.at_work(gpus, end_ns, by_price=False)
        return replace(
            lot,
            known=int(lot.cost * known), busy=int(lot.cost * busy),
            known_ns=int(lot.gpu_ns * known_ns), busy_ns=int(lot.gpu_ns * busy_ns),
        ), cost  # fmt: skip

    def _learn(self, usage: Usage, reports: Usage | None, parts: Mapping[str, Part]) -> None:
        learnt: Timing = dict(usage.nanoseconds)  # type: ignore[arg-type]
        learnt |= sums(usage.tokens)  # type: ignore[arg-type]
        self._timing.add(self._clock_ns, learnt)
        merge(self._lifetime, learnt)
        self._rates = None
        if self.pool.split == FITTED and all(end.role == "any" for end in self.pool.endpoints):
            self._fitting.learn(self._clock_ns, parts, reports)
            models = {model for model, _ in nonzero(usage.tokens)} or self._known
            self._known = models
            self._rates = self._fitting.rates(models, self._cached()) if models else None

    def _cached(self) -> float:
        weights = self.pool.weights
        return float(weights.cache_read / weights.input) if weights.input else 1.0

    def _active(self, lot: Lot, used: Columns) -> tuple[int, int]:
        """(pico-USD, GPU-nanoseconds) of the lot that were work: by what the GPUs' source says, for the rest by what
        the fitted rates say, else all of it."""
        fitted = self._fitting.busy(self._rates) if self._rates and self.pool.busy_from == "auto" and used else None
        work, elapsed = fitted or (1, 1)
        if used:
            self.busy_from = UTILIZATION if lot.known else FITTED if fitted else TOKENS
        cost = lot.busy + (lot.cost - lot.known) * work // elapsed
        return cost, lot.busy_ns + (lot.gpu_ns - lot.known_ns) * work // elapsed

    def _claimed(self, tokens: Columns) -> Shares:
        """What tokens that a gateway reports weigh beside each other."""
        rates, models = self._rates, {model for model, _ in tokens}
        if rates and len(rates) == 1:  # aliases and adapters run on the one model there is
            rates = dict.fromkeys(models, next(iter(rates.values())))
        if rates and models <= rates.keys():
            return self._fitting.claimed(self.pool.weights, rates, tokens)
        return weight_shares(self.pool.weights, tokens)

    def _shares(self, used: Columns) -> Shares:
        models = {model for model, _ in used}
        if self._rates and models <= self._rates.keys():
            self.method = FITTED
            return self._fitting.shares(self.pool.weights, self._rates, used)
        if self.pool.split == COMPUTE_TIME:
            # The trailing window; after a restart, what the engines have said over their whole life.
            for amounts in (self._timing.totals, self._lifetime):
                units = timed_units(self.pool.weights, models, amounts)
                if units is not None:
                    self.method = COMPUTE_TIME
                    return shares(used, units)
        self.method = WEIGHTS
        return weight_shares(self.pool.weights, used)
