"""The variables of the dashboards, and how they get into the queries: a metric is filtered by every label it has."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from exporter.publish.catalog import CATALOG


class Variable(NamedTuple):
    """A filter at the top of a dashboard. `all` is the regular expression that "All" stands for."""

    label: str
    title: str
    metric: str  # where its values are found
    all: str = ".*"
    multi: bool = True


VARIABLES: Mapping[str, Variable] = {
    "job": Variable("job", "Job", "tokencost_build_info", all=".+"),
    "cluster": Variable("cluster", "Cluster", "tokencost_build_info"),
    "pool": Variable("pool", "Pool or provider", "tokencost_tokens_total"),
    "model": Variable("model_name", "Model", "tokencost_tokens_total"),
    "tenant": Variable("tenant", "Tenant", "tokencost_tokens_total"),
    "window": Variable("window", "Live window", "tokencost_live_cost_usd_per_token", multi=False),
}
EVERYWHERE = ("job", "cluster")  # Prometheus adds these labels; no cluster is as good as any

# Labels by which a metric may be filtered: its own. What is not in the catalog stands first.
LABELS: Mapping[str, tuple[str, ...]] = {
    "up": (),
    "process_cpu_seconds_total": (),
    "process_resident_memory_bytes": (),
    **{metric.name: metric.labels for metric in CATALOG},
}
BUDGET = "tokencost_budget_"  # budgets are never filtered: what one is about is not whose money a row of it is
ALERTS = "ALERTS"  # Prometheus makes it; rules that sum away the job leave none
_METRIC = re.compile(rf"\b({ALERTS}|up|process_[a-z_]+|tokencost_[a-z_]+)\b(?:\{{([^}}]*)\}})?")


def filtered(query: str, variables: Iterable[str]) -> str:
    """The query with a matcher on every metric for each of the variables whose label it has.

    A label that the query itself matches is left as it is: `tenant=~".*"` means all tenants, whatever is chosen.
    KeyError for a metric that nobody publishes.
    """
    variables = tuple(variables)

    def matched(found: re.Match[str]) -> str:
        own = found[2] or ""
        labels: tuple[str, ...] = ("cluster",) if found[1] == ALERTS else EVERYWHERE
        if found[1] != ALERTS and not found[1].startswith(BUDGET):
            labels += LABELS[found[1]]
        given = set(re.findall(r"(\w+)\s*[=!]", own))
        added = (
            f'{VARIABLES[name].label}=~"${name}"'
            for name in variables
            if VARIABLES[name].label in labels and VARIABLES[name].label not in given
        )
        matchers = ", ".join(filter(None, (own, *added)))
        return f"{found[1]}{{{matchers}}}" if matchers else found[1]

    return _METRIC.sub(matched, " ".join(query.split()))


def values(name: str, variables: Iterable[str]) -> str:
    """The query for the values of a variable: those that are there under the variables before it."""
    variable, before = VARIABLES[name], tuple(variables)
    return f"label_values({filtered(variable.metric, before[: before.index(name)])}, {variable.label})"


def unheeded(queries: Iterable[str], variables: Iterable[str]) -> list[str]:
    """Titles of the filters that none of these finished queries heeds; a window is of live gauges only, no filter."""
    text = " ".join(queries)
    filters = (name for name in variables if name not in (*EVERYWHERE, "window"))
    return [VARIABLES[name].title for name in filters if f"${name}" not in text]
