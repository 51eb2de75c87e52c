"""One pool: lots wait for evidence, every tick closes, and what was split adds up to what was used."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.allocation.booked import Booked
from exporter.allocation.lots import Seen
from exporter.allocation.pool import PoolBook
from exporter.config.schema import Pool
from exporter.metering.usage import Usage
from exporter.pricing.book import PriceBook
from exporter.records import NS
from tests.columns import columns, flat

HOUR = 3600 * NS
USD = 10**12


def book(**pool: Any) -> PoolBook:
    defaults = {
        "name": "p",
        "endpoints": [{"url": "http://e/metrics"}],
        "gpus": {"count": Decimal(1)},
        "usd_per_gpu_hour": Decimal(1),
        "claim_within": "2h",
    }
    return PoolBook(Pool.model_validate({**defaults, **pool}), PriceBook(()), 0)


def used(prefill: float = 0, decode: float = 0, **tokens: int) -> Usage:
    usage = Usage(tokens=columns({("t", "m", token): amount for token, amount in tokens.items()}))
    if prefill or decode:
        usage.nanoseconds = {("m", "prefill"): round(prefill * NS), ("m", "decode"): round(decode * NS)}
    return usage


def spent(booked: Booked) -> dict[str, int]:
    return {token: amount for (_, _, token), amount in flat(booked.spend).items()}


def test_a_quiet_hour_is_idle() -> None:
    booked = book().tick(0, HOUR, Usage(), Seen.QUIET)
    assert (booked.idle, booked.spend, booked.cost) == (USD, {}, {"gpu": USD, "overhead": 0})


def test_time_nobody_saw_waits_and_goes_to_the_use_that_shows_up() -> None:
    pool = book()
    assert pool.tick(0, HOUR, Usage(), Seen.UNKNOWN).idle == 0
    assert pool.pending == USD
    booked = pool.tick(HOUR, 2 * HOUR, used(output=5), Seen.USED)
    assert (spent(booked), booked.idle, pool.pending) == ({"output": 2 * USD}, 0, 0)
    assert booked.busy_ns == 2 * HOUR


def test_time_nobody_saw_is_idle_once_a_quiet_page_says_so() -> None:
    pool = book()
    pool.tick(0, HOUR, Usage(), Seen.UNKNOWN)
    assert pool.tick(HOUR, 2 * HOUR, Usage(), Seen.QUIET).idle == 2 * USD


def test_running_requests_keep_their_cost_waiting_for_their_tokens() -> None:
    pool = book()
    pool.tick(0, HOUR, Usage(), Seen.BUSY)
    assert spent(pool.tick(HOUR, 2 * HOUR, used(input=1), Seen.USED)) == {"input": 2 * USD}


def test_what_is_older_than_the_horizon_was_used_by_no_one() -> None:
    pool = book()
    idle = [pool.tick(hour * HOUR, (hour + 1) * HOUR, Usage(), Seen.UNKNOWN).idle for hour in range(4)]
    assert idle == [0, 0, USD, USD]


def test_weights_split_by_ratio_and_cached_tokens_cost_their_share() -> None:
    booked = book(split="weights").tick(0, HOUR, used(input=100, cache_read=1000, output=50), Seen.USED)
    assert spent(booked) == {"input": USD // 4, "cache_read": USD // 4, "output": USD // 2}


def test_compute_time_splits_by_the_seconds_each_phase_took() -> None:
    pool = book(split="compute_time")
    booked = pool.tick(0, HOUR, used(prefill=1, decode=3, input=100, output=100), Seen.USED)
    assert (pool.method, spent(booked)) == ("compute_time", {"input": USD // 4, "output": 3 * USD // 4})
    # A tick with other proportions, before any of its requests finished: 400 prompt tokens took 1 s, 200 output 3 s.
    booked = pool.tick(HOUR, 2 * HOUR, used(input=300, output=100), Seen.USED)
    assert spent(booked) == {"input": USD // 3, "output": USD - USD // 3}


def test_compute_time_without_seconds_falls_back_to_weights_and_says_so() -> None:
    pool = book(split="compute_time")
    booked = pool.tick(0, HOUR, used(input=4, output=1), Seen.USED)
    assert (pool.method, spent(booked)) == ("weights", {"input": USD // 2, "output": USD // 2})


def test_after_a_restart_the_lifetime_sums_decide() -> None:
    lifetime = {("m", "prefill"): NS, ("m", "decode"): 9 * NS, ("m", "input"): 10, ("m", "output"): 10}
    pool = PoolBook(book(split="compute_time").pool, PriceBook(()), 0, lifetime)
    assert spent(pool.tick(0, HOUR, used(input=1, output=1), Seen.USED)) == {
        "input": USD // 10,
        "output": USD * 9 // 10,
    }


def test_weights_of_zero_still_book_every_cent() -> None:
    pool = book(split="weights", weights={"input": Decimal(0), "output": Decimal(1)})
    assert spent(pool.tick(0, HOUR, used(input=3), Seen.USED)) == {"input": USD}


@pytest.mark.parametrize(
    ("start", "proven", "left"),
    [(-5, 30, []), (10, 20, [(0, 10)]), (30, 0, [(0, 30)]), (99, 0, [(0, 30)])],
)
def test_downtime_costs_as_far_as_the_engine_proves_it_was_alive(
    start: int, proven: int, left: list[tuple[int, int]]
) -> None:
    pool = book()
    pool.restore(book().state(), 30 * NS)
    pool.prove(start)
    assert pool.tick(30 * NS, 30 * NS, Usage(), Seen.QUIET).gpu_ns == proven * NS
    assert pool.gaps == [(begin * NS, end * NS) for begin, end in left]


def test_a_second_engine_extends_what_the_first_one_proved_and_nothing_counts_twice() -> None:
    pool = book()
    pool.restore(book().state(), 30 * NS)
    for start in (20, 5, 25, 5):
        pool.prove(start)
    assert pool.tick(30 * NS, 30 * NS, Usage(), Seen.QUIET).gpu_ns == 25 * NS


@given(
    ticks=st.lists(
        st.tuples(st.integers(0, HOUR), st.sampled_from(list(Seen)), st.integers(0, 9), st.integers(0, 9)), max_size=30
    ),
    split=st.sampled_from(["weights", "compute_time", "fitted"]),
)
def test_every_tick_closes_to_the_picodollar(ticks: list[tuple[int, Seen, int, int]], split: str) -> None:
    pool, now, cost, spend, idle = book(split=split, overhead_usd_per_hour=Decimal("0.123456789")), 0, 0, 0, 0
    for step, seen, prompt, output in ticks:
        moves = seen is Seen.USED and (prompt or output)
        usage = used(prefill=prompt / 7, decode=output / 3, input=prompt, output=output) if moves else Usage()
        booked = pool.tick(now, now + step, usage, seen if moves or seen is not Seen.USED else Seen.BUSY)
        now += step
        cost += sum(booked.cost.values())
        spend += sum(flat(booked.spend).values())
        idle += booked.idle
        assert cost == spend + idle + pool.pending
    assert cost == spend + idle + pool.close().idle
