"""What a rule is, before its settings are put in: PromQL in which `$name` stands for a setting.

`$by` stands for the labels that every rule keeps (cluster, job), `$job` for the job of the exporters. Durations in
brackets and after `offset` are literal; `generate --time-scale` changes them all.

Gauges of a budget carry the label `shard` where several exporters divide a config: what is spent is the sum of what the
shards say, and of two replicas of one shard, who say the same, the most.
"""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import dedent

# Grafana dashboards that alerts link to.
EXECUTIVE, ONCALL, DEBUG, EXPORTER = (f"tokencost-{name}" for name in ("executive", "oncall", "debug", "exporter"))


@dataclass(frozen=True, slots=True)
class Record:
    """A recording rule, named level:metric:operation: the labels that are left (without $by), what it is, how it came
    about."""

    name: str
    expr: str


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert rule. `name` is without its prefix; `labels` are those of its result beside $by, and with these the
    variables of the dashboard that it links to. None: its result has no labels at all."""

    name: str
    expr: str
    summary: str
    description: str
    dashboard: str
    labels: tuple[str, ...] | None = ()


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that are evaluated one after the other, at one time. At most 20: Mimir takes no more by default."""

    name: str
    rules: tuple[Record | Alert, ...]
    interval: str | None = None  # None: the server's own


def promql(text: str) -> str:
    """An expression written over several lines."""
    return dedent(text).strip()


def per_budget(gauge: str) -> str:
    """What all exporters together say of a budget; `gauge` is of one of them, and adds up."""
    return f"sum by ($by, budget) (max by ($by, budget, shard) ({gauge}))"
