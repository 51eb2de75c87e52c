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


def added_up(query: str) -> str:
    """The same of what adds up over the shards of one config; two replicas of a shard say the same."""
    return q.total(q.highest(query, *KEYS, "shard"), *KEYS)


def burn(window: str) -> str:
    """Times plan, over that window."""
    return added_up(q.of(BURN, f'window="{window}"'))


def runs_out() -> str:
    """Unix time at which a budget is used up, where that is in its period. No shard knows alone: there it is worked
    out of what all of them say, as each exporter does: at the rate at which the forecast is reached."""
    spent, end = added_up(SPENT), per_budget(END)
    rest = q.share(f"({per_budget(LIMIT)} - {spent})", f"{added_up(FORECAST)} - {spent}")
    worked_out = f"time() + ({end} - time()) * {rest}"
    return f"({per_budget(EXHAUSTION)} or ({worked_out} <= {end}))"
