"""THE table of the burn-rate alerts' windows. The alerts, their settings and the simulation are made from it.

A burn rate of 1 spends a budget exactly over its period. A pair fires when both of its windows burn faster than its
factor: the long one says that it matters, the short one that it still goes on (SRE workbook, chapter 5). The workbook's
third pair, 1 over three days, is left out, and 3 over a day is 2 here: an error budget is spent at almost 0 on a good
day, money at almost 1.
"""

from __future__ import annotations

from dataclasses import dataclass

# The windows of tokencost_budget_burn_rate: a pair can have no others.
PUBLISHED = ("5m", "30m", "1h", "2h", "6h", "1d")


@dataclass(frozen=True, slots=True)
class Pair:
    """Two windows, and the burn rate above which the alert fires. `setting`: what `generate` calls that factor."""

    alert: str
    setting: str
    factor: float
    long: str
    short: str


# The same factors for every period: what keeps them quiet is the shape of the traffic (office hours burn 4.5 on plan),
# and that does not depend on the period.
BURN = (
    Pair("BudgetBurnRateFast", "factor", 14.4, "1h", "5m"),
    Pair("BudgetBurnRateFast", "factor_6h", 6, "6h", "30m"),
    Pair("BudgetBurnRateSlow", "factor", 2, "1d", "2h"),
)


def pairs(alert: str) -> tuple[Pair, ...]:
    """The pairs of one alert; any of them fires it."""
    return tuple(pair for pair in BURN if pair.alert == alert)
