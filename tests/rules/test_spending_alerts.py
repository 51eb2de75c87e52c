"""Alerts about money and who spends it: they fire, and they are quiet on plan, over resets and moves, without data."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rules.promtool import DAY, Case, Fires, Series, check, check_quiet, counter, firing, merged, quiet, series

pytestmark = pytest.mark.peer

# What is usual is seen after a week, the busiest hour after two days, a median after one.
A_WEEK, THREE_DAYS, TWO_DAYS = 7 * DAY + 240, 3 * DAY, 2 * DAY
NOTHING = series("tokencost_gpus", "1x600", pool="chat")
ACME = {"tenant": "acme"}
CHAT = {"pool": "chat"}


def spend(values: str, tenant: str = "acme", instance: str = "a:9742", pool: str = "chat") -> dict[str, str]:
    labels = {"tenant": tenant, "model_name": "m", "pool": pool, "token_type": "output"}
    return series("tokencost_spend_usd_total", values, instance, **labels)


def tokens(values: str, tenant: str = "acme", instance: str = "a:9742", kind: str = "output") -> dict[str, str]:
    labels = {"tenant": tenant, "model_name": "m", "pool": "chat", "token_type": kind}
    return series("tokencost_tokens_total", values, instance, **labels)


def office(days: int, a_minute: float) -> list[tuple[int, float]]:
    """Weekdays from 9 to 17."""
    night, work, evening = (9 * 60, 0.0), (8 * 60, a_minute), (7 * 60, 0.0)
    return [part for day in range(days) for part in ((night, work, evening) if day % 7 < 5 else ((DAY, 0.0),))]


def anomaly(usd: str) -> tuple[Fires, ...]:
    return (Fires(f"Tenant acme has spent {usd} USD more than usual in the last hour.", ACME),)


ANOMALY = (
    Case("four times as much", spend(counter((A_WEEK, 0.5), (180, 2))), A_WEEK + 90, anomaly("90")),
    Case("three times as much, and it is 6 USD", spend(counter((A_WEEK, 0.05), (180, 0.15))), A_WEEK + 170),
    Case("100 USD more, and it is a tenth", spend(counter((A_WEEK, 17), (180, 18.7))), A_WEEK + 170),
    Case("office hours", spend(counter(*office(9, 2))), 9 * DAY),
    Case("office hours, an hour earlier: summer time",
         spend(counter(*office(8, 2), (8 * 60, 0), (8 * 60, 2), (60, 0))), 8 * DAY + 17 * 60),
    Case("at night, who is never there at night", spend(counter(*office(9, 2), (60, 0), (120, 2))), 9 * DAY + 150,
         anomaly("120")),
    Case("a tenant of three days", spend(counter((3 * DAY, 0.5), (600, 20))), 3 * DAY + 600),
    Case("the counter is reset", spend(counter((A_WEEK, 0.5), None, (180, 0.5))), A_WEEK + 180),
    Case("the exporter moves", merged(spend(counter((A_WEEK, 0.5)) + " stale"),
         spend(f"_x{A_WEEK} {counter((180, 0.5), start=A_WEEK / 2)}", instance="b:9742")), A_WEEK + 180),
    Case("no spend", NOTHING, 600),
)  # fmt: skip


def spike(rate: str) -> tuple[Fires, ...]:
    return (Fires(f"Tenant acme uses {rate} tokens per second: a runaway, or a leaked key.", ACME),)


SPIKE = (
    Case("ten times as many", tokens(counter((THREE_DAYS, 1200), (60, 12000))), THREE_DAYS + 30, spike("200")),
    Case("ten times as many for five minutes", tokens(counter((THREE_DAYS, 1200), (5, 12000), (60, 1200))),
         THREE_DAYS + 60),
    Case("ten times as many of almost none", tokens(counter((THREE_DAYS, 12), (60, 120))), THREE_DAYS + 60),
    Case("a key that was not used all week", tokens(counter((THREE_DAYS, 0), (60, 6000))), THREE_DAYS + 30,
         spike("100")),
    Case("office hours", tokens(counter(*office(5, 60000))), 5 * DAY),
    Case("a batch job once a week", tokens(counter((DAY, 0), (480, 1e6), (7 * DAY - 480, 0), (480, 1e6), (60, 0))),
         9 * DAY),
    Case("it goes on for half a day", tokens(counter((THREE_DAYS, 1200), (720, 12000))), THREE_DAYS + 710,
         spike("200")),
    Case("a tenant of today", tokens(counter((600, 1200), (60, 120000))), 660),
    Case("the counter is reset", tokens(counter((THREE_DAYS, 1200), None, (60, 1200))), THREE_DAYS + 60),
    Case("the exporter moves", merged(tokens(counter((THREE_DAYS, 1200)) + " stale"),
         tokens(f"_x{THREE_DAYS} {counter((60, 1200), start=1200 * THREE_DAYS)}", instance="b:9742")), THREE_DAYS + 60),
    Case("no tokens", NOTHING, 600),
)  # fmt: skip


def pool(cost: str, used: str, idle: str = "0x20000") -> Series:
    """A pool's money and tokens, all priced."""
    return merged(
        series("tokencost_cost_usd_total", cost, resource="gpu", **CHAT),
        series("tokencost_idle_cost_usd_total", idle, **CHAT),
        tokens(used),
    )


DEAR = (Fires("A million tokens of pool chat cost 50 USD, all-in.", CHAT),)
PER_TOKEN = (
    Case("the price doubles", pool(counter((TWO_DAYS, 0.5), (240, 1)), counter((TWO_DAYS + 240, 20000))),
         TWO_DAYS + 200, DEAR),
    Case("a third more", pool(counter((TWO_DAYS, 0.5), (240, 0.66)), counter((TWO_DAYS + 240, 20000))), TWO_DAYS + 240),
    Case("the same cost for half the tokens", pool(counter((TWO_DAYS + 240, 0.5)),
         counter((TWO_DAYS, 20000), (240, 10000))), TWO_DAYS + 240),
    Case("office hours", pool(counter((4 * DAY, 0.5)), counter(*office(4, 60000))), 4 * DAY),
    Case("the price doubles, and hardly any tokens", pool(counter((TWO_DAYS, 0.5), (240, 1)),
         counter((TWO_DAYS + 240, 1000))), TWO_DAYS + 240),
    Case("known for half a day", pool(counter((600, 0.5), (110, 5)), counter((710, 20000))), 700),
    Case("both counters are reset", pool(counter((TWO_DAYS, 0.5), None, (240, 0.5)),
         counter((TWO_DAYS, 20000), None, (240, 20000))), TWO_DAYS + 240),
    Case("no tokens", series("tokencost_cost_usd_total", counter((TWO_DAYS, 1)), resource="gpu", **CHAT), TWO_DAYS),
    Case("no data", NOTHING, 600),
)  # fmt: skip


def idle(cost: float, lost: float, minutes: int = 300) -> Series:
    return pool(counter((minutes, cost)), "0x600", counter((minutes, lost)))


IDLE = (
    Case("80 % for four hours", idle(1, 0.8), 250, (Fires("80% of the cost of pool chat is used by no one.", CHAT),)),
    Case("40 %", idle(1, 0.4), 300),
    Case("80 % of 3 USD an hour", idle(0.05, 0.04), 300),
    Case("80 % for an hour", pool(counter((400, 1)), "0x600", counter((120, 0.2), (60, 0.8), (220, 0.2))), 400),
    Case("both counters are reset", pool(counter((120, 1), None, (280, 1)), "0x600",
         counter((120, 0.3), None, (280, 0.3))), 400),
    Case("no data", NOTHING, 600),
)  # fmt: skip

UNKNOWN = "_unattributed"
NOBODYS = (Fires("20% of what pool chat spends is no tenant's.", CHAT),)
UNATTRIBUTED = (
    Case("a fifth", merged(spend("0+0.8x200"), spend("0+0.2x200", UNKNOWN)), 60, NOBODYS),
    Case("all of it", spend("0+1x200", UNKNOWN), 60, (Fires("100% of what pool chat spends is no tenant's.", CHAT),)),
    Case("a twentieth", merged(spend("0+0.95x200"), spend("0+0.05x200", UNKNOWN)), 200),
    Case("a fifth of a dollar an hour", merged(spend("0+0.013x200"), spend("0+0.003x200", UNKNOWN)), 200),
    Case("a fifth for ten minutes", merged(spend(counter((300, 0.99))),
         spend(counter((100, 0.01), (10, 0.2), (190, 0.01)), UNKNOWN)), 300),
    Case("a pool where nobody is asked for", spend("0+1x200", "default"), 200),
    Case("the counters are reset", merged(spend(counter((100, 0.95), None, (100, 0.95))),
         spend(counter((100, 0.05), None, (100, 0.05)), UNKNOWN)), 200),
    Case("no data", NOTHING, 600),
)  # fmt: skip


def unpriced(values: str) -> dict[str, str]:
    return series("tokencost_unpriced_tokens_total", values, model_name="gpt-9", pool="openai", token_type="output")  # noqa: S106 - no password


UNPRICED = (
    Case("a model", unpriced(counter((60, 0), (60, 100))), 120, (Fires(
        "Pool openai uses 6k tokens an hour of gpt-9 without a price.", {"pool": "openai", "model_name": "gpt-9"}),)),
    Case("GPUs", series("tokencost_unpriced_gpus", "2x60", **CHAT), 30, (Fires(
        "Pool chat uses 2 GPUs without a price.", CHAT),)),
    Case("GPUs and their tokens are said once", merged(series("tokencost_unpriced_gpus", "2x60", pool="openai"),
         unpriced("0+100x60")), 30, (Fires("Pool openai uses 2 GPUs without a price.", {"pool": "openai"}),)),
    Case("it got a price", unpriced(counter((60, 100), (180, 0))), 240, over=True),
    Case("all have a price", merged(series("tokencost_unpriced_gpus", "0x600", **CHAT), unpriced("5x600")), 600),
    Case("the counter is reset", unpriced(counter((60, 0), None, (120, 0))), 180),
    Case("no data", NOTHING, 600),
)  # fmt: skip

OVERFLOW = (
    Case("a new tenant", series("tokencost_tenant_overflow_tokens_total", counter((60, 0), (60, 100))), 120, (Fires(
        "6k tokens of the last hour are counted as tenant _other."),)),
    Case("it was long ago", series("tokencost_tenant_overflow_tokens_total", "5000x600"), 600),
    Case("the counter is reset", series("tokencost_tenant_overflow_tokens_total", "5000x100 0x500"), 600),
    Case("no data", NOTHING, 600),
)  # fmt: skip

CASES = {
    "SpendAnomaly": ANOMALY,
    "TokenRateSpike": SPIKE,
    "CostPerTokenHigh": PER_TOKEN,
    "IdleCostHigh": IDLE,
    "UnattributedCostHigh": UNATTRIBUTED,
    "UnpricedUsage": UNPRICED,
    "TenantOverflow": OVERFLOW,
}


@pytest.mark.parametrize(("alert", "case"), firing(CASES))
def test_it_fires(alert: str, case: Case, tmp_path: Path) -> None:
    check(alert, case, tmp_path)


@pytest.mark.parametrize("alert", CASES)
def test_it_is_quiet(alert: str, tmp_path: Path) -> None:
    """On plan, over resets, moves and the ends of months, and without data."""
    check_quiet(alert, quiet(CASES[alert]), tmp_path)
