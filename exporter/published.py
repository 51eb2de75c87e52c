"""The gauges of one pool, as its last tick found them. What is not known is not there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

from exporter.allocation.gputime import Device, GpuTime
from exporter.allocation.pool import PoolBook
from exporter.ledger.accounts import Labels
from exporter.ledger.money import PICO_PER_USD
from exporter.metering.usage import Gauges
from exporter.records import Gpu

Gauge = tuple[str, Labels, float | None]  # name without prefix, labels, value

_OF_A_GPU = {
    "gpu_memory_used_bytes": "memory_used",
    "gpu_memory_total_bytes": "memory_total",
    "gpu_power_watts": "power",
    "gpu_temperature_celsius": "temperature",
}


def pool_gauges(book: PoolBook, engines: Iterable[Gauges], gpus: GpuTime | None, wall_ns: int) -> Iterator[Gauge]:
    """`engines`: what the last good page of each target said about now."""
    name = book.name
    yield "pending_cost_usd", (name,), book.pending / PICO_PER_USD
    yield "allocation_info", (name, book.method), 1.0
    yield "busy_info", (name, book.busy_from), 1.0
    held = gpus.counts[-1][1] if gpus else book.supply.configured
    prices = {product: book.supply.usd_per_gpu_hour(product, wall_ns) for product in held}
    yield "gpus", (name,), float(sum(held.values(), Fraction(0)))
    unpriced = (count for product, count in held.items() if prices[product] is None)
    yield "unpriced_gpus", (name,), float(sum(unpriced, Fraction(0)))
    for product, price in prices.items():
        yield "gpu_price_usd_per_hour", (name, product), None if price is None else float(price)
    for device in gpus.devices if gpus else ():
        yield from _gpu_gauges(name, device)
    yield from _engine_gauges(name, list(engines))


def _gpu_gauges(pool: str, device: Device) -> Iterator[Gauge]:
    gpu = device.held.gpu
    labels = (pool, gpu.name)
    yield "gpu_info", (*labels, gpu.uuid, gpu.product, gpu.mig_profile), 1.0
    yield "gpu_utilization_ratio", labels, None if device.busy is None else float(device.busy)
    now: Gpu | None = device.now
    for metric, field in _OF_A_GPU.items():
        value = getattr(now, field, None)
        yield metric, labels, None if value is None else float(value)


def _engine_gauges(pool: str, engines: list[Gauges]) -> Iterator[Gauge]:
    running, waiting, caches = (
        [value for gauges in engines if (value := getattr(gauges, gauge)) is not None]
        for gauge in ("running", "waiting", "kv_cache")
    )
    yield "requests_running", (pool,), sum(running) if running else None
    yield "requests_waiting", (pool,), sum(waiting) if waiting else None
    yield "kv_cache_usage_ratio", (pool,), sum(caches) / len(caches) if caches else None
