"""What a rule may ask for: the exporter's metrics with their labels, and the labels that Prometheus adds."""

from __future__ import annotations

from collections.abc import Mapping

from exporter.publish.catalog import CATALOG

# Labels of every scraped series; `cluster` where a server adds it.
TARGET = frozenset({"cluster", "job", "instance"})

# The gauges of budgets, as the public contract names them.
_BUDGET = frozenset({"budget"})
BUDGETS: Mapping[str, frozenset[str]] = {
    "tokencost_budget_limit_usd": _BUDGET,
    "tokencost_budget_spent_usd": _BUDGET,
    "tokencost_budget_forecast_usd": _BUDGET,
    "tokencost_budget_burn_rate": _BUDGET | {"window"},
    "tokencost_budget_period_start_timestamp_seconds": _BUDGET,
    "tokencost_budget_period_end_timestamp_seconds": _BUDGET,
    "tokencost_budget_exhaustion_timestamp_seconds": _BUDGET,
    "tokencost_budget_info": frozenset({"budget", "tenant", "model_name", "pool", "period"}),
}

CATALOGUED = {metric.name: frozenset(metric.labels) for metric in CATALOG}

# Metric -> labels of its series in Prometheus.
SERIES: Mapping[str, frozenset[str]] = {
    name: labels | TARGET for name, labels in {**BUDGETS, **CATALOGUED, "up": frozenset[str]()}.items()
}
COUNTERS = frozenset(metric.name for metric in CATALOG if metric.type == "counter")
