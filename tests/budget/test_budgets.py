"""What each gauge of a budget says, through the real books and ledger."""

from __future__ import annotations

import shutil
import sqlite3
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from exporter.demo.engine import SimEngine
from exporter.sources.reader import Reader
from tests.budget.world import DAY, GATEWAY, HOUR, MINUTE, USD, World, at, budget, config
from tests.laws.world import folder_in_memory

MILLION = 10**6  # tokens: a dollar
NOON = at("2026-11-22T12:00")  # a Sunday
MONTH = 30 * DAY


@pytest.fixture
def path() -> Iterator[Path]:
    folder = folder_in_memory()
    yield folder / "ledger.db"
    shutil.rmtree(folder)


# -- spent ------------------------------------------------------------------------------------------------------------


def test_each_budget_counts_what_it_is_narrowed_to(path: Path) -> None:
    world = World(
        path, NOON,
        budget("all"), budget("acme", tenant="acme"), budget("gpt", model="gpt"), budget("openai", pool="openai"),
        budget("both", tenant="acme", pool="anthropic"), budget("nobody", tenant="nobody"),
        budget("unknown", tenant="_unattributed"),
    )  # fmt: skip
    for tenant, model, tokens in (
        ("acme", "gpt", 1),
        ("acme", "claude", 20),
        ("globex", "gpt-5", 300),
        ("", "gpt", 4000),
    ):
        world.spend(tokens, tenant, model)
    world.tick()
    expected = {"all": 4321, "acme": 21, "gpt": 4001, "openai": 4301, "both": 20, "nobody": 0, "unknown": 4000}
    assert {name: world.spent(name) for name in expected} == expected
    assert world.gauges["burn_rate/nobody/5m"] == 0.0, "that it spent nothing is known"
    assert world.gauges["info/both/acme//anthropic/month"] == 1.0


def test_a_name_is_a_name_and_no_glob(path: Path) -> None:
    world = World(path, NOON, budget("some", model="gpt*"))
    world.spend(5, model="gpt-5")
    world.tick()
    assert world.spent("some") == 0


def test_a_tenants_other_names_are_its_own(path: Path) -> None:
    tenants = {"aliases": {"team-acme": "acme"}}
    world = World(path, NOON, budget("acme", tenant="team-acme"), tenants=tenants)
    world.spend(3, "team-acme")
    world.spend(4, "acme")
    world.tick()
    assert world.spent("acme") == 7
    assert "info/acme/acme///month" in world.gauges, "joins with the label of the spend counter"


def test_a_tenant_with_a_budget_is_never_folded_into_other(path: Path) -> None:
    world = World(path, NOON, budget("late", tenant="late"), tenants={"limit": 2})
    for tenant in ("first", "second", "third", "late"):
        world.spend(1, tenant)
        world.tick()
    assert world.spent("late") == 1


def test_spend_belongs_to_the_period_in_which_its_tick_lies(path: Path) -> None:
    world = World(path, at("2026-03-28T23:59", "Europe/Berlin"), budget(period="day", timezone="Europe/Berlin"))
    world.spend(5)
    world.tick(59)
    assert world.spent() == 5
    world.spend(7)
    world.tick(1)  # midnight
    assert world.spent() == 7
    gauges = world.gauges
    assert gauges["period_start_timestamp_seconds/all"] == at("2026-03-29T00:00", "Europe/Berlin")
    assert gauges["period_end_timestamp_seconds/all"] - gauges["period_start_timestamp_seconds/all"] == 23 * HOUR


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "Australia/Lord_Howe"])
def test_all_periods_together_are_the_growth_of_the_counter(path: Path, zone: str) -> None:
    """Through a change of the year and one of DST, with kills, in odd amounts; exactly, in picodollars."""
    world = World(path, at("2026-03-30T09:07"), budget(period="day", timezone=zone))
    last: dict[int, int] = {}
    for step in range(700):
        world.spend(1 + step * step % 97)
        world.tick(1999)
        if step % 50 == 49:
            world.kill(down=3 * HOUR)
            world.tick()
        periods = {start: amount for start, amount, *_ in world.books.drain().budgets["all"]["periods"]}
        assert len(periods) <= 3
        last |= periods
    assert len(last) > 16
    assert sum(last.values()) == sum(world.ledger.values()) * 10**6


@pytest.mark.parametrize("running", [True, False])
def test_what_is_decided_when_a_pool_leaves_is_spent_too(path: Path, running: bool) -> None:
    """Tokens that no gateway reported are nobody's when their pool goes, at a reload or while the exporter is down."""
    engine, page = SimEngine("chat", start=NOON - 99.0), "http://chat:8000/metrics"
    pool = {"name": "chat", "endpoints": [{"url": page}], "gpus": {"count": 1}, "usd_per_gpu_hour": Decimal(36)}
    edge = {
        "name": "edge", "endpoints": [{"url": GATEWAY}], "tenant_label": "team_alias",
        "routes": [{"model": "*", "pool": "chat"}],
    }  # fmt: skip
    limits = (budget(), budget("nobody", tenant="_unattributed"), budget("chat", pool="chat"))
    world = World(path, NOON, *limits, pools=[pool], gateways=[edge])
    reader = Reader("vllm")
    for _ in range(3):
        engine.serve("chat", prompt=50, output=50)
        world.now += 10
        world.books.observe(reader.read(page, engine.page(), world.instant()))
        world.tick(0)
    assert world.spent() == 0
    without = {"name": "edge"} | edge | {"routes": [{"model": "*", "provider": "openai"}]}
    if not running:
        world.config = config(*limits[:2], gateways=[without])
        world.kill()
        world.tick(0)
    world.reload(*limits[:2], gateways=[without])
    world.tick()
    paid = sum(world.ledger.values())
    assert paid == world.spent() == world.spent("nobody") == 200_000, "20 seconds at a cent each"
    world.kill()
    world.tick(HOUR)
    world.reload(budget("again", tenant="_unattributed"), gateways=[without])
    assert world.spent("again") == paid


# -- clocks -----------------------------------------------------------------------------------------------------------


def test_a_small_step_back_over_the_end_of_a_period_does_not_begin_the_old_one_again(path: Path) -> None:
    world = World(path, at("2026-11-30T23:59"), budget())
    world.spend(100)
    world.tick()
    world.tick(MINUTE)
    world.spend(7)
    world.tick()
    assert world.spent() == 7
    world.skew = -30 * MINUTE  # it is November again
    for _ in range(3):
        world.spend(1)
        world.tick(MINUTE)
        assert world.gauges["period_start_timestamp_seconds/all"] == at("2026-12-01")
    assert world.spent() == 10
    world.kill()
    world.tick()
    assert world.spent() == 10, "nor after a restart"
    world.run(at("2026-12-01T02:00"), 10 * MINUTE)
    assert world.spent() == 10


def test_a_clock_that_was_far_ahead_and_comes_back_finds_what_it_left(path: Path) -> None:
    world = World(path, NOON, budget(), budget("day", period="day"))
    world.spend(100)
    world.tick()
    world.skew = 4 * 365 * DAY
    world.spend(10)
    world.tick()
    assert world.spent() == 10
    world.skew = 0
    world.spend(1)
    world.tick()
    assert (world.spent(), world.spent("day")) == (101, 101)
    world.spend(3)
    world.tick(DAY)
    assert (world.spent(), world.spent("day")) == (104, 3), "a day that is new, though a later one was seen"


def test_a_period_that_nobody_remembers_is_read_from_the_history(path: Path) -> None:
    world = World(path, NOON, budget(period="day"))
    for day in range(5):
        world.spend(10**day)
        world.tick(DAY)
    world.skew = -4 * DAY
    world.spend(7)
    world.tick()
    assert world.spent() == 7 + 1, "of the first tick, a day after noon"


def test_burn_does_not_follow_the_wall_clock(path: Path) -> None:
    world = World(path, NOON, budget())
    world.run(NOON + 2 * HOUR, MINUTE, 1000)
    before = world.gauges
    for skew in (-HOUR // 2, 3 * HOUR, -20 * DAY, 0):
        world.skew = skew
        world.spend(250)
        world.tick(15)
    now = world.gauges
    for window in ("5m", "30m", "1h", "2h"):
        assert now[f"burn_rate/all/{window}"] == pytest.approx(before[f"burn_rate/all/{window}"], rel=0.01)


# -- burn -------------------------------------------------------------------------------------------------------------


def test_one_is_exactly_on_plan(path: Path) -> None:
    world = World(path, NOON, budget(limit="720"))  # a dollar an hour
    world.run(NOON + 26 * HOUR, 5 * MINUTE, MILLION // 12)
    for window in ("5m", "30m", "1h", "2h", "6h", "1d"):
        assert world.gauges[f"burn_rate/all/{window}"] == pytest.approx(1, rel=2e-5), window


def test_a_ledger_of_five_minutes_does_not_page_for_what_it_has_not_seen(path: Path) -> None:
    """What it has not seen it counts as not spent: at 20 times the plan the page (14.4 over 1h and 5m) comes when it
    would had the spend begun with the ledger, after 43 minutes, and not at once."""
    world = World(path, NOON, budget(limit="720"))
    paged = None
    while world.now < NOON + 2 * HOUR:
        world.spend(MILLION * 20 // 60)
        world.tick(MINUTE)
        fast = min(world.gauges["burn_rate/all/1h"], world.gauges["burn_rate/all/5m"])
        if paged is None and fast > 14.4:
            paged = (world.now - NOON) // MINUTE
        assert world.gauges["burn_rate/all/1d"] < 2
    assert paged == 44


def test_what_burn_needs_to_remember_stays_small(path: Path) -> None:
    world = World(path, NOON, budget(), budget("other"))
    for hours in (3, 6):  # minutes are kept for two
        world.run(NOON + hours * HOUR, 59, 1)
        with sqlite3.connect(path) as db:
            (count,) = db.execute("SELECT count(*) FROM moment").fetchone()
        assert 120 + 7 * hours < count / 2 < 125 + 7 * hours


def test_burn_is_the_same_after_a_restart_and_after_a_reload(path: Path) -> None:
    world = World(path, NOON, budget(), budget("day", period="day"))
    for step in range(300):
        world.spend(step * 37 % 1000)
        world.tick(97)
    before = world.gauges
    world.kill()
    world.tick(0)
    assert world.gauges == before
    world.reload(budget(), budget("day", period="day"), budget("new"))
    assert {key: value for key, value in world.gauges.items() if "/new" not in key} == before


def test_the_old_periods_burn_goes_on_in_the_new_one(path: Path) -> None:
    world = World(path, at("2026-11-30T12:00"), budget(limit="744"))
    world.run(at("2026-12-01T00:30"), 5 * MINUTE, MILLION // 12)
    assert world.gauges["spent_usd/all"] == pytest.approx(0.583, abs=0.001)
    assert world.gauges["burn_rate/all/1h"] == pytest.approx(1, rel=1e-4)


# -- forecast and exhaustion ------------------------------------------------------------------------------------------


def test_the_forecast_is_what_is_spent_and_the_rate_of_seven_days_for_the_time_left(path: Path) -> None:
    world = World(path, at("2026-11-01T00:00"), budget(limit="1000"))
    world.run(at("2026-11-11T00:00"), HOUR, MILLION)
    assert world.gauges["forecast_history_seconds/all"] == 7 * DAY
    assert world.gauges["forecast_usd/all"] == pytest.approx(720)
    assert "exhaustion_timestamp_seconds/all" not in world.gauges
    world.reload(budget(limit="480"))
    assert world.gauges["exhaustion_timestamp_seconds/all"] == at("2026-11-21T00:00")


def test_a_young_ledger_forecasts_from_what_it_has_and_says_so(path: Path) -> None:
    world = World(path, at("2026-11-11T00:00"), budget(limit="1000"))
    world.spend(1)
    world.tick(0)
    assert world.gauges["forecast_history_seconds/all"] == 0
    assert not {"forecast_usd/all", "exhaustion_timestamp_seconds/all"} & world.gauges.keys(), "there is no rate yet"
    world.run(at("2026-11-11T06:00"), MINUTE, MILLION // 60)
    assert world.gauges["forecast_history_seconds/all"] == 6 * HOUR
    assert world.gauges["forecast_usd/all"] == pytest.approx(20 * 24, rel=1e-4)


def test_a_budget_runs_out_inside_its_period_or_says_nothing(path: Path) -> None:
    world = World(path, at("2026-11-22T00:00"), budget(period="day", limit="24.5"))
    world.run(at("2026-11-22T12:00"), HOUR, MILLION)
    assert "exhaustion_timestamp_seconds/all" not in world.gauges
    world.reload(budget(period="day", limit="23.5"))
    assert world.gauges["exhaustion_timestamp_seconds/all"] == at("2026-11-22T23:30")


def test_a_budget_that_has_run_out_keeps_the_moment(path: Path) -> None:
    world = World(path, NOON, budget(limit="2"))
    world.spend(2 * MILLION - 1)
    world.tick()
    world.spend(1)
    world.tick(HOUR)
    out = NOON + 15 + HOUR
    assert world.gauges["exhaustion_timestamp_seconds/all"] == out
    world.spend(MILLION)
    world.tick(HOUR)
    world.kill(down=HOUR)
    world.tick()
    assert world.gauges["exhaustion_timestamp_seconds/all"] == out
    world.reload(budget(limit="2.5"))
    assert world.gauges["exhaustion_timestamp_seconds/all"] == world.now, "since when it is out by the new limit"
    world.reload(budget(limit="100000"))
    assert "exhaustion_timestamp_seconds/all" not in world.gauges
    world.reload(budget(limit="2"))
    world.run(at("2026-12-01T00:00"), DAY)
    assert "exhaustion_timestamp_seconds/all" not in world.gauges, "a new month"


# -- reload -----------------------------------------------------------------------------------------------------------


def test_a_new_limit_leaves_what_is_spent(path: Path) -> None:
    world = World(path, NOON, budget(limit="100"))
    world.run(NOON + HOUR, MINUTE, MILLION)
    world.reload(budget(limit="50"))
    assert (world.gauges["limit_usd/all"], world.gauges["spent_usd/all"]) == (50.0, 60.0)


def test_a_new_budget_knows_what_its_period_has_seen(path: Path) -> None:
    """Renamed, each is the one that had always been there; with kills between, and the hour under way."""
    kinds = [
        {"period": period, "timezone": zone, **narrow}
        for period in ("day", "week", "month", "quarter", "year")
        for zone in ("UTC", "Asia/Tokyo", "America/Los_Angeles")
        for narrow in ({}, {"tenant": "acme"}, {"model": "gpt"}, {"tenant": "acme", "pool": "anthropic"})
    ]
    world = World(path, at("2026-10-28T05:00"), *(budget(f"old-{n}", **kind) for n, kind in enumerate(kinds)))
    for step in range(1001):
        world.spend(1000 + step % 7, "acme" if step % 3 else "globex", "gpt" if step % 2 else "claude")
        world.tick(997)
        if step % 300 == 299:
            world.kill()
    old = world.gauges
    world.reload(*(budget(f"new-{n}", **kind) for n, kind in enumerate(kinds)))
    new = world.gauges
    assert len(old) == len(new) == 13 * len(kinds)
    for key, value in new.items():
        if any(exact in key for exact in ("spent", "start", "end", "limit", "history")):
            assert value == old[key.replace("new", "old")], key
        if any(close in key for close in ("forecast_usd", "/1d", "/6h")):
            assert value == pytest.approx(old[key.replace("new", "old")], rel=0.05), key


def test_a_new_budget_in_a_zone_off_the_hour_divides_the_hour_it_begins_in(path: Path) -> None:
    """India's day began at 18:30 UTC: of what was spent from 18:00 to 19:00 it takes half."""
    world = World(path, at("2026-11-22T18:00"))
    world.run(at("2026-11-22T21:00"), MINUTE, 10)
    world.reload(budget(period="day", timezone="Asia/Kolkata"))
    assert world.spent() == pytest.approx(2.5 * 600, abs=10)


def test_of_the_hour_under_way_it_takes_what_is_over(path: Path) -> None:
    world = World(path, at("2026-11-22T18:00"))
    world.run(at("2026-11-22T18:45"), MINUTE, 10)
    world.reload(budget(period="day", timezone="Asia/Kolkata"))
    assert world.spent() == 150


def test_a_new_budget_that_is_out_already_says_when(path: Path) -> None:
    world = World(path, NOON)
    world.run(NOON + 10 * HOUR, MINUTE, 1000)
    world.reload(budget(limit="0.33"))
    assert world.gauges["exhaustion_timestamp_seconds/all"] == pytest.approx(NOON + 5.5 * HOUR, abs=2 * MINUTE)


def test_a_new_budget_has_not_burnt_what_a_clock_that_was_ahead_dated_to_come(path: Path) -> None:
    world = World(path, NOON)
    world.run(NOON + HOUR, MINUTE, 10)
    world.skew = 3 * DAY
    world.spend(MILLION)
    world.tick()
    world.skew = 0
    world.tick()
    world.reload(budget(limit="720"))
    assert world.gauges["burn_rate/all/1h"] == pytest.approx(0.0006, rel=0.05)
    assert world.spent() == MILLION + 600, "although it is of this month"


def test_another_scope_or_period_is_another_budget(path: Path) -> None:
    world = World(path, NOON, budget())
    world.spend(5, "acme")
    world.spend(7, "globex")
    world.tick()
    world.reload(budget(tenant="globex"))
    assert world.spent() == 7
    world.kill()
    world.config = config(budget(tenant="acme"))  # edited while it was down
    world.kill()
    world.tick(0)
    assert world.spent() == 5


@pytest.mark.parametrize("saved", [True, False])
def test_another_budget_under_the_same_name_inherits_no_burn(path: Path, saved: bool) -> None:
    world = World(path, NOON - 7 * MINUTE, budget())
    world.run(NOON + 10 * HOUR, MINUTE, 1000, tenant="globex")
    world.reload(budget(tenant="acme"), saved=saved)
    world.run(NOON + 11 * HOUR + 13 * MINUTE, MINUTE, 1, tenant="acme")
    before = world.gauges
    world.kill()
    world.tick(0)
    assert world.gauges == before
    assert before["spent_usd/all"] == 73e-6


def test_a_budget_that_left_and_comes_back_knows_what_happened_meanwhile(path: Path) -> None:
    world = World(path, NOON, budget())
    for step in range(6):
        world.spend(10**step)
        world.tick(HOUR)
        if step == 2:
            world.reload()
            with sqlite3.connect(path) as db:
                rows = db.execute("SELECT (SELECT count(*) FROM budget), (SELECT count(*) FROM moment)").fetchone()
            assert rows == (1, 0), "but for the clock, nothing is left of it on disk"
    world.reload(budget())
    assert world.spent() == 111111


# -- trouble ----------------------------------------------------------------------------------------------------------


def test_a_full_disk_for_hours_moves_no_spend_in_time(path: Path) -> None:
    world = World(path, at("2026-11-30T20:00"), budget())
    for step in range(8):
        world.spend(10**step)
        world.tick(HOUR, saved=False)
    world.tick(0)
    world.reload(budget(), budget("new"))
    assert world.spent() == world.spent("new") == 11111000
    world.kill()
    world.reload(budget(), budget("newer"))
    assert world.spent() == world.spent("newer") == 11111000


def test_a_history_that_cannot_be_read_is_asked_again(path: Path) -> None:
    world = World(path, NOON)
    world.run(NOON + 3 * HOUR, HOUR, 10)
    world.config = config(budget())
    world.books.configure(world.config, world.instant())
    with sqlite3.connect(path) as db:
        db.execute("ALTER TABLE spent RENAME TO lost")
    world.tick(saved=False)
    assert "limit_usd/all" in world.gauges
    assert "spent_usd/all" not in world.gauges, "unknown is absent"
    with sqlite3.connect(path) as db:
        db.execute("ALTER TABLE lost RENAME TO spent")
    world.spend(1)
    world.tick()
    assert world.spent() == 31


def test_amounts_beyond_any_number_of_the_disk_or_the_page(path: Path) -> None:
    world = World(path, NOON, budget(), budget("year", period="year", limit="0.000000000001"))
    for _ in range(3):
        world.spend(10**300)
        world.tick(HOUR)
    assert world.gauges["burn_rate/year/5m"] == sys.float_info.max
    world.kill()
    world.reload(budget(), budget("new"))
    assert world.gauges["spent_usd/new"] == world.gauges["spent_usd/all"] > 1e294
    assert sum(world.ledger.values()) > 10**300 > USD
