"""THE table of what this program publishes: every metric with its labels in order, its help and its unit.

`scale` says how many units of the books (exporter.ledger.accounts: pico-USD, nanoseconds) make one exposed unit.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import Literal

USD = 10**12
SECOND = 10**9
JOULE = 10**6
LARGEST = int(sys.float_info.max)

TENANT, MODEL, POOL, CLASS, WINDOW = "tenant", "model_name", "pool", "token_type", "window"
TARGET, BUDGET = "target", "budget"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric family. `name` is the sample's name: a counter's ends in `_total`."""

    name: str
    type: Literal["counter", "gauge", "histogram"]  # a histogram is of this process and comes with its own metrics
    labels: tuple[str, ...]
    help: str  # one line, without quotes and backslashes, so that it needs no escaping in either format
    scale: int = 1
    fixed: tuple[tuple[str, str], ...] = ()  # labels that are the same on each of its series


def _counter(name: str, labels: tuple[str, ...], text: str, scale: int = 1) -> Metric:
    return Metric(f"tokencost_{name}_total", "counter", labels, text, scale)


def _gauge(name: str, labels: tuple[str, ...], text: str) -> Metric:
    return Metric(f"tokencost_{name}", "gauge", labels, text)


CATALOG: tuple[Metric, ...] = (
    _counter(
        "tokens",
        (TENANT, MODEL, POOL, CLASS),
        "Tokens served, from the token counters of engines; the token types are disjoint and add up.",
    ),
    _counter("requests", (TENANT, MODEL, POOL), "Requests finished, from the request counters of engines."),
    _counter(
        "spend_usd",
        (TENANT, MODEL, POOL, CLASS),
        "US dollars attributed to use: the busy share of the cost of a pool, split over the tokens it served.",
        USD,
    ),
    _counter(
        "cost_usd",
        (POOL, "resource"),
        "US dollars paid for a pool: price times time, whether its engines answer or not. Absent without a price.",
        USD,
    ),
    _counter("idle_cost_usd", (POOL,), "US dollars paid for a pool while it served no one.", USD),
    _gauge(
        "pending_cost_usd",
        (POOL,),
        "US dollars accrued for a pool that wait until it is known who used it.",
    ),
    _counter(
        "unpriced_tokens",
        (MODEL, POOL, CLASS),
        "Tokens for which no price is known: they are in tokencost_tokens_total and in no spend.",
    ),
    _gauge(
        "live_cost_usd_per_token",
        (POOL, MODEL, WINDOW),
        "US dollars per token over the window, all-in: idle cost included. Absent while no token was served.",
    ),
    _gauge(
        "live_cost_usd_per_output_token",
        (POOL, MODEL, WINDOW),
        "US dollars, all-in, per output and reasoning token over the window. Absent while none was served.",
    ),
    _gauge(
        "live_spend_usd_per_token",
        (POOL, MODEL, CLASS, WINDOW),
        "US dollars attributed per token of that type over the window. Absent while none was served.",
    ),
    _gauge("live_spend_usd_per_hour", (TENANT, WINDOW), "US dollars per hour attributed to a tenant over the window."),
    _gauge("budget_limit_usd", (BUDGET,), "Limit of the budget in US dollars for each of its periods."),
    _gauge(
        "budget_spent_usd", (BUDGET,), "US dollars spent in the current period: growth of tokencost_spend_usd_total."
    ),
    _gauge(
        "budget_forecast_usd",
        (BUDGET,),
        "US dollars at the end of the period: what is spent, and the rate of the last 7 days for the time left.",
    ),
    _gauge(
        "budget_forecast_history_seconds",
        (BUDGET,),
        "Seconds of history that the forecast rests on: 7 days, or less while the ledger is younger.",
    ),
    _gauge(
        "budget_burn_rate",
        (BUDGET, WINDOW),
        "Spend over the window relative to the limit spread evenly over the period: 1 is exactly on plan.",
    ),
    _gauge("budget_period_start_timestamp_seconds", (BUDGET,), "Unix time at which the current period began."),
    _gauge("budget_period_end_timestamp_seconds", (BUDGET,), "Unix time at which the current period ends."),
    _gauge(
        "budget_exhaustion_timestamp_seconds",
        (BUDGET,),
        "Unix time at which the limit is reached at the rate of the last 7 days, or was. Absent if not in this period.",
    ),
    _gauge(
        "budget_info",
        (BUDGET, TENANT, MODEL, POOL, "period"),
        "What the budget counts; always 1. An empty label does not narrow it.",
    ),
    _gauge(
        "gpus",
        (POOL,),
        "GPUs that a pool pays for, counted in the config or read from a source; parts of one count as parts.",
    ),
    _gauge("unpriced_gpus", (POOL,), "GPUs counted in a pool for which no price is known; they cost nothing here."),
    _gauge(
        "refused_gpus",
        (POOL,),
        "GPUs of which a pool asked for more than other pools leave: they are not counted and cost it nothing.",
    ),
    _gauge(
        "gpu_price_usd_per_hour",
        (POOL, "product"),
        "Price of one GPU in US dollars per hour at this moment, from the config. Absent without a price.",
    ),
    _counter("gpu_seconds", (POOL,), "GPU-seconds held by a pool: GPUs times elapsed time.", SECOND),
    _counter("gpu_busy_seconds", (POOL,), "GPU-seconds in which a pool was at work; the rest was idle.", SECOND),
    _gauge(
        "busy_info",
        (POOL, "source"),
        "What said how much of the time a pool was at work: gpu_utilization, fitted or tokens; always 1.",
    ),
    _counter(
        "gpu_energy_joules",
        (POOL, "gpu"),
        "Energy drawn by a GPU, in the share that the pool holds of it, from its counter or else from its power.",
        JOULE,
    ),
    _gauge(
        "gpu_utilization_ratio",
        (POOL, "gpu"),
        "Share of the time in which any kernel ran on the GPU: how busy it was, not how efficient. Absent if unknown.",
    ),
    _gauge("gpu_memory_used_bytes", (POOL, "gpu"), "Memory in use on the GPU or MIG instance."),
    _gauge("gpu_memory_total_bytes", (POOL, "gpu"), "Memory of the GPU or MIG instance."),
    _gauge("gpu_power_watts", (POOL, "gpu"), "Power draw of the whole GPU."),
    _gauge("gpu_temperature_celsius", (POOL, "gpu"), "Temperature of the GPU."),
    _gauge(
        "gpu_info",
        (POOL, "gpu", "uuid", "product", "mig_profile"),
        "A GPU or MIG instance that the pool holds, in whole or in part; always 1.",
    ),
    _counter(
        "engine_tokens",
        (POOL, MODEL, CLASS),
        "Tokens that the engines of a pool counted, whoever they were for. What no gateway reports of them is the gap "
        "to tokencost_tokens_total: aborted requests, traffic past the gateway, answers under way.",
    ),
    _counter(
        "speculative_tokens",
        (POOL, MODEL, "outcome"),
        "Tokens that speculative decoding drafted, and those of them that were accepted: these are output tokens too.",
    ),
    _counter(
        "aborted_requests", (POOL, MODEL), "Requests that ended before their answer did, as the engines count them."
    ),
    _gauge("requests_running", (POOL,), "Requests being worked on, summed over the engines of a pool that report it."),
    _gauge("requests_waiting", (POOL,), "Requests queued, summed over the engines of a pool that report it."),
    _gauge(
        "kv_cache_usage_ratio", (POOL,), "KV cache in use, 0 to 1, averaged over the engines of a pool that report it."
    ),
    _counter(
        "request_seconds",
        (POOL, MODEL, "phase"),
        "Request-seconds by phase, from the timers of engines; requests overlap. Absent where an engine has no timers.",
        SECOND,
    ),
    _gauge(
        "allocation_info",
        (POOL, "method"),
        "How the cost of a pool is split between token types: fitted, weights, compute_time or price_card; always 1.",
    ),
    _gauge("target_up", (TARGET, POOL, "engine"), "1 if the last scrape of the target succeeded, else 0."),
    _gauge("target_scrape_duration_seconds", (TARGET, POOL, "engine"), "Seconds the last scrape of the target took."),
    _gauge(
        "target_last_success_timestamp_seconds",
        (TARGET, POOL, "engine"),
        "Unix time of the last good scrape of the target. Absent before the first.",
    ),
    _counter("target_scrapes", (TARGET,), "Scrapes of the target that were tried."),
    _counter("target_counter_resets", (TARGET,), "Restarts seen in the counters of the target."),
    _counter("target_scrape_failures", (TARGET, "reason"), "Scrapes of the target that failed, by reason."),
    _gauge("discovery_up", ("source",), "1 if the last look at a source of targets succeeded, else 0."),
    _gauge(
        "discovery_targets", ("source",), "Targets that a source lists, those aside that are refused or do not match."
    ),
    _gauge(
        "discovery_last_success_timestamp_seconds",
        ("source",),
        "Unix time of the last look at a source of targets that succeeded. Absent before the first.",
    ),
    _counter(
        "discovery_failures",
        ("source", "reason"),
        "Looks at a source of targets that failed, and targets of it that were refused, by reason.",
    ),
    _counter("tenant_overflow_tokens", (), "Tokens booked to the tenant _other because tenants.limit was reached."),
    _gauge("price_catalog_info", ("version",), "The bundled price catalog of API models; always 1. Absent until used."),
    _gauge(
        "price_catalog_newest_price_timestamp_seconds",
        (),
        "Unix time at which the newest price of the catalog took effect: its data is at most that old.",
    ),
    _gauge(
        "ledger_last_save_timestamp_seconds", (), "Unix time of the last save of the ledger. Absent before the first."
    ),
    _counter("ledger_save_failures", (), "Saves of the ledger that failed; the books live on in memory meanwhile."),
    _counter("otlp_pushes", (), "Pushes of these metrics to an OTLP receiver that were tried. Absent without otlp."),
    _counter("otlp_push_failures", ("reason",), "Pushes that a receiver did not get or did not take whole, by reason."),
    _gauge("config_last_reload_successful", (), "1 if the last load of the config succeeded, else 0."),
    _gauge("config_last_reload_success_timestamp_seconds", (), "Unix time of the last good load of the config."),
    _gauge(
        "ledger_info",
        ("ledger",),
        "The ledger whose counters these are, by its random name; always 1. Two for one pool: it is counted twice.",
    ),
    _gauge("shard_info", ("shard", "shards"), "Which of the shards of its config this is; always 1. Absent if whole."),
    Metric(
        "tokencost_event_loop_lag_seconds",
        "histogram",
        (),
        "Seconds for which each turn of the event loop of the exporter held it, in which nobody was served.",
    ),
    _gauge("build_info", ("version", "revision", "python"), "The running program; always 1."),
)


def of_shard(shard: str) -> tuple[Metric, ...]:
    """The catalog of one of several shards: what it says of budgets is its part, labelled so that they are added up."""
    label = (("shard", shard),)
    return tuple(replace(metric, fixed=label) if BUDGET in metric.labels else metric for metric in CATALOG)


def by_name() -> dict[str, Metric]:
    """The catalog by sample name."""
    return {metric.name: metric for metric in CATALOG}


def exposed(value: float, scale: int) -> float:
    """A number of the books in its exposed unit: rounded once, whole where it can be, never too large to write."""
    if scale == 1 and value < 2**64:
        return value
    return min(value, LARGEST * scale) / scale
