"""A fleet with everything that the page can show, served by the real server, and what that then says as JSON."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from exporter.ledger.accounts import Labels
from exporter.publish.answer import Answer
from exporter.publish.catalog import JOULE, SECOND, USD, by_name
from exporter.publish.server import Server, Site
from exporter.publish.snapshot import snapshot
from exporter.publish.view import TargetStatus, View
from exporter.publish.writer import Exposition
from exporter.records import NS, Instant
from tests.publish.world import family

HOSTILE = '"><img src=x onerror=alert(1)>\\\n</script><script>alert(1)</script>'
UP, DOWN = "http://10.0.0.1:8000/metrics", "http://10.0.0.2:8000/metrics"
HOUR, DAY = 3600, 86400
H100 = "NVIDIA H100 80GB HBM3"
GPUS = 3
TICK = 300  # seconds

Json = dict[str, Any]


def budgets(now: float) -> list[Json]:
    """One on plan, one spent, one that burns, one of which little is known yet. Rows as the snapshot has them."""
    period = {
        "budget_period_start_timestamp_seconds": now - 20 * DAY,
        "budget_period_end_timestamp_seconds": now + 10 * DAY,
    }
    calm = dict.fromkeys(("5m", "30m", "1h", "2h", "6h", "1d"), 0.9)

    def row(name: str, limit: float, info: Json, **more: object) -> Json:
        return {"budget": name, "budget_limit_usd": limit, "budget_info": info, **more}

    def sums(spent: float, forecast: float, burn: dict[str, float]) -> Json:
        return {"budget_spent_usd": spent, "budget_forecast_usd": forecast, "budget_burn_rate": burn, **period}

    running_out = {"budget_exhaustion_timestamp_seconds": now + 2 * DAY, "budget_forecast_history_seconds": 7 * DAY}
    return [
        row("all", 9000.0, {"": {"": {"": {"month": 1.0}}}}, **sums(5400.25, 8100.5, calm)),
        row("acme-monthly", 100.0, {"acme": {"": {"": {"month": 1.0}}}}, **sums(104.0, 156.0, calm)),
        row("runaway", 500.0, {"": {"llama": {"chat": {"week": 1.0}}}},
            **sums(310.0, 1250.0, calm | {"5m": 21.0, "1h": 15.5}), **running_out),
        row("new", 1.0, {"": {"": {"chat": {"day": 1.0}}}}),
    ]  # fmt: skip


def budget_gauges(rows: list[Json]) -> dict[str, dict[Labels, float]]:
    """The same budgets as /metrics has them."""
    made: dict[str, dict[Labels, float]] = {}
    for row in rows:
        for name, value in row.items():
            if f"tokencost_{name}" in by_name():
                gauge = made.setdefault(f"tokencost_{name}", {})
                gauge |= {(row["budget"], *labels): number for labels, number in _leaves(value)}
    return made


def _leaves(value: Any) -> Iterator[tuple[Labels, float]]:
    if not isinstance(value, dict):
        yield (), value
        return
    for key, below in value.items():
        yield from (((key, *labels), number) for labels, number in _leaves(below))


def spends(tenants: int) -> dict[str, int]:
    """Tenant -> pico-USD in an hour; the first spends most."""
    names = ["acme", "globex", HOSTILE, "_unattributed", *(f"team-{number:04}" for number in range(4, tenants))]
    return {name: (2 * tenants - place) * USD // 100 for place, name in enumerate(names[:tenants])}


def counters(seconds: int, tenants: int) -> dict[str, dict[Labels, int]]:
    """The books: a pool of GPUs that are read, an API, a pool that nobody priced."""
    share = seconds / HOUR
    chat: dict[Labels, int] = {
        (name, "llama", "chat", "output"): round(amount * share) for name, amount in spends(tenants).items()
    }
    api: dict[Labels, int] = {("acme", "gpt-4o", "openai", "input"): round(3 * USD * share)}
    idle, used = round(25 * USD * share), sum(chat.values())
    news = round(3e5 * share)  # tokens of a model that the price card does not know
    tokens: dict[Labels, int] = {labels: round(1e6 * share) for labels in (*chat, *api)}
    return {
        "tokencost_spend_usd_total": chat | api,
        "tokencost_tokens_total": tokens
        | {("acme", "lab", "lab", "output"): 777, ("acme", "new", "openai", "input"): news},
        "tokencost_unpriced_tokens_total": {("lab", "lab", "output"): 777, ("new", "openai", "input"): news},
        "tokencost_requests_total": {labels[:3]: round(12345 * share) for labels in chat},
        "tokencost_cost_usd_total": {("chat", "gpu"): used + idle + USD, ("openai", "api"): sum(api.values())},
        "tokencost_idle_cost_usd_total": {("chat",): idle, ("lab",): 0},
        "tokencost_gpu_seconds_total": {("chat",): GPUS * seconds * SECOND},
        "tokencost_gpu_busy_seconds_total": {("chat",): GPUS * seconds * SECOND * 2 // 5},
        "tokencost_gpu_energy_joules_total": {("chat", str(gpu)): gpu * 3_600_000 * JOULE for gpu in range(GPUS)},
        "tokencost_target_scrapes_total": {(UP,): 240, (DOWN,): 240},
        "tokencost_target_counter_resets_total": {(UP,): 1, (DOWN,): 0},
        "tokencost_target_scrape_failures_total": {(DOWN, "connect"): 12},
    }


def gauges(now: int, share: float, tenants: int) -> dict[str, Mapping[Labels, float]]:
    """What is so at that moment."""
    gpu: dict[Labels, int] = {("chat", str(number)): number for number in range(GPUS)}
    windows = ("5m", "1h")
    hourly: dict[Labels, float] = {
        (name, window): amount / USD * share for name, amount in spends(tenants).items() for window in windows
    }
    llama = ("chat", "llama")
    return {
        "tokencost_pending_cost_usd": {("chat",): 1.0, ("lab",): 0.0},
        "tokencost_live_spend_usd_per_hour": hourly,
        "tokencost_live_cost_usd_per_token": {
            (*llama, "5m"): 2.5e-6, (*llama, "1h"): 3e-6, ("openai", "gpt-4o", "1h"): 2.5e-6,
        },
        "tokencost_live_cost_usd_per_output_token": {(*llama, "5m"): 1.25e-5},
        "tokencost_live_spend_usd_per_token": {
            (*llama, "output", "5m"): 4.4e-6, (*llama, "input", "5m"): 1.1e-7, (*llama, "output", "1h"): 4.5e-6,
        },
        "tokencost_gpus": {("chat",): float(GPUS), ("lab",): 1.0},
        "tokencost_unpriced_gpus": {("chat",): 0.0, ("lab",): 1.0},
        "tokencost_gpu_price_usd_per_hour": {("chat", H100): 2.49},
        "tokencost_requests_running": {("chat",): 23.0},
        "tokencost_requests_waiting": {("chat",): 4.0},
        "tokencost_kv_cache_usage_ratio": {("chat",): 0.42},
        "tokencost_allocation_info": {("chat", "fitted"): 1.0, ("openai", "price_card"): 1.0},
        "tokencost_busy_info": {("chat", "gpu_utilization"): 1.0},
        "tokencost_gpu_utilization_ratio": {labels: 0.4 + number / 10 for labels, number in gpu.items() if number < 2},
        "tokencost_gpu_memory_used_bytes": {labels: (60.0 + number) * 2**30 for labels, number in gpu.items()},
        "tokencost_gpu_memory_total_bytes": dict.fromkeys(gpu, 80.0 * 2**30),
        "tokencost_gpu_power_watts": {labels: 400.0 + number for labels, number in gpu.items()},
        "tokencost_gpu_temperature_celsius": {labels: 60.0 + number for labels, number in gpu.items()},
        "tokencost_gpu_info": {(*labels, f"GPU-{number}", H100, ""): 1.0 for labels, number in gpu.items()},
        "tokencost_target_up": {(UP, "chat", "vllm"): 1.0, (DOWN, "chat", "vllm"): 0.0},
        "tokencost_target_scrape_duration_seconds": {(UP, "chat", "vllm"): 0.0123},
        "tokencost_target_last_success_timestamp_seconds": {
            (UP, "chat", "vllm"): now - 5.0, (DOWN, "chat", "vllm"): now - 300.0,
        },
        "tokencost_ledger_last_save_timestamp_seconds": {(): float(now)},
        "tokencost_config_last_reload_successful": {(): 1.0},
    }  # fmt: skip


def fleet(start: int, seconds: int = HOUR, tenants: int = 4) -> View:
    """That fleet so many seconds after its start."""
    now, refused = start + seconds, f"{DOWN}: refused"
    return View(
        Instant((1 + seconds) * NS, now * NS),
        Instant(NS, start * NS),
        {name: family(name, values) for name, values in counters(seconds, tenants).items()},
        gauges(now, seconds / HOUR, tenants),
        (
            TargetStatus(UP, "chat", "vllm", up=True, last_success=now - 5.0, duration_seconds=0.0123),
            TargetStatus(DOWN, "chat", "vllm", up=False, reason="connect", detail=refused, last_success=now - 300.0),
        ),
    )


@dataclass(slots=True)
class Served:
    """A running server, and what it says."""

    url: str
    site: Site = field(repr=False)
    server: Server = field(repr=False)
    json: Json = field(default_factory=dict, repr=False)
    ticks: list[tuple[float, bytes]] = field(default_factory=list, repr=False)  # Unix seconds, OpenMetrics

    @property
    def history(self) -> Json:
        assert self.site.history.latest
        made: Json = orjson.loads(self.site.history.latest.body())
        return made

    def publish(self, view: View, rows: list[Json] | None = None) -> None:
        """The next tick, with these budgets."""
        view = replace(view, gauges={**view.gauges, **budget_gauges(rows or [])})
        self.site.history.update(view)
        self.site.rendered = Exposition().update(view)
        self.ticks.append((view.at.wall_ns / NS, self.site.rendered.body("openmetrics")))
        self.say(snapshot(view) | {"budgets": rows or []})

    def say(self, json: Json) -> None:
        """A tick that says exactly that."""
        self.json = json
        body = orjson.dumps(json)
        self.site.snapshot = Answer(f"{hash(body):x}", lambda: body)

    async def restart(self) -> None:
        """Another server on the same port."""
        await self.server.stop()
        self.server = Server(self.site)
        await self.server.start(self.url.removeprefix("http://").rstrip("/"))


@asynccontextmanager
async def serving(site: Site | None = None) -> AsyncIterator[Served]:
    """A server with nothing to say yet, on a free port."""
    site = site or Site()
    server = Server(site)
    served = Served(f"http://{await server.start('127.0.0.1:0')}/", site, server)
    try:
        yield served
    finally:
        await served.server.stop()


@asynccontextmanager
async def serving_fleet(now: float, tenants: int = 4) -> AsyncIterator[Served]:
    """A server with the fleet's last hour, tick by tick, and its budgets."""
    async with serving() as served:
        for seconds in range(0, HOUR + 1, TICK):
            served.publish(fleet(int(now) - HOUR, seconds, tenants), budgets(now))
        yield served
