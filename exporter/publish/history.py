"""The last hour in memory, for the page's sparklines: what all pools, and each of them, did in every half minute.

It begins with the process, is no part of the books, and knows pools but no tenants: its size is bounded by POOLS and
STEPS, whatever is served. GET /api/v1/history.
"""

from __future__ import annotations

import math
from array import array
from collections import deque
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import orjson

from exporter.ledger import families as f
from exporter.publish.answer import Answer
from exporter.publish.catalog import LARGEST, USD, by_name
from exporter.publish.view import View
from exporter.records import NS

SPAN_NS = 3600 * NS
STEP_NS = 30 * NS
STEPS = SPAN_NS // STEP_NS
POOLS = 64  # those seen first have a history of their own; all of them are in the total

# What a step keeps of a pool, in units of the books: an amount, or NaN where the pool has no such account.
AMOUNTS = ("cost", "idle", "spend", "tokens", "gpu_time", "busy_time")
WIDTH = len(AMOUNTS)
# Figure -> what is divided by what, and the factor that makes it the figure's unit. Tokens are those with a price.
FIGURES: Mapping[str, tuple[str, str, float]] = {
    "spend_usd_per_hour": ("spend", "seconds", 3600 / USD),
    "cost_usd_per_hour": ("cost", "seconds", 3600 / USD),
    "idle_ratio": ("idle", "cost", 1.0),
    "gpu_busy_ratio": ("busy_time", "gpu_time", 1.0),
    "cost_usd_per_token": ("cost", "tokens", 1 / USD),
}

Amounts = dict[str, int]


class History:
    """Steps of half a minute, or of a tick where that is longer; shorter ones while watching has just begun.

    `update` is called by one thread at a time; `latest` may be read from any.
    """

    def __init__(self) -> None:
        self.latest: Answer | None = None  # None until the first tick
        self._begun_ns = 0
        self._opened_ns = 0  # when the step under way began
        self._books: dict[str, Amounts] = {}  # by pool, as they stood then
        self._seconds: deque[float] = deque()
        self._total = array("d")  # WIDTH amounts a step
        self._pools: dict[str, array[float]] = {}

    def update(self, view: View) -> None:
        """Take one tick. All but the one that ends a step cost nothing; that one sums the books' tokens."""
        now_ns = view.at.monotonic_ns
        first = self.latest is None
        if first:
            self._begun_ns = self._opened_ns = now_ns
        elapsed_ns = now_ns - self._opened_ns
        if not first and elapsed_ns < min(STEP_NS, max(1, (now_ns - self._begun_ns) // 4)):
            return
        books = _books(view)
        if not first:
            steps = {pool: _moved(self._books.get(pool, {}), amounts) for pool, amounts in books.items()}
            self._append(elapsed_ns / NS, steps)
        self._opened_ns, self._books = now_ns, books
        pools = {pool: kept[:] for pool, kept in self._pools.items()}
        make = partial(_json, view.at.wall_ns / NS, list(self._seconds), self._total[:], pools)
        self.latest = Answer(f"{view.started.wall_ns:x}-{now_ns:x}", make)

    def _append(self, seconds: float, steps: Mapping[str, Sequence[float]]) -> None:
        for pool in steps:
            if pool not in self._pools and len(self._pools) < POOLS:
                self._pools[pool] = array("d", [math.nan] * (WIDTH * len(self._seconds)))
        self._seconds.append(seconds)
        self._total.extend(_known_sum(column) for column in zip(*steps.values(), strict=True))
        self._total.extend([math.nan] * (WIDTH if not steps else 0))
        for pool, kept in self._pools.items():
            kept.extend(steps.get(pool) or [math.nan] * WIDTH)
        while len(self._seconds) > STEPS or sum(self._seconds) - self._seconds[0] >= SPAN_NS / NS:
            self._seconds.popleft()
            for kept in (self._total, *self._pools.values()):
                del kept[:WIDTH]


def _books(view: View) -> dict[str, Amounts]:
    """What each pool's accounts hold; of spend what law 1 makes it: cost without what is idle or pending."""
    pools: dict[str, Amounts] = {}
    for name, amount in (
        ("cost", f.COST), ("idle", f.IDLE), ("tokens", f.TOKENS), ("unpriced", f.UNPRICED),
        ("gpu_time", f.GPU_TIME), ("busy_time", f.BUSY_TIME),
    ):  # fmt: skip
        for pool, value in _by_pool(view, amount).items():
            pools.setdefault(pool, {})[name] = value
    pending = view.gauges.get("tokencost_pending_cost_usd", {})
    for pool, amounts in pools.items():
        amounts["tokens"] = amounts.get("tokens", 0) - amounts.pop("unpriced", 0)
        waiting = pending.get((pool,), 0.0)
        if "cost" in amounts and math.isfinite(waiting):
            amounts["spend"] = amounts["cost"] - amounts.get("idle", 0) - round(waiting * USD)
    return pools


def _by_pool(view: View, name: str) -> dict[str, int]:
    family = view.counters.get(name)
    sums: dict[str, int] = {}
    if family is not None:
        place = by_name()[name].labels.index("pool")
        for labels, value in zip(family.labels, family.values, strict=True):
            sums[labels[place]] = sums.get(labels[place], 0) + value
    return sums


def _moved(before: Amounts, now: Amounts) -> list[float]:
    """How far each amount moved, as a float: of a step's worth of picodollars all digits fit."""
    # What is pending is a rounded gauge, so spend may seem to have shrunk by a picodollar.
    moved = (max(0, min(now[name] - before.get(name, 0), LARGEST)) if name in now else math.nan for name in AMOUNTS)
    return [float(amount) for amount in moved]


def _known_sum(column: Sequence[float]) -> float:
    known = [value for value in column if not math.isnan(value)]
    return sum(known) if known else math.nan


def _json(at: float, seconds: list[float], total: array[float], pools: Mapping[str, array[float]]) -> bytes:
    """`seconds`: how long each step was; `points` stand beside them, oldest first; `value` is of all steps together."""
    body: dict[str, Any] = {
        "time": at,
        "seconds": [round(step, 3) for step in seconds],
        "total": _figures(seconds, total),
        "pools": {pool: _figures(seconds, kept) for pool, kept in sorted(pools.items())},
    }
    return orjson.dumps(body)


def _figures(seconds: list[float], kept: array[float]) -> dict[str, Any]:
    columns = {name: list(kept[place::WIDTH]) for place, name in enumerate(AMOUNTS)} | {"seconds": seconds}
    return {
        name: figure
        for name, (over, under, factor) in FIGURES.items()
        if (figure := _figure(columns[over], columns[under], factor))
    }


def _figure(over: list[float], under: list[float], factor: float) -> dict[str, Any] | None:
    """Ratios of each step, and of the sums: never the mean of ratios. None where nothing is known of either."""
    known = [(a, b) for a, b in zip(over, under, strict=True) if not math.isnan(a + b)]
    if not known:
        return None
    points = [_ratio(a, b, factor) for a, b in zip(over, under, strict=True)]
    value = _ratio(sum(a for a, _ in known), sum(b for _, b in known), factor)
    return {"value": value, "points": [None if point is None else float(f"{point:.4g}") for point in points]}


def _ratio(over: float, under: float, factor: float) -> float | None:
    return over / under * factor if under > 0 and not math.isnan(over) else None
