"""What several dashboards say about budgets."""

from __future__ import annotations

from grafana import promql as q
from grafana import spec as s

LIMIT, SPENT, FORECAST, BURN = (
    f"tokencost_budget_{name}" for name in ("limit_usd", "spent_usd", "forecast_usd", "burn_rate")
)
START, END, EXHAUSTION = (
    f"tokencost_budget_{name}_timestamp_seconds" for name in ("period_start", "period_end", "exhaustion")
)
HISTORY = "tokencost_budget_forecast_history_seconds"
USED = q.share(SPENT, LIMIT)
ELAPSED = f"clamp((time() - {START}) / (({END} - {START}) > 0), 0, 1)"
BURNS: s.Steps = ((2, "yellow"), (6, "orange"), (14.4, "red"))  # of plan: what tickets and pages fire on
NO_BUDGETS = "Absent without budgets in the config."
KEYS = {"cluster": "Cluster", "budget": "Budget"}


def per_budget(query: str) -> str:
    """One series for each budget; another cluster may have a budget of the same name."""
    return q.highest(query, *KEYS)


def burn(window: str) -> str:
    """Times plan, over that window."""
    return per_budget(q.of(BURN, f'window="{window}"'))
