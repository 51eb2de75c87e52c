"""A pool whose GPUs a source is read for: utilization says what was work, energy has a price, and it closes."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.allocation.gputime import Device, GpuTime, counts
from exporter.allocation.holdings import Held
from exporter.allocation.lots import Seen
from exporter.allocation.pool import PoolBook
from exporter.config.prices import Energy, GpuPrice
from exporter.config.schema import Pool
from exporter.metering.usage import Usage
from exporter.pricing.book import PriceBook
from exporter.records import NS, Gpu
from tests.columns import flat

HOUR = 3600 * NS
USD = 10**12
PRICES = PriceBook((
    GpuPrice.model_validate({"product": "big", "usd_per_hour": Decimal(3)}),
    GpuPrice.model_validate({"product": "small", "usd_per_hour": Decimal(1)}),
))  # fmt: skip


def book(**pool: Any) -> PoolBook:
    defaults = {
        "name": "p",
        "endpoints": [{"url": "http://e/metrics"}],
        "gpus": {"source": "nvml"},
        "claim_within": "2h",
    }
    energy = Energy(usd_per_kwh=Decimal("0.5"), pue=Decimal(2))
    return PoolBook(Pool.model_validate(defaults | pool), PRICES, 0, energy=energy)


def device(product: str, share: str, busy: str | None, joules: float = 0.0) -> Device:
    gpu = Gpu(f"GPU-{product}", product, product)
    return Device(Held(gpu, Fraction(share)), gpu, None if busy is None else Fraction(busy), round(joules * 10**6))


def gpus(*devices: Device) -> GpuTime:
    return GpuTime(((0, counts(one.held for one in devices)),), devices)


def used(**tokens: int) -> Usage:
    return Usage(tokens={("m", token): {"t": amount} for token, amount in tokens.items()})  # type: ignore[misc]


def test_utilization_says_how_much_was_work_each_gpu_by_its_price() -> None:
    pool = book()
    booked = pool.tick(
        0, HOUR, used(output=1), Seen.USED, gpus=gpus(device("big", "1", "1/2"), device("small", "1", "1"))
    )
    assert booked.cost == {"gpu": 4 * USD, "overhead": 0, "energy": 0}
    assert (sum(flat(booked.spend).values()), booked.idle) == (2_500_000_000_000, 1_500_000_000_000)
    assert (booked.gpu_ns, booked.busy_ns, pool.busy_from) == (2 * HOUR, HOUR * 3 // 2, "gpu_utilization")


def test_without_tokens_and_requests_a_tick_is_idle_whatever_utilization_says() -> None:
    booked = book().tick(0, HOUR, Usage(), Seen.QUIET, gpus=gpus(device("big", "1", "1")))
    assert (booked.idle, booked.busy_ns) == (3 * USD, 0)


def test_a_gpu_that_does_not_say_counts_as_at_work_while_tokens_move_and_the_others_by_what_they_say() -> None:
    pool = book()
    booked = pool.tick(
        0, HOUR, used(output=1), Seen.USED, gpus=gpus(device("big", "1", None), device("small", "1", "0"))
    )
    assert booked.idle == USD


def test_busy_from_tokens_does_not_look_at_utilization() -> None:
    pool = book(busy_from="tokens")
    booked = pool.tick(0, HOUR, used(output=1), Seen.USED, gpus=gpus(device("big", "1", "0")))
    assert (booked.idle, pool.busy_from) == (0, "tokens")


def test_time_that_waits_for_evidence_keeps_what_the_gpus_said_about_it() -> None:
    pool = book()
    pool.tick(0, HOUR, Usage(), Seen.UNKNOWN, gpus=gpus(device("big", "1", "1/3")))
    again = book()
    again.restore(pool.state(), HOUR)
    booked = again.tick(HOUR, 2 * HOUR, used(output=1), Seen.USED, gpus=gpus(device("big", "1", "1")))
    assert (sum(flat(booked.spend).values()), booked.idle) == (4 * USD, 2 * USD)


def test_energy_is_paid_by_the_kilowatt_hour_and_is_part_of_what_use_costs() -> None:
    drawn = gpus(device("big", "1", "1", joules=3_600_000.0))
    booked = book().tick(0, HOUR, used(output=1), Seen.USED, gpus=drawn)
    assert booked.cost == {"gpu": 3 * USD, "overhead": 0, "energy": USD}  # 1 kWh x 0.50 x 2
    assert booked.microjoules == {"big": 3_600_000 * 10**6}
    assert sum(flat(booked.spend).values()) == 4 * USD


def test_a_pool_pays_from_the_moment_it_holds_a_gpu_until_it_no_longer_does() -> None:
    one, two = device("big", "1", None), device("small", "1/7", None)
    time = GpuTime(((0, {}), (HOUR // 4, counts([one.held])), (HOUR // 2, counts([one.held, two.held]))), (one, two))
    booked = book().tick(0, HOUR, used(output=1), Seen.USED, gpus=time)
    assert booked.cost["gpu"] == 3 * USD * 3 // 4 + USD // 14
    assert booked.gpu_ns == pytest.approx(HOUR * 3 // 4 + HOUR // 14, abs=HOUR / 10**9)


RATIO = st.one_of(st.none(), st.fractions(0, 1, max_denominator=1000))
DEVICES = st.lists(
    st.tuples(st.sampled_from(["big", "small", "free"]), st.fractions("1/7", 1, max_denominator=7), RATIO,
              st.integers(0, 10**7)), max_size=4,
)  # fmt: skip


@given(
    ticks=st.lists(
        st.tuples(st.integers(0, HOUR), st.sampled_from(list(Seen)), st.integers(0, 9), DEVICES), max_size=20
    ),
    split=st.sampled_from(["weights", "fitted"]),
    busy_from=st.sampled_from(["auto", "gpu_utilization", "tokens"]),
)
def test_every_tick_closes_to_the_picodollar_whatever_the_gpus_say(
    ticks: list[tuple[int, Seen, int, list[tuple[str, Fraction, Fraction | None, int]]]], split: str, busy_from: str
) -> None:
    pool, now, cost, spend, idle = book(split=split, busy_from=busy_from), 0, 0, 0, 0
    for step, seen, output, found in ticks:
        devices = gpus(
            *(
                device(name, str(share), None if busy is None else str(busy), joules)
                for name, share, busy, joules in found
            )
        )
        usage = used(output=output) if seen is Seen.USED and output else Usage()
        shown = seen if usage.tokens or seen is not Seen.USED else Seen.BUSY
        booked = pool.tick(now, now + step, usage, shown, gpus=devices)
        now += step
        cost += sum(booked.cost.values())
        spend += sum(flat(booked.spend).values())
        idle += booked.idle
        assert booked.idle >= 0
        assert booked.busy_ns >= 0
        assert cost == spend + idle + pool.pending
    assert cost == spend + idle + pool.close().idle
