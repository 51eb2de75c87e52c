"""Supply: cost is the floor of price times time, whatever the ticks, and prices change at midnight UTC."""

import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from exporter.allocation.supply import ENERGY, GPU, OVERHEAD, Supply
from exporter.config.prices import Energy, GpuPrice
from exporter.config.schema import Pool
from exporter.pricing.book import PriceBook, midnight_ns

HOUR_NS = 3_600_000_000_000
H100 = "NVIDIA H100 80GB HBM3"
ROWS = (
    {"product": "NVIDIA H100*", "usd_per_hour": Decimal("2.49"), "until": "2026-03-02"},
    {"product": "NVIDIA H100*", "usd_per_hour": Decimal("1.99"), "from": "2026-03-02", "until": "2026-03-03"},
    {"product": "NVIDIA H100*", "usd_per_hour": Decimal(5), "from": "2026-03-04"},
    {"product": "*", "usd_per_hour": Decimal("0.5"), "until": "2026-03-02"},
)
PRICES = tuple(GpuPrice.model_validate(row) for row in ROWS)
MIDNIGHT = midnight_ns(PRICES[1].from_)  # type: ignore[arg-type]  # 2026-03-02T00:00Z


def supply(prices: tuple[GpuPrice, ...] = PRICES, **pool: Any) -> Supply:
    defaults = {
        "name": "p",
        "endpoints": [{"url": "http://e/metrics"}],
        "gpus": {"count": Decimal(4), "product": H100},
    }
    return Supply(Pool.model_validate({**defaults, **pool}), PriceBook(prices))


@given(steps=st.lists(st.integers(0, 10**13), min_size=1, max_size=40))
def test_cost_is_price_times_time_however_the_time_is_cut(steps: list[int]) -> None:
    one = supply(gpus={"count": Decimal("0.333333"), "product": "x"}, overhead_usd_per_hour=Decimal("0.07"))
    start = midnight_ns(PRICES[1].from_) - 86_400 * 10**9  # type: ignore[arg-type]
    now, gpu, overhead, gpu_ns = start, 0, 0, 0
    for step in steps:
        accrued = one.accrue(now, now + step, one.configured)
        gpu, overhead, gpu_ns = gpu + accrued.cost[GPU], overhead + accrued.cost[OVERHEAD], gpu_ns + accrued.gpu_ns
        now += step
    priced = min(now, MIDNIGHT) - start  # "*" has no price after
    assert gpu == math.floor(Fraction(priced, HOUR_NS) * Fraction("0.333333") * Fraction("0.5") * 10**12)
    assert overhead == math.floor(Fraction(now - start, HOUR_NS) * Fraction("0.07") * 10**12)
    assert gpu_ns == math.floor(Fraction("0.333333") * (now - start))


def test_a_price_change_splits_the_tick() -> None:
    one = supply()
    accrued = one.accrue(MIDNIGHT - HOUR_NS, MIDNIGHT + HOUR_NS, one.configured)
    assert accrued.cost[GPU] == (4 * 2_490_000_000_000) + (4 * 1_990_000_000_000)
    assert accrued.priced


def test_from_is_inclusive_and_until_is_exclusive() -> None:
    one = supply()
    assert str(one.usd_per_gpu_hour(H100, MIDNIGHT - 1)) == "2.49"
    assert str(one.usd_per_gpu_hour(H100, MIDNIGHT)) == "1.99"
    assert one.usd_per_gpu_hour(H100, MIDNIGHT + 24 * HOUR_NS) is None
    assert str(one.usd_per_gpu_hour(H100, MIDNIGHT + 48 * HOUR_NS)) == "5"


def test_without_a_price_only_the_overhead_accrues_and_it_says_so() -> None:
    start = MIDNIGHT + 24 * HOUR_NS
    one = supply(overhead_usd_per_hour=Decimal(1))
    accrued = one.accrue(start, start + HOUR_NS, one.configured)
    assert (accrued.cost[GPU], accrued.cost[OVERHEAD], accrued.priced) == (0, 10**12, False)


def test_the_first_matching_row_wins_and_the_pools_own_price_wins_over_all() -> None:
    assert str(supply().usd_per_gpu_hour(H100, MIDNIGHT - 1)) == "2.49"
    assert str(supply().usd_per_gpu_hour("B200", MIDNIGHT - 1)) == "0.5"
    assert str(supply(usd_per_gpu_hour=Decimal(9)).usd_per_gpu_hour(H100, MIDNIGHT - 1)) == "9"


def test_the_pool_pays_the_price_of_its_kind_of_purchase() -> None:
    rows = [{"product": "*", "usd_per_hour": usd, "purchase": kind} for kind, usd in (("on_demand", 3), ("spot", 1))]
    prices = tuple(GpuPrice.model_validate(row) for row in rows)
    asked = (None, "spot", {"spot": Decimal("0.25"), "on_demand": Decimal("0.75")})
    pools = [supply(prices, purchase=one) for one in asked]
    paid = [one.accrue(MIDNIGHT, MIDNIGHT + HOUR_NS, one.configured).cost[GPU] for one in pools]
    assert paid == [12 * 10**12, 4 * 10**12, 10 * 10**12]


@given(
    draws=st.lists(st.integers(0, 10**15), max_size=40),
    usd_per_kwh=st.decimals("0.000001", 10, places=6),
    pue=st.decimals(1, 3, places=3),
)
def test_energy_costs_price_times_joules_however_it_is_drawn(
    draws: list[int], usd_per_kwh: Decimal, pue: Decimal
) -> None:
    pool = Pool.model_validate({"name": "p", "endpoints": [{"url": "http://e/metrics"}], "gpus": {"count": Decimal(1)}})
    one = Supply(pool, PriceBook(()), Energy(usd_per_kwh=usd_per_kwh, pue=pue))
    paid = sum(one.draw(microjoules)[ENERGY] for microjoules in draws)
    kwh = Fraction(sum(draws), 3_600_000 * 10**6)
    assert paid == math.floor(kwh * Fraction(usd_per_kwh) * Fraction(pue) * 10**12)


def test_a_gpu_that_costs_nothing_has_a_price() -> None:
    one = supply(usd_per_gpu_hour=Decimal(0))
    accrued = one.accrue(MIDNIGHT, MIDNIGHT + HOUR_NS, one.configured)
    assert (accrued.cost[GPU], accrued.priced) == (0, True)


def test_energy_without_a_price_is_no_cost() -> None:
    assert supply().draw(10**12) == {}
