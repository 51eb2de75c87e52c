"""The numbers of one tick as JSON, for the page and for scripts: GET /api/v1/snapshot.

Keys are the metrics' names without `tokencost_` and `_total`, and their labels' names, so who knows /metrics knows
this. Sums over labels are made in the integers of the books and converted once; what is unknown is absent.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

import orjson

from exporter.ledger.accounts import Family, Labels
from exporter.publish.answer import Answer
from exporter.publish.catalog import Metric, by_name, exposed
from exporter.publish.view import View
from exporter.records import NS

Json = dict[str, Any]
Columns = Mapping[str, tuple[str, ...]]  # metric without prefix and suffix -> labels that become keys below its key

# Section of the JSON: the labels that identify a row, and its columns. Labels named in neither are summed over.
SECTIONS: Mapping[str, tuple[tuple[str, ...], Columns]] = {
    "pools": (
        ("pool",),
        {
            "tokens": ("token_type",),
            "requests": (),
            "cost_usd": ("resource",),
            "spend_usd": (),
            "idle_cost_usd": (),
            "pending_cost_usd": (),
            "gpus": (),
            "unpriced_gpus": (),
            "refused_gpus": (),
            "gpu_price_usd_per_hour": ("product",),
            "gpu_seconds": (),
            "gpu_busy_seconds": (),
            "busy_info": ("source",),
            "requests_running": (),
            "requests_waiting": (),
            "kv_cache_usage_ratio": (),
            "allocation_info": ("method",),
        },
    ),
    "gpus": (
        ("pool", "gpu"),
        {
            "gpu_utilization_ratio": (),
            "gpu_memory_used_bytes": (),
            "gpu_memory_total_bytes": (),
            "gpu_power_watts": (),
            "gpu_temperature_celsius": (),
            "gpu_energy_joules": (),
            "gpu_info": ("uuid", "product", "mig_profile"),
        },
    ),
    "models": (
        ("pool", "model_name"),
        {
            "tokens": ("token_type",),
            "requests": (),
            "spend_usd": ("token_type",),
            "unpriced_tokens": ("token_type",),
            "request_seconds": ("phase",),
            "live_cost_usd_per_token": ("window",),
            "live_cost_usd_per_output_token": ("window",),
            "live_spend_usd_per_token": ("window", "token_type"),
        },
    ),
    "tenants": (
        ("tenant",),
        {"tokens": ("token_type",), "requests": (), "spend_usd": (), "live_spend_usd_per_hour": ("window",)},
    ),
    "budgets": (
        ("budget",),
        {
            "budget_limit_usd": (),
            "budget_spent_usd": (),
            "budget_forecast_usd": (),
            "budget_forecast_history_seconds": (),
            "budget_burn_rate": ("window",),
            "budget_period_start_timestamp_seconds": (),
            "budget_period_end_timestamp_seconds": (),
            "budget_exhaustion_timestamp_seconds": (),
            "budget_info": ("tenant", "model_name", "pool", "period"),
        },
    ),
}
TOTALS: Columns = {
    "tokens": ("token_type",),
    "requests": (),
    "cost_usd": ("resource",),
    "spend_usd": (),
    "idle_cost_usd": (),
    "pending_cost_usd": (),
    "live_spend_usd_per_hour": ("window",),
    "config_last_reload_successful": (),
    "ledger_last_save_timestamp_seconds": (),
    "ledger_save_failures": (),
}
TARGETS: Columns = {"target_scrapes": (), "target_counter_resets": (), "target_scrape_failures": ("reason",)}


class Snapshot(Answer):
    """One tick's JSON.

    When it is asked for the next tick may be moving the books, so the values are copied now: a copy of 100,000 takes
    0.3 ms, and nothing can be seen here that is not yet saved.
    """

    __slots__ = ("view",)

    def __init__(self, view: View) -> None:
        frozen = {name: Family(name, family.labels, family.values.copy()) for name, family in view.counters.items()}
        self.view = view = replace(view, counters=frozen)
        super().__init__(f"{view.started.wall_ns:x}-{view.at.monotonic_ns:x}", lambda: orjson.dumps(snapshot(view)))


def snapshot(view: View) -> Json:
    """The JSON of that view: `time` and `started` are Unix seconds, all else has its metric's unit."""
    metrics = {name.removeprefix("tokencost_").removesuffix("_total"): metric for name, metric in by_name().items()}
    sections = {name: _rows(view, metrics, *section) for name, section in SECTIONS.items()}
    scrapes = {row["target"]: row for row in _rows(view, metrics, ("target",), TARGETS)}
    return {
        "time": view.at.wall_ns / NS,
        "started": view.started.wall_ns / NS,
        "uptime_seconds": (view.at.monotonic_ns - view.started.monotonic_ns) / NS,
        **next(iter(_rows(view, metrics, (), TOTALS)), {}),
        **sections,
        "targets": [asdict(target) | scrapes.get(target.target, {}) for target in view.targets],
    }


def _rows(view: View, metrics: Mapping[str, Metric], identity: tuple[str, ...], columns: Columns) -> list[Json]:
    rows: dict[Labels, Json] = {}
    for column, keys in columns.items():
        for labels, value in _sums(view, metrics[column], identity + keys).items():
            own, path = labels[: len(identity)], (column, *labels[len(identity) :])
            place = rows.setdefault(own, dict(zip(identity, own, strict=True)))
            for step in path[:-1]:
                place = place.setdefault(step, {})
            place[path[-1]] = value
    return [rows[own] for own in sorted(rows)]


def _sums(view: View, metric: Metric, labels: tuple[str, ...]) -> dict[Labels, float]:
    """The metric summed over all labels but those, in their order; integers where the books count whole things."""
    places = [metric.labels.index(label) for label in labels]
    sums: dict[Labels, float] = {}
    for value, own in values(view, metric):
        key = tuple([own[place] for place in places])
        sums[key] = sums.get(key, 0) + value
    return {key: exposed(value, metric.scale) for key, value in sums.items()}


def values(view: View, metric: Metric) -> Iterator[tuple[float, Labels]]:
    """What the view has of that metric, in the units of the books; what is no number is left out."""
    if metric.type == "gauge":
        gauges = view.gauges.get(metric.name, {})
        return ((value, labels) for labels, value in gauges.items() if math.isfinite(value))
    family = view.counters.get(metric.name)
    # Values first: rows opened since the values were copied have labels but are not of this view.
    return zip(family.values, family.labels, strict=False) if family else iter(())
