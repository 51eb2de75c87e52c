"""Alerts about budgets: they fire, and they are quiet on plan, over restarts, over the end of a month, without data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from exporter.rules.groups import Options
from exporter.rules.settings import changed
from exporter.rules.windows import PUBLISHED
from tests.rules.promtool import DAY, Case, Fires, check, check_quiet, firing, quiet, series

pytestmark = pytest.mark.peer

ACME = {"budget": "acme"}


def budget(
    spent: str = "500x",
    forecast: str = "1000x",
    begun: str = f"{-15 * DAY * 60}x",
    ends: str = f"{15 * DAY * 60}x",
    burn: str = "1x",
    instance: str = "a:9742",
    **burns: str,
) -> dict[str, str]:
    """The gauges of a budget of 1000 USD, half way through a month and on plan unless told otherwise. Values end in x
    where they stay for ever."""
    gauges = {
        "limit_usd": "1000x", "spent_usd": spent, "forecast_usd": forecast,
        "period_start_timestamp_seconds": begun, "period_end_timestamp_seconds": ends, "info": "1x",
    }  # fmt: skip
    found: dict[str, str] = {}
    for name, values in gauges.items():
        more = {"tenant": "acme", "model_name": "", "pool": "", "period": "month"} if name == "info" else {}
        found |= series(f"tokencost_budget_{name}", _for_ever(values), instance, **ACME, **more)
    for window in PUBLISHED:
        values = _for_ever(burns.get(f"in_{window}", burn))
        found |= series("tokencost_budget_burn_rate", values, instance, **ACME, window=window)
    return found


def _for_ever(values: str) -> str:
    return f"{values}{3 * DAY}" if values.endswith("x") else values


def shard(number: int, instance: str = "a:9742", **gauges: str) -> dict[str, str]:
    """Those gauges as one of several exporters has them that divide a config."""
    label = f'budget="acme",shard="{number}"'
    return {key.replace('budget="acme"', label): values for key, values in budget(instance=instance, **gauges).items()}


# The month ends after two hours: what was spent goes to 0, the next period begins. Burn rates look back over it.
END = {
    "begun": f"{-30 * DAY * 60 + 7200}x119 7200x2000",
    "ends": f"7200x119 {30 * DAY * 60 + 7200}x2000",
}
RESTART = "1x60 _x5 1x600"

# A spike of 19 minutes that ends with the month; the hour behind it still looks bad for a while.
SPIKE = budget(in_1h="1x100 20x30 19-0.5x600", in_5m="1x100 20x18 1x600", **END)
RESTARTS = (
    Case("the exporter restarts with its ledger", budget(burn=RESTART), 600),
    Case("the exporter restarts without its ledger", budget(burn="1x60 _x5 0x600", spent="500x60 _x5 0x600"), 600),
    Case("the exporter moves", {**budget(burn="1x60 stale"), **budget(burn="_x60 1x600", instance="b:9742")}, 600),
    Case("the month ends on plan", budget(spent="999x119 0+0.02x600", forecast="999x119 999x600", **END), 600),
    Case("on plan to the dollar", budget(), 600),
    Case("no budget", series("tokencost_gpus", "1x600", pool="chat"), 600),
)


def fast(burn: float) -> tuple[Fires, ...]:
    return (Fires(f"Budget acme burns {burn:g} times as fast as planned.", ACME),)


FAST = (
    Case("x20 for an hour", budget(in_1h="20x", in_5m="20x"), 5, fast(20)),
    Case("x7 for six hours", budget(in_6h="7x", in_30m="7x"), 5, fast(7)),
    Case("both pairs are one alert", budget(burn="20x"), 5, fast(20)),
    Case("two shards burn it together", shard(0, burn="9x") | shard(1, "b:9742", burn="11x"), 5, fast(20)),
    Case(
        "two replicas of a shard are one",
        shard(0, burn="9x") | shard(0, "b:9742", burn="9x") | shard(1, burn="6x"),
        5,
        fast(15),
    ),
    Case("two replicas", budget(in_1h="9x", in_5m="9x") | budget(in_1h="9x", in_5m="9x", instance="b:9742"), 600),
    Case("it was an hour, and is over", budget(in_1h="20x"), 600),
    Case("it is five minutes of an hour", budget(in_5m="300x", in_1h="10x"), 600),
    Case("on plan in office hours", budget(in_5m="14x", in_30m="9x", in_1h="8.8x", in_2h="7x", in_6h="5.8x"), 600),
    Case("a budget of a day", budget(burn="100x", begun="0x", ends="86400x"), 600),
    Case("a week of 167 hours", budget(burn="20x", begun="0x", ends=f"{167 * 3600}x"), 5, fast(20)),
    Case("a spike at the end of the month", SPIKE, 105, fast(20)),
    Case("the next month is not paged for it", SPIKE, 135, over=True),
    Case("it burns on into the next month", budget(in_1h="20x", in_5m="20x", **END), 180, fast(20)),
    Case("the period is not known", {k: v for k, v in budget(burn="20x").items() if "_period_end" not in k}, 600),
    *RESTARTS,
)


def slow(burn: float) -> tuple[Fires, ...]:
    return (Fires(f"Budget acme has burnt {burn:g} times as fast as planned for a day.", ACME),)


SLOW = (
    Case("x3 for a day", budget(in_1d="3x", in_2h="3x"), 20, slow(3)),
    Case("x3 for a day, and over for two hours", budget(in_1d="3x"), 600),
    Case("on plan in office hours", budget(in_2h="6x", in_1d="1.9x"), 600),
    Case("a budget of a day", budget(burn="100x", begun="0x", ends="86400x"), 600),
    *RESTARTS,
)


def forecast(percent: str) -> tuple[Fires, ...]:
    text = f"Budget acme will end its period at {percent} of its limit, at the rate of the last seven days."
    return (Fires(text, ACME),)


FORECAST = (
    Case("a quarter too much", budget(forecast="1250x"), DAY + 370, forecast("125%")),
    Case("a quarter too much, seen for less than a day", budget(forecast="1250x"), DAY - 60),
    Case("too much by two shards", shard(0, forecast="600x") | shard(1, forecast="650x"), DAY + 370, forecast("125%")),
    Case("within the error of a forecast", budget(forecast="1090x"), 2 * DAY),
    Case("too much for five hours", budget(forecast=f"1000x{DAY + 60} 1250x300 1000x600"), 2 * DAY),
    Case("the month begins with the rate of a bad week", budget(forecast="900x119 1250x2000", **END), DAY + 550,
         forecast("125%")),
    *RESTARTS,
)  # fmt: skip

NEARLY = (
    Case("95 % at half time", budget(spent="950x"), 10, (
        Fires("95% of budget acme is spent, well before its period ends.", ACME),)),
    Case("95 % by two shards", shard(0, spent="450x") | shard(1, spent="500x"), 10, (
        Fires("95% of budget acme is spent, well before its period ends.", ACME),)),
    Case("89 % at half time", budget(spent="890x"), 600),
    Case("95 % at 95 %", budget(spent="950x", begun=f"{-95 * DAY * 60}x", ends=f"{5 * DAY * 60}x"), 600),
    Case("91 % on a Friday at 87 %", budget(spent="910x", begun=f"{-87 * DAY * 60}x", ends=f"{13 * DAY * 60}x"), 600),
    *RESTARTS,
)  # fmt: skip

EXHAUSTED = (
    Case("all of it", budget(spent="1000x"), 10, (Fires("100% of budget acme is spent.", ACME),)),
    Case("all of it by three shards", shard(0, spent="600x") | shard(1, spent="400x") | shard(2, spent="50x"), 10, (
        Fires("105% of budget acme is spent.", ACME),)),
    Case("two replicas of two shards", shard(0, spent="500x") | shard(0, "b:9742", spent="500x")
         | shard(1, spent="300x"), 600),
    Case("more than all of it", budget(spent="1250x"), 10, (Fires("125% of budget acme is spent.", ACME),)),
    Case("all but a cent", budget(spent="999.99x"), 600),
    Case("spent in the last minutes of the month", budget(spent="1000x119 0+0.02x600", begun=END["begun"],
         ends=END["ends"]), 110, (Fires("100% of budget acme is spent.", ACME),)),
    Case("the next month begins with 0", budget(spent="1000x119 0+0.02x600", **END), 125, over=True),
    Case("spent to the cent as the month ends", budget(spent="999x117 1000x1 0+0.02x600", **END), 600),
    *RESTARTS,
)  # fmt: skip


def _without(*names: str) -> dict[str, str]:
    return {key: values for key, values in budget().items() if not any(f"_{name}{{" in key for name in names)}


MISSING_SAYS = "How much of budget acme is spent is not known: its alerts cannot fire."
MISSING = (
    Case("its spend is not there", _without("spent_usd"), 20, (Fires(MISSING_SAYS, ACME),)),
    Case("its limit is not there", _without("limit_usd"), 20, (Fires(MISSING_SAYS, ACME),)),
    Case("its limit is 0", {**budget(), **series("tokencost_budget_limit_usd", "0x600", **ACME)}, 20, (
        Fires(MISSING_SAYS, ACME),)),
    Case("it has no burn rates yet", _without("burn_rate"), 600),
    *RESTARTS,
)  # fmt: skip

CASES = {
    "BudgetBurnRateFast": FAST,
    "BudgetBurnRateSlow": SLOW,
    "BudgetForecastExceeded": FORECAST,
    "BudgetNearlyExhausted": NEARLY,
    "BudgetExhausted": EXHAUSTED,
    "BudgetDataMissing": MISSING,
}


@pytest.mark.parametrize(("alert", "case"), firing(CASES))
def test_it_fires(alert: str, case: Case, tmp_path: Path) -> None:
    check(alert, case, tmp_path)


@pytest.mark.parametrize("alert", CASES)
def test_it_is_quiet(alert: str, tmp_path: Path) -> None:
    """On plan, over resets, moves and the ends of months, and without data."""
    check_quiet(alert, quiet(CASES[alert]), tmp_path)


@pytest.mark.parametrize("alert", ["BudgetBurnRateFast", "BudgetBurnRateSlow", "BudgetForecastExceeded",
                                   "BudgetNearlyExhausted"])  # fmt: skip
@pytest.mark.parametrize("name", ["acme", "nightly|ac.*"])
def test_a_budget_of_batch_jobs_can_be_left_out(alert: str, name: str, tmp_path: Path) -> None:
    options = Options(table=changed(Options().table, [("Budget*.except", name)]))
    too_much = budget(burn="100x", spent="990x", forecast="2000x")
    check(alert, Case("left out", too_much, DAY + 600), tmp_path, options)
    other = {key.replace('"acme"', '"other"'): values for key, values in too_much.items()}
    with pytest.raises(AssertionError, match="other"):
        check(alert, replace(Case("not left out", {}, DAY + 600), series=other), tmp_path, options)


def test_settings_reach_the_rule(tmp_path: Path) -> None:
    options = Options(table=changed(Options().table, [("BudgetBurnRateFast.factor", "8"), ("*.for", "30m")]))
    check("BudgetBurnRateFast", Case("8.5", budget(in_1h="8.5x", in_5m="8.5x"), 25), tmp_path, options)
    check("BudgetBurnRateFast", Case("8.5", budget(in_1h="8.5x", in_5m="8.5x"), 35, fast(8.5)), tmp_path, options)
