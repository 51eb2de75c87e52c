"""One budget: what of it is spent in which period, how fast, and when it runs out."""

from __future__ import annotations

import sys
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from exporter.budgets.calendar import Period, period
from exporter.budgets.trail import Moment, Trail
from exporter.config.schema import Budget
from exporter.config.types import DAY, HOUR, MINUTE, format_duration
from exporter.ledger.accounts import Labels
from exporter.ledger.changes import Scope, State
from exporter.ledger.hours import Stretch
from exporter.ledger.money import PICO_PER_USD
from exporter.records import NS

Gauge = tuple[str, Labels, float]  # name without prefix, labels, value

BURN = {format_duration(span): span for span in (5 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 6 * HOUR, DAY)}
TRAILING = 7 * DAY  # what a forecast rests on, where there is as much
_PERIODS_KEPT = 3  # a clock that stepped back may lead into an earlier one again


@dataclass(slots=True)
class Spent:
    """What one period has seen so far. `exhausted_ns`: since when that is the limit or more, in Unix ns."""

    amount: int = 0  # pico-USD
    exhausted_ns: int | None = None
    limit: int = 0  # that it was held against


class BudgetBook:
    """The money of one budget. Until `adopt` it knows nothing of the past, and so nothing at all."""

    def __init__(self, budget: Budget, scope: Scope) -> None:
        self.name = budget.name
        self.scope = scope
        self.identity: list[Any] = [*scope, budget.period, budget.timezone]  # with another, it is another budget
        self.trail: Trail | None = None
        self._budget = budget
        self._limit = int(budget.limit_usd * PICO_PER_USD)
        self._period = Period(0, 0)
        self._periods: dict[int, Spent] = {}  # by start, the one in use last
        self._spent: Spent | None = None  # of the period we are in
        self._before = 0  # sum of the trail when the tick began

    def configure(self, budget: Budget) -> None:
        """The same budget with another limit; what is spent stays spent."""
        self._budget, self._limit = budget, int(budget.limit_usd * PICO_PER_USD)

    # -- time -------------------------------------------------------------------------------------------------------

    def enter(self, date_ns: int, latest_ns: int) -> None:
        """What is added from here on is spent at that date; `latest_ns` is the latest at which anything ever was."""
        self._before = self.trail.total if self.trail else 0
        if date_ns in self._period and self._spent:
            return
        self._period = period(self._budget.period, self._budget.timezone, date_ns)
        start = self._period.start_ns
        spent = self._periods.pop(start, None)
        if spent is None and start > latest_ns:
            spent = Spent()
        if spent:
            self._keep(spent)
        self._spent = spent

    def asks_since(self, date_ns: int) -> int | None:
        """Unix ns since when it must be told what was spent; None where it knows."""
        if self._spent and self.trail:
            return None
        return self._period.start_ns if self.trail else min(self._period.start_ns, date_ns - TRAILING)

    def adopt(self, past: Sequence[Stretch], date_ns: int, now_ns: int) -> None:
        """Learn what was spent until now, at that date and that time on the stopwatch."""
        if self.trail is None:
            self.trail = _trail(past, date_ns, now_ns)
            self._before = self.trail.total
        if self._spent is None:
            parts = [part for stretch in past if (part := _within(stretch, self._period))]
            self._keep(Spent(sum(part.spent for part in parts), _reached(self._limit, parts), self._limit))

    def _keep(self, spent: Spent) -> None:
        self._spent = self._periods[self._period.start_ns] = spent
        while len(self._periods) > _PERIODS_KEPT:
            del self._periods[next(iter(self._periods))]

    def add(self, amount: int) -> None:
        """pico-USD were spent."""
        if self.trail:
            self.trail.total += amount
        if self._spent:
            self._spent.amount += amount

    def settle(self, date_ns: int, last_ns: int, now_ns: int) -> None:
        """The tick is over: it began at `last_ns` on the stopwatch and ended at `now_ns`, at that date."""
        if self.trail:
            self.trail.remember((last_ns, self._before), now_ns)
        if spent := self._spent:
            if spent.limit != self._limit:
                spent.exhausted_ns, spent.limit = None, self._limit
            # One that is still to come is of a clock that was ahead.
            if spent.amount >= self._limit and (spent.exhausted_ns is None or spent.exhausted_ns > date_ns):
                spent.exhausted_ns = date_ns

    # -- ledger -----------------------------------------------------------------------------------------------------

    def state(self) -> State:
        """What the ledger keeps, besides the moments."""
        periods = [(start, spent.amount, spent.exhausted_ns, spent.limit) for start, spent in self._periods.items()]
        return {"identity": self.identity, "total": self.trail.total if self.trail else 0, "periods": periods}

    def restore(self, state: State, moments: Sequence[Moment]) -> None:
        """Go on from what the ledger kept."""
        self.trail = Trail(state["total"], moments)
        self._periods = {start: Spent(*spent) for start, *spent in state["periods"]}
        self._spent = next(reversed(self._periods.values()), None)

    # -- what is published ------------------------------------------------------------------------------------------

    def gauges(self, date_ns: int, now_ns: int) -> Iterator[Gauge]:
        """Everything that is known, at that date and that time on the stopwatch."""
        own = (self.name,)
        tenant, model, pool = (name or "" for name in self.scope)
        yield "budget_info", (self.name, tenant, model, pool, self._budget.period), 1.0
        yield "budget_limit_usd", own, self._limit / PICO_PER_USD
        yield "budget_period_start_timestamp_seconds", own, self._period.start_ns / NS
        yield "budget_period_end_timestamp_seconds", own, self._period.end_ns / NS
        if self.trail is None:
            return
        for window, span in BURN.items():
            burn = _ratio(self.trail.spent(span, now_ns) * self._period.length_ns, span * self._limit)
            yield "budget_burn_rate", (self.name, window), burn
        history = min(TRAILING, now_ns)
        yield "budget_forecast_history_seconds", own, history / NS
        if self._spent is None:
            return
        spent = self._spent.amount
        yield "budget_spent_usd", own, _ratio(spent, PICO_PER_USD)
        recent = self.trail.spent(TRAILING, now_ns)
        if history:
            coming = recent * (self._period.end_ns - date_ns) // history
            yield "budget_forecast_usd", own, _ratio(spent + coming, PICO_PER_USD)
        exhausted = self._spent.exhausted_ns
        if exhausted is None and history and recent:
            exhausted = date_ns + (self._limit - spent) * history // recent
        if exhausted is not None and exhausted < self._period.end_ns:
            yield "budget_exhaustion_timestamp_seconds", own, exhausted / NS


def _trail(past: Sequence[Stretch], date_ns: int, now_ns: int) -> Trail:
    """A trail that begins with what is known to the hour."""
    starts = [stretch.start_ns for stretch in past]
    sums = list(accumulate((stretch.spent for stretch in past), initial=0))
    this_hour = date_ns - date_ns % HOUR
    known: dict[int, int] = {}  # of the hours before the stopwatch began, the last one counts
    for begin in range(this_hour - TRAILING, this_hour + 1, HOUR):
        known[max(0, now_ns - (date_ns - begin))] = sums[bisect_left(starts, begin)]
    moments = [(HOUR, at, total) for at, total in known.items()]
    trail = Trail(sums[bisect_right(starts, date_ns)], moments)
    trail.unsaved = moments
    return trail


def _within(stretch: Stretch, whole: Period) -> Stretch | None:
    """The part of it that lies in the period, as if it had been spent evenly."""
    start, end = max(stretch.start_ns, whole.start_ns), min(stretch.end_ns, whole.end_ns)
    if start >= end:
        return None
    return Stretch(start, end, stretch.spent * (end - start) // (stretch.end_ns - stretch.start_ns))


def _reached(limit: int, parts: Sequence[Stretch]) -> int | None:
    """When so much was spent, in Unix ns; None: it was not."""
    before = 0
    for part in parts:
        if before + part.spent >= limit:
            return part.start_ns + (part.end_ns - part.start_ns) * (limit - before) // part.spent
        before += part.spent
    return None


def _ratio(part: int, whole: int) -> float:
    """Correctly rounded; never too large to write."""
    try:
        return part / whole
    except OverflowError:
        return sys.float_info.max
