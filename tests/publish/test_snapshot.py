"""The JSON says what /metrics says."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from exporter.ledger.accounts import Family
from exporter.publish.catalog import USD
from exporter.publish.snapshot import Snapshot, snapshot
from exporter.publish.writer import Exposition
from tests.publish.world import CENT, COST, GPUS, HOSTILE, HOURLY, SPEND, family, fleet, view


def row(rows: list[dict[str, Any]], **identity: str) -> dict[str, Any]:
    (found,) = [one for one in rows if identity.items() <= one.items()]
    return found


def test_a_fleet_as_json() -> None:
    made = orjson.loads(Snapshot(fleet()).body())
    assert (made["time"], made["started"], made["uptime_seconds"]) == (1_700_000_060.0, 1_700_000_000.0, 60.0)
    assert made["pools"] == [
        {
            "pool": "a100",
            "tokens": {"input": 300, "output": 150},
            "cost_usd": {"gpu": 0.03, "overhead": 0.01},
            "spend_usd": 0.03,
            "idle_cost_usd": 0.01,
            "pending_cost_usd": 0.0,
            "gpus": 1.5,
        }
    ]
    assert made["models"] == [
        {
            "pool": "a100",
            "model_name": "llama",
            "tokens": {"input": 300, "output": 150},
            "spend_usd": {"output": 0.03},
            "live_cost_usd_per_token": {"5m": 4e-06},
        }
    ]
    acme = row(made["tenants"], tenant="acme")
    assert acme["spend_usd"] == 0.02
    assert acme["live_spend_usd_per_hour"] == {"5m": 1.5, "1h": 1.0}
    assert made["live_spend_usd_per_hour"] == {"5m": 2.25, "1h": 1.0}
    assert made["budgets"] == [
        {
            "budget": "acme.monthly",
            "budget_limit_usd": 5000.0,
            "budget_spent_usd": 0.0,
            "budget_burn_rate": {"5m": 0.0, "1h": 0.5},
            "budget_info": {"acme": {"": {"": {"month": 1.0}}}},
        }
    ]
    assert not [key for key in made if key.startswith("budget_")], "limits of budgets that overlap have no sum"
    up, down = made["targets"]
    assert (up["up"], up["target_scrapes"], up["last_success"]) == (True, 7, 1_700_000_055.0)
    assert (down["reason"], down["detail"], down["last_success"]) == ("connect", "refused", None)
    assert down["target_scrape_failures"] == {"connect": 3}


def test_every_number_of_one_series_is_the_number_on_the_page() -> None:
    made, page = snapshot(fleet()), Exposition().update(fleet()).body("text").decode()
    shown = {
        (sample.name, *sample.labels.values()): sample.value
        for metric in text_string_to_metric_families(page)
        for sample in metric.samples
    }
    assert made["pools"][0]["cost_usd"]["gpu"] == shown[COST, "a100", "gpu"]
    assert row(made["tenants"], tenant="acme")["spend_usd"] == shown[SPEND, "acme", "llama", "a100", "output"]
    assert made["pools"][0]["gpus"] == shown[GPUS, "a100"]


@given(st.dictionaries(st.tuples(HOSTILE, HOSTILE, HOSTILE, HOSTILE), st.integers(0, 10**24), max_size=20))
def test_sums_are_of_integers_and_rounded_once(accounts: dict[tuple[str, ...], int]) -> None:
    made = orjson.loads(Snapshot(view(family(SPEND, accounts))).body())
    assert made.get("spend_usd") == (sum(accounts.values()) / USD if accounts else None)
    for tenant in made["tenants"]:
        own = sum(value for labels, value in accounts.items() if labels[0] == tenant["tenant"])
        assert tenant["spend_usd"] == own / USD


def test_unknown_is_absent_and_nothing_is_valid() -> None:
    made = orjson.loads(Snapshot(view(Family(SPEND), gauges={GPUS: {("a",): float("nan"), ("b",): 1.0}})).body())
    assert [pool["pool"] for pool in made["pools"]] == ["b"]
    assert "spend_usd" not in made
    assert made["models"] == made["tenants"] == made["targets"] == []


def test_what_the_next_tick_books_is_not_in_this_ones_json() -> None:
    books = family(SPEND, {("acme", "m", "p", "output"): CENT})
    taken = Snapshot(view(books, gauges={HOURLY: {}}))
    books.add(("acme", "m", "p", "output"), CENT)
    books.add(("newcomer", "m", "p", "output"), CENT)
    made = orjson.loads(taken.body())
    assert [(tenant["tenant"], tenant["spend_usd"]) for tenant in made["tenants"]] == [("acme", 0.01)]


def test_numbers_beyond_64_bits_cost_no_json() -> None:
    tokens = family("tokencost_requests_total", {("t", "m", "p"): 10**30})
    money = family(SPEND, {("t", "m", "p", "output"): 10**400})
    made = orjson.loads(Snapshot(view(tokens, money)).body())
    assert made["requests"] == 1e30
    assert made["spend_usd"] > 1e300
