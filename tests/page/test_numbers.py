"""Every number on the page is the one in the JSON; what is undefined is a dash that says why."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from tests.page.browser import DASH, Cell, number, open_number, places, poll, shown, table
from tests.page.world import DOWN, HOUR, TICK, Json, Served, budgets, fleet, serving, serving_fleet

Value = Callable[[Json], Any]
WINDOW = "5m"


def total(value: Any) -> Any:
    return sum(value.values()) if isinstance(value, dict) else value


def ratio(part: Any, whole: Any) -> float | None:
    return None if part is None or not whole else part / whole


def live(name: str, *more: str) -> Value:
    def value(row: Json) -> Any:
        found = row.get(name, {}).get(WINDOW)
        for key in more:
            found = (found or {}).get(key)
        return found

    return value


def plain(name: str) -> Value:
    return lambda row: total(row.get(name))


def columns(served: Served) -> dict[str, dict[str, Value]]:
    """Section -> column -> what a row of the JSON says it is."""
    hour = served.history["pools"]
    spend = served.json["spend_usd"]

    def kept(name: str) -> Value:
        return lambda row: hour.get(row["pool"], {}).get(name, {}).get("value")

    burns = {
        f"Burn {window}": (lambda row, w=window: row.get("budget_burn_rate", {}).get(w))
        for window in ("1h", "6h", "1d")
    }
    return {
        "models": {
            "All-in": live("live_cost_usd_per_token"),
            "Input": live("live_spend_usd_per_token", "input"),
            "Cached": live("live_spend_usd_per_token", "cache_read"),
            "Output": live("live_spend_usd_per_token", "output"),
            "All-in per output": live("live_cost_usd_per_output_token"),
            "Tokens": plain("tokens"),
            "Unpriced": lambda row: total(row.get("unpriced_tokens", 0)),
            "Spend": plain("spend_usd"),
        },
        "tenants": {
            "Spend": plain("spend_usd"),
            "Share": lambda row: ratio(row.get("spend_usd"), spend),
            "Per hour now": live("live_spend_usd_per_hour"),
            "Per million": lambda row: ratio(row.get("spend_usd"), total(row["tokens"])),
            "Tokens": plain("tokens"),
            "Requests": plain("requests"),
        },
        "budgets": {
            "Spent": plain("budget_spent_usd"),
            "Limit": plain("budget_limit_usd"),
            "Used": lambda row: ratio(row.get("budget_spent_usd"), row["budget_limit_usd"]),
            "Forecast": plain("budget_forecast_usd"),
            **burns,
            "Runs out": plain("budget_exhaustion_timestamp_seconds"),
            "Period ends": plain("budget_period_end_timestamp_seconds"),
        },
        "pools": {
            "GPUs": plain("gpus"),
            "GPU per hour": plain("gpu_price_usd_per_hour"),
            "Paid per hour": kept("cost_usd_per_hour"),
            "Per million": kept("cost_usd_per_token"),
            "Idle": kept("idle_ratio"),
            "Busy": kept("gpu_busy_ratio"),
            "Running": plain("requests_running"),
            "Waiting": plain("requests_waiting"),
            "KV cache": plain("kv_cache_usage_ratio"),
        },
        "books": {
            "Paid": plain("cost_usd"),
            "Spent": plain("spend_usd"),
            "Idle": plain("idle_cost_usd"),
            "Pending": plain("pending_cost_usd"),
            "Idle share": lambda row: ratio(row.get("idle_cost_usd"), total(row.get("cost_usd"))),
            "Tokens": plain("tokens"),
            "Requests": plain("requests"),
        },
        "gpus": {
            "Busy": plain("gpu_utilization_ratio"),
            "Memory": lambda row: ratio(row["gpu_memory_used_bytes"], row["gpu_memory_total_bytes"]),
            "Used": plain("gpu_memory_used_bytes"),
            "Of": plain("gpu_memory_total_bytes"),
            "Power": plain("gpu_power_watts"),
            "Temperature": plain("gpu_temperature_celsius"),
            "Energy": plain("gpu_energy_joules"),
        },
        "targets": {
            "Last success": plain("last_success"),
            "Took": lambda row: row["duration_seconds"] or None,
            "Failed": lambda row: total(row.get("target_scrape_failures", 0)),
            "Of scrapes": plain("target_scrapes"),
            "Restarts": plain("target_counter_resets"),
        },
    }


IDENTITY = {
    "models": {"Model": "model_name", "Pool": "pool"},
    "tenants": {"Tenant": "tenant"},
    "budgets": {"Budget": "budget"},
    "pools": {"Pool": "pool"},
    "books": {"Pool": "pool"},
    "gpus": {"GPU": "gpu", "Pool": "pool"},
    "targets": {"Target": "target", "Pool": "pool"},
}
TEXTS = {"State", "Engine", "Split by"}


def differences(cells: dict[str, Cell], row: Json, wanted: dict[str, Value]) -> Iterator[str]:
    for label, value in wanted.items():
        cell, expected = cells[label], value(row)
        if expected is None:
            if cell.text != DASH or not cell.title or cell.label != f"not known: {cell.title}":
                yield f"{label}: {cell} is not a dash with a reason"
        elif number(cell.title) != pytest.approx(expected, rel=1e-6, abs=0.6 if "UTC" in cell.title else 1e-12):
            yield f"{label}: {cell.title} is not {expected}"
        elif "UTC" not in cell.title and "per million" in cell.title:
            if abs(number(cell.text) / 1e6 - expected) > places(cell.text) / 1e6 * 1.0001:
                yield f"{label}: {cell.text} is not {expected} rounded"
        elif "UTC" not in cell.title and abs(number(cell.text) - expected) > places(cell.text) * 1.0001:
            yield f"{label}: {cell.text} is not {expected} rounded"


async def assert_equal(page: Page, served: Served) -> None:
    for section, wanted in columns(served).items():
        rows = await table(page, section)
        identity = IDENTITY[section]
        json = {
            tuple(row[key] for key in identity.values()): row
            for row in served.json["pools" if section == "books" else section]
        }
        assert len(rows) == len(json) > 0, section
        for cells in rows:
            assert cells.keys() == identity.keys() | wanted.keys() | (cells.keys() & TEXTS), section
            row = json.pop(tuple(cells[label].text for label in identity))
            assert list(differences(cells, row, wanted)) == [], (section, row)


async def test_every_number_of_every_table_is_that_of_the_snapshot(chromium: Browser) -> None:
    async with serving_fleet(time.time()) as served, shown(chromium, served.url) as page:
        await assert_equal(page, served)


async def test_the_next_tick_is_shown_and_nothing_is_drawn_anew(chromium: Browser) -> None:
    now = time.time()
    async with serving_fleet(now) as served, shown(chromium, served.url) as page:
        first = page.locator("#tenants tbody tr").first
        await first.evaluate("node => { node.mine = true; }")
        await first.locator("button").first.focus()
        served.publish(fleet(int(now) - HOUR, HOUR + TICK), budgets(now))
        await poll(page)
        await expect(page.locator("#totals button.n").first).to_have_attribute(
            "title", f"${served.json['live_spend_usd_per_hour'][WINDOW]:.12g}"
        )
        await assert_equal(page, served)
        assert await first.evaluate("node => node.mine")
        assert await page.evaluate("document.activeElement.closest('tr')?.mine")


async def test_the_big_numbers(chromium: Browser) -> None:
    async with serving_fleet(time.time()) as served, shown(chromium, served.url) as page:
        names = await page.locator("#totals dt").all_inner_texts()
        titles = await page.locator("#totals dd:nth-of-type(1) button").evaluate_all(
            "nodes => nodes.map((node) => node.title)"
        )
        below = await page.locator("#totals dd.note button").evaluate_all("nodes => nodes.map((node) => node.title)")
        hour, json = served.history["total"], served.json
        month = next(row for row in json["budgets"] if row["budget"] == "all")
        assert dict(zip(names, map(number, titles), strict=True)) == pytest.approx({
            "Spend now, per hour": json["live_spend_usd_per_hour"][WINDOW],
            "Spent, month to date": month["budget_spent_usd"],
            "Per million tokens, all-in": hour["cost_usd_per_token"]["value"],
            "Idle share": hour["idle_ratio"]["value"],
            "GPU busy": hour["gpu_busy_ratio"]["value"],
        }, rel=1e-6)  # fmt: skip
        assert list(map(number, below)) == pytest.approx([
            hour["cost_usd_per_hour"]["value"], total(json["cost_usd"]), total(json["tokens"]), json["idle_cost_usd"],
            4.0,
        ], rel=1e-6)  # fmt: skip
        assert await page.title() == "(4) $0.26/h tokencost"


async def test_month_to_date_is_not_made_up(chromium: Browser) -> None:
    """Neither a tenant's month nor a week of all spend is the month to date."""
    now = time.time()
    others = [row for row in budgets(now) if row["budget"] != "all"]
    async with serving_fleet(now) as served:
        week = {"budget": "week", "budget_spent_usd": 7.0, "budget_info": {"": {"": {"": {"week": 1.0}}}}}
        served.publish(fleet(int(now) - HOUR), [week, *others])
        async with shown(chromium, served.url) as page:
            assert "Spent in all" in await page.locator("#totals dt").all_inner_texts()
            opened = await open_number(page.locator("#totals div").nth(1).locator("button").first)
            assert number(opened["value"]) == pytest.approx(served.json["spend_usd"])
            assert "there is none" in opened["why"]


async def test_the_last_hour_is_drawn(chromium: Browser) -> None:
    async with serving_fleet(time.time()) as served, shown(chromium, served.url) as page:
        line = page.locator("#totals div").first.locator("svg")
        points = served.history["total"]["spend_usd_per_hour"]["points"]
        drawn = await line.locator(".line").get_attribute("d")
        assert drawn
        assert drawn.count("M") + drawn.count("L") == len(points) == HOUR // TICK
        assert (await line.get_attribute("aria-label") or "").startswith("last 60 min: from $")
        assert await page.locator("#pools tbody tr").first.locator("svg[role=img]").count() == 3


async def test_another_window(chromium: Browser) -> None:
    async with serving_fleet(time.time()) as served, shown(chromium, served.url) as page:
        assert {row["Model"].text: row["All-in"].text for row in await table(page, "models")} == {
            "llama": "$2.50", "gpt-4o": DASH, "lab": DASH, "new": DASH,
        }  # fmt: skip
        await page.get_by_role("radio", name="1h").check()
        rows = {row["Model"].text: row for row in await table(page, "models")}
        assert [row["All-in"].text for row in rows.values()] == ["$2.50", "$3.00", DASH, DASH]  # by spend
        assert rows["llama"]["Input"].title == "No uncached input token with a price was served in the last 1h."
        opened = await open_number(page.get_by_role("row", name="llama").get_by_role("button").first)
        assert opened["text"] == '1e6 * tokencost_live_cost_usd_per_token{pool="chat",model_name="llama",window="1h"}'


async def test_red_is_only_where_somebody_must_act(chromium: Browser) -> None:
    async with serving_fleet(time.time()) as served, shown(chromium, served.url) as page:
        red = {
            (section, next(iter(row.values())).text, label)
            for section in IDENTITY
            for row in await table(page, section)
            for label, cell in row.items()
            if cell.act
        }
        assert red == {
            ("budgets", "acme-monthly", "Used"),
            ("budgets", "acme-monthly", "Forecast"),
            ("budgets", "runaway", "Forecast"),
            ("budgets", "runaway", "Burn 1h"),
            ("pools", "lab", "GPU per hour"),
            ("targets", DOWN, "State"),
            ("targets", DOWN, "Last success"),
        }
        assert await page.locator("#act li").all_inner_texts() == [
            "Budget acme-monthly is spent.",
            "Budget runaway burns fast.",
            f"{DOWN} is down for 5 min: refused",
            "Pool lab has GPUs without a price: what they cost is not counted.",
        ]


async def test_what_else_there_is_to_act_on(chromium: Browser) -> None:
    now = time.time()
    async with serving() as served:
        served.publish(fleet(int(now) - HOUR), [])
        calm = served.json | {"targets": served.json["targets"][:1], "pools": served.json["pools"][:1]}
        served.say(calm)
        async with shown(chromium, served.url) as page:
            await expect(page.locator("#act")).to_be_hidden()
            pools = [served.json["pools"][0] | {"refused_gpus": 2.0}]
            down = served.json["targets"][0] | {"up": False, "reason": "status", "detail": "", "last_success": None}
            never = {"targets": [down] * 9, "pools": pools, "config_last_reload_successful": 0.0}
            served.say(calm | never | {"ledger_last_save_timestamp_seconds": calm["time"] - 600})
            await poll(page)
            await expect(page.locator("#act li")).to_have_count(9)
            lines = await page.locator("#act li").all_inner_texts()
            assert lines[0].endswith("is down and has never answered: status")
            assert lines[-1] == "And 4 more."
            served.say(calm | never | {"targets": [], "ledger_last_save_timestamp_seconds": calm["time"] - 600})
            await poll(page)
            await expect(page.locator("#act li")).to_have_count(3)
            assert await page.locator("#act li").all_inner_texts() == [
                "Pool chat asks for GPUs that other pools hold: they are not counted.",
                "The ledger was last saved 10 min ago: is its disk full or read-only?",
                "The config could not be reloaded, the old one is at work: the log says why.",
            ]
