"""What the alerts would do on simulated spend, minute by minute, from the tables that the rules are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property, partial

import numpy as np
import numpy.typing as npt

from exporter.rules.settings import TABLE, seconds
from exporter.rules.windows import Pair, pairs
from tests.rules.traffic import BEFORE, DAY, HOUR, MONTH, WEEK, Minutes

Fires = npt.NDArray[np.bool_]  # a row is a month, a column one of its minutes


def minutes(text: str) -> int:
    return round(seconds(text) / 60)


class World:
    """Months of spend and all that the alerts look at. A budget's limit is what the plan spends in a month."""

    def __init__(self, spend: Minutes) -> None:
        self._sums = np.cumsum(np.pad(spend, ((0, 0), (1, 0))), axis=1)
        self._length = spend.shape[1]

    def mean(self, window: int, back: int = 0) -> Minutes:
        """Mean spend over the window that ended `back` minutes before, at every minute of the month."""
        end = self._length + 1 - back
        start = end - MONTH
        sums = self._sums
        return (sums[:, start:end] - sums[:, start - window : end - window]) / window

    def burn(self, window: str) -> Minutes:
        return self.mean(minutes(window))

    @cached_property
    def consumed(self) -> Minutes:
        """Part of the limit that is spent."""
        return (self._sums[:, BEFORE + 1 :] - self._sums[:, BEFORE : BEFORE + 1]) / MONTH

    @cached_property
    def elapsed(self) -> Minutes:
        """Part of the period that is over."""
        return np.arange(1, MONTH + 1) / MONTH

    @cached_property
    def hours(self) -> Minutes:
        """The mean of the hour before, at full hours back over a week: (hours, months, minutes) without the copies."""
        return np.stack([self.mean(HOUR, back * HOUR)[:, ::HOUR] for back in range(8 * 24)])


def worst(world: World, pair: Pair) -> float:
    """The largest burn rate that both windows of the pair had at one time."""
    return float(np.minimum(world.burn(pair.long), world.burn(pair.short)).max())


def _threshold(alert: str, name: str) -> float:
    return float(TABLE[alert].thresholds[name].value)


def _burns(alert: str, world: World) -> Fires:
    both = [
        np.minimum(world.burn(pair.long), world.burn(pair.short)) > _threshold(alert, pair.setting)
        for pair in pairs(alert)
    ]
    fires: Fires = np.any(both, axis=0)
    return fires


def _forecast(world: World) -> Fires:
    forecast = world.consumed + world.mean(WEEK) * (1 - world.elapsed)
    return forecast > _threshold("BudgetForecastExceeded", "ratio")


def _nearly(world: World) -> Fires:
    alert = "BudgetNearlyExhausted"
    early = world.elapsed < _threshold(alert, "elapsed")
    return (world.consumed >= _threshold(alert, "consumed")) & early


def _spike(world: World) -> Fires:
    peak = world.hours[24:].max(axis=0).repeat(HOUR, axis=1)
    fires: Fires = world.mean(5) > _threshold("TokenRateSpike", "ratio") * peak
    return fires


def _anomaly(world: World) -> Fires:
    usual = np.median(world.hours[: 7 * 24], axis=0).repeat(HOUR, axis=1)
    for back in range(0, 2 * HOUR + 1, 30):  # the same hour of last week, one earlier, one later
        np.maximum(usual, world.mean(HOUR, 167 * HOUR + back), out=usual)
    fires: Fires = world.mean(HOUR) > _threshold("SpendAnomaly", "ratio") * usual
    return fires


# Floors in dollars and tokens are left out: this tenant is large enough to be above all of them.
CONDITIONS: Mapping[str, Callable[[World], Fires]] = {
    "BudgetBurnRateFast": partial(_burns, "BudgetBurnRateFast"),
    "BudgetBurnRateSlow": partial(_burns, "BudgetBurnRateSlow"),
    "BudgetForecastExceeded": _forecast,
    "BudgetNearlyExhausted": _nearly,
    "BudgetExhausted": lambda world: world.consumed >= _threshold("BudgetExhausted", "consumed"),
    "SpendAnomaly": _anomaly,
    "TokenRateSpike": _spike,
}


def firing(alert: str, world: World) -> Fires:
    """When the alert fires: its condition has held for as long as it waits."""
    return held(CONDITIONS[alert](world), minutes(TABLE[alert].wait))


def held(so: Fires, wait: int) -> Fires:
    """True where it has been so now and in each of the `wait` minutes before."""
    counts = np.cumsum(np.pad(so, ((0, 0), (1, 0))), axis=1)
    result = np.zeros_like(so)
    result[:, wait:] = counts[:, wait + 1 :] - counts[:, : -wait - 1] == wait + 1
    return result


def caught(alert: str, world: World, since: npt.NDArray[np.int64]) -> list[tuple[float, float] | None]:
    """For each month: hours from the minute `since` until the alert fires, and the part of the budget spent by then;
    None where it does not within three days. If it fires already, it goes on: that is no catch."""
    fires = firing(alert, world)
    found: list[tuple[float, float] | None] = []
    for row, start in enumerate(since):
        after = np.flatnonzero(fires[row, start : start + 3 * DAY])
        if fires[row, start - 1] or not len(after):
            found.append(None)
        else:
            spent = world.consumed[row, start + after[0]] - world.consumed[row, start - 1]
            found.append((float(after[0] + 1) / HOUR, float(spent)))
    return found
