"""The last hour: right figures, nothing of before, nothing of tenants, and no growth."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from exporter.ledger.accounts import Labels
from exporter.publish.catalog import USD
from exporter.publish.history import FIGURES, POOLS, SPAN_NS, STEP_NS, STEPS, History
from exporter.publish.view import View
from exporter.records import NS, Instant
from tests.publish.world import COST, IDLE, PENDING, TOKENS, family

GPU_TIME, BUSY = "tokencost_gpu_seconds_total", "tokencost_gpu_busy_seconds_total"
UNPRICED = "tokencost_unpriced_tokens_total"
START = 1_700_000_000


def books(
    seconds: float, counters: Mapping[str, Mapping[Labels, int]], pending: Mapping[Labels, float] | None = None
) -> View:
    """These books so many seconds after the start."""
    at = round(seconds * NS)
    return View(
        Instant(at + NS, START * NS + at),
        Instant(NS, START * NS),
        {name: family(name, values) for name, values in counters.items()},
        {PENDING: pending or {}},
    )


def pool(hours: float, name: str = "a", tenants: int = 1) -> dict[str, dict[Labels, int]]:
    """Books of a pool that costs 6 USD an hour, is idle for a third of it, and serves a million tokens an hour."""
    tokens = round(hours * 1e6)
    served: dict[Labels, int] = {(f"t{place}", "m", name, "output"): 0 for place in range(1, tenants)}
    return {
        COST: {(name, "gpu"): round(5 * USD * hours), (name, "overhead"): round(USD * hours)},
        IDLE: {(name,): round(2 * USD * hours)},
        TOKENS: {("t", "m", name, "output"): tokens, **served},
        GPU_TIME: {(name,): round(4 * hours * 3600 * NS)},
        BUSY: {(name,): round(hours * 3600 * NS)},
    }


def said(history: History) -> dict[str, Any]:
    assert history.latest
    made: dict[str, Any] = orjson.loads(history.latest.body())
    return made


def values(figures: Mapping[str, Any]) -> dict[str, float | None]:
    return {name: figure["value"] for name, figure in figures.items()}


def test_the_first_tick_has_no_hour_yet() -> None:
    history = History()
    assert history.latest is None
    history.update(books(0, pool(1)))
    assert said(history) == {"time": START, "seconds": [], "total": {}, "pools": {}}


def test_each_figure_of_all_pools_and_of_each() -> None:
    history = History()
    for minute in range(11):
        history.update(books(minute * 60, pool(5 + minute / 60), {("a",): 7.0}))
    made = said(history)
    wanted = {
        "spend_usd_per_hour": pytest.approx(4.0),  # cost without what is idle; what is pending stood still
        "cost_usd_per_hour": pytest.approx(6.0),
        "idle_ratio": pytest.approx(1 / 3),
        "gpu_busy_ratio": pytest.approx(0.25),
        "cost_usd_per_token": pytest.approx(6e-6, rel=1e-4),
    }
    assert values(made["total"]) == values(made["pools"]["a"]) == wanted
    assert made["time"] == START + 600
    assert made["seconds"] == [60.0] * 10
    assert {len(figure["points"]) for figure in made["total"].values()} == {10}


def test_what_becomes_pending_is_not_spent_yet() -> None:
    history = History()
    history.update(books(0, pool(0), {("a",): 0.0}))
    history.update(books(3600, pool(1), {("a",): 1.5}))
    assert said(history)["total"]["spend_usd_per_hour"]["value"] == pytest.approx(2.5)
    history.update(books(7200, pool(1), {("a",): 0.0}))
    assert said(history)["total"]["spend_usd_per_hour"]["points"][-1] == pytest.approx(1.5)


def test_the_whole_is_the_ratio_of_sums_and_not_the_mean_of_ratios() -> None:
    history = History()
    steps = ((0, 0, 0), (1, 10, 10), (2, 20, 1000))  # hours, USD, tokens in all
    for hour, usd, tokens in steps:
        history.update(
            books(hour * 1800, {COST: {("a", "gpu"): usd * USD}, TOKENS: {("t", "m", "a", "output"): tokens}})
        )
    figure = said(history)["total"]["cost_usd_per_token"]
    assert figure["value"] == pytest.approx(20 / 1000)
    assert figure["points"] == [1.0, pytest.approx(10 / 990, rel=1e-3)]


def test_tokens_without_a_price_have_no_cost() -> None:
    history = History()
    for hour in (0, 1):
        tokens: dict[Labels, int] = {("t", "m", "a", "input"): 100 * hour, ("t", "new", "a", "input"): 900 * hour}
        unpriced: dict[Labels, int] = {("new", "a", "input"): 900 * hour}
        history.update(books(hour * 60, {COST: {("a", "api"): hour * USD}, TOKENS: tokens, UNPRICED: unpriced}))
    assert said(history)["total"]["cost_usd_per_token"]["value"] == pytest.approx(0.01)


def test_unknown_is_absent_and_undefined_is_null() -> None:
    history = History()
    for hour in (0, 1):
        api: dict[Labels, int] = {("api", "api"): 0}
        history.update(
            books(hour * 60, {COST: api, IDLE: {("free",): 0}, GPU_TIME: {("free",): 0}, BUSY: {("free",): 0}})
        )
    made = said(history)["pools"]
    assert values(made["api"]) == {"spend_usd_per_hour": 0.0, "cost_usd_per_hour": 0.0, "cost_usd_per_token": None}
    assert values(made["free"]) == {"gpu_busy_ratio": None}
    assert made["free"]["gpu_busy_ratio"]["points"] == [None]


def test_a_pool_that_comes_later_counts_from_zero_and_its_past_is_a_gap() -> None:
    history = History()
    history.update(books(0, pool(1)))
    history.update(books(60, pool(1)))
    both = {name: {**pool(1)[name], **pool(2, "b")[name]} for name in pool(1)}
    history.update(books(120, both))
    made = said(history)["pools"]
    assert made["a"]["cost_usd_per_hour"]["points"] == [0.0, 0.0]
    assert made["b"]["cost_usd_per_hour"]["points"] == [None, 720.0]  # 12 USD in a minute


def test_steps_are_half_a_minute_and_the_first_ones_shorter() -> None:
    history, ticks = History(), range(0, 1200, 2)
    for second in ticks:
        history.update(books(second, pool(second / 3600)))
    seconds = said(history)["seconds"]
    assert seconds[0] == 2.0  # the page has a figure after the second tick
    assert sum(seconds) == pytest.approx(ticks[-1], abs=STEP_NS / NS)
    assert seconds[-30:] == [30.0] * 30
    assert len(seconds) < 60


@pytest.mark.parametrize("interval", [2, 15, 40, 900])
def test_no_more_than_an_hour_is_kept(interval: int) -> None:
    history = History()
    for second in range(0, 3 * 3600, interval):
        history.update(books(second, pool(second / 3600)))
    made = said(history)
    assert len(made["seconds"]) <= STEPS
    assert SPAN_NS / NS <= sum(made["seconds"]) < SPAN_NS / NS + max(interval, STEP_NS / NS)
    assert values(made["total"])["cost_usd_per_hour"] == pytest.approx(6.0)


def test_its_size_knows_neither_tenants_nor_pools_beyond_the_bound() -> None:
    sizes = []
    for tenants in (1, 1000):
        history = History()
        for minute in range(200):
            history.update(books(minute * 60, pool(minute / 60, tenants=tenants)))
        assert history.latest
        sizes.append(len(history.latest.body()))
    assert sizes[0] == sizes[1]

    history = History()
    for hour in (0, 1):
        many: dict[Labels, int] = {(f"p{place:04}", "gpu"): hour * USD for place in range(10 * POOLS)}
        history.update(books(hour * 3600, {COST: many}))
    made = said(history)
    assert len(made["pools"]) == POOLS
    assert made["total"]["cost_usd_per_hour"]["value"] == pytest.approx(10 * POOLS)


def test_numbers_beyond_any_float_and_no_numbers_cost_no_answer() -> None:
    history = History()
    history.update(books(0, {COST: {("a", "gpu"): 0, ("b", "gpu"): 0}}))
    history.update(
        books(60, {COST: {("a", "gpu"): 10**400, ("b", "gpu"): 10**400}}, {("a",): math.nan, ("b",): math.inf})
    )
    made = said(history)
    assert set(made["pools"]["a"]) <= set(FIGURES)
    assert "spend_usd_per_hour" not in made["pools"]["a"]
    assert made["total"]["cost_usd_per_hour"]["value"] is None  # infinite


def test_no_pool_at_all() -> None:
    history = History()
    for minute in range(3):
        history.update(books(minute * 60, {}))
    assert said(history) == {"time": START + 120, "seconds": [60.0, 60.0], "total": {}, "pools": {}}


def test_an_answer_that_somebody_holds_does_not_change() -> None:
    history = History()
    history.update(books(0, pool(0)))
    history.update(books(60, pool(1)))
    held = history.latest
    history.update(books(120, pool(2)))
    assert held
    assert history.latest
    assert len(orjson.loads(held.body())["seconds"]) == 1
    assert held.tag != history.latest.tag
