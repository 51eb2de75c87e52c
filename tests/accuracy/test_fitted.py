"""The fit: rates that are in the counters are found, and what is not there is not made up."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.allocation.fitted import Fit, Rates, Work, fitted_shares, mean_context
from exporter.columns import Column, Columns
from exporter.config.schema import Weights
from exporter.records import NS
from tests.accuracy.batching import MACHINES, Engine, Request
from tests.accuracy.methods import ticks

TICK = 15 * NS
STEP, CONTEXT, INPUT, CACHED = 0.008, 40e-9, 40e-6, 4e-6
RATES = Rates(step=0.01, context=50e-9, input=30e-6, cache_read=1e-6, steps_per_output=0.5)


def nothing(_model: str, column: Column) -> list[float]:
    """Contexts that nobody knows."""
    return [0.0 for _ in column]


def busy(seed: int) -> list[Work]:
    """An hour of ticks that obey the equation to the nanosecond, busy all the time, with a load that changes."""
    random = Random(seed)
    works = []
    for _ in range(240):
        steps, prompt, cached = random.randint(300, 900), random.randint(20_000, 150_000), random.randint(0, 400_000)
        tokens = steps * random.randint(5, 60)
        context = tokens * random.randint(1000, 4000)
        seconds = STEP * steps + CONTEXT * context + INPUT * prompt + CACHED * cached
        inter = round(tokens * seconds / steps * NS) + 1
        works.append(Work(round(seconds * NS), steps, context, prompt, cached, tokens + 50, 50, 5 * NS, tokens, inter))
    return works


def fit(works: list[Work], cache_read: float = 0.1) -> Rates | None:
    """Fitted to all of them."""
    found = Fit()
    for index, work in enumerate(works):
        found.add(index * TICK, work)
    return found.rates(cache_read)


@pytest.mark.parametrize("seed", range(3))
def test_rates_that_the_counters_obey_are_found(seed: int) -> None:
    rates = fit(busy(seed))
    assert rates is not None
    assert rates.step == pytest.approx(STEP, rel=0.1)
    assert rates.context == pytest.approx(CONTEXT, rel=0.1)
    assert rates.input == pytest.approx(INPUT, rel=0.1)
    assert rates.cache_read == pytest.approx(CACHED, rel=0.1)


def test_one_request_at_a_time_is_enough() -> None:
    """An engine that is never busy for a whole tick still says what a step and a prompt token cost."""
    run = Engine(MACHINES["8B on H100"]).run([Request(60.0 * i, "a", 2000, 0, 200) for i in range(30)])
    works = [tick.work for tick in ticks(run)]
    rates = fit(works)
    last = run.pages[-1]
    assert rates is not None
    assert rates.step == pytest.approx(last.decode / last.inter_tokens, rel=0.02)
    assert rates.input == pytest.approx((last.prefill / 30 - rates.step) / 2000, rel=0.02)
    assert sum(map(rates.busy_ns, works)) / NS == pytest.approx(run.busy, rel=0.02)


def test_a_cached_token_costs_what_the_config_says_where_none_was_seen() -> None:
    works = [
        replace(work, cache_read=0, elapsed_ns=work.elapsed_ns - round(CACHED * work.cache_read * NS))
        for work in busy(1)
    ]
    rates = fit(works, cache_read=0.25)
    assert rates is not None
    assert rates.cache_read == pytest.approx(0.25 * rates.input, rel=0.01)


def test_it_forgets_after_an_hour() -> None:
    found = Fit()
    for index, work in enumerate([*busy(1), *(replace(work, steps=2 * work.steps) for work in busy(2))]):
        found.add(index * TICK, work)
    rates, twice = found.rates(0.1), fit([replace(work, steps=2 * work.steps) for work in busy(2)])
    assert rates is not None
    assert twice is not None
    assert rates.step == pytest.approx(twice.step, rel=0.05)


COUNTERS = ["steps", "input", "output", "prefills", "prefill_ns", "inter_tokens", "inter_token_ns"]


@pytest.mark.parametrize("missing", COUNTERS)
def test_without_one_of_its_counters_it_says_nothing(missing: str) -> None:
    assert fit([replace(work, **{missing: 0}) for work in busy(1)]) is None


def test_without_any_work_it_says_nothing() -> None:
    assert fit([]) is None
    assert fit([Work(elapsed_ns=TICK)]) is None


COUNTS, TIMES = st.integers(0, 10**6), st.integers(0, 10**13)
WORK = st.builds(Work, st.integers(1, 10**13), COUNTS, TIMES, COUNTS, COUNTS, COUNTS, COUNTS, TIMES, COUNTS, TIMES)


@given(st.lists(WORK, max_size=20), st.floats(0, 10))
def test_whatever_is_counted_no_rate_is_negative_and_no_tick_is_busier_than_it_is_long(
    works: list[Work], cache_read: float
) -> None:
    rates = fit(works, cache_read)
    if rates is not None:
        assert min(rates.step, rates.context, rates.input, rates.cache_read) >= 0
        for work in works:
            assert 0 <= rates.busy_ns(work) <= work.elapsed_ns


def test_an_output_token_costs_its_part_of_the_steps_of_its_tick_and_its_own_context() -> None:
    tokens: Columns = {
        ("m", "input"): {"a": 10},
        ("m", "cache_read"): {"a": 10},
        ("m", "cache_write"): {"a": 10},
        ("m", "output"): {"a": 3000},
        ("m", "reasoning"): {"b": 1000},
    }
    reads = {"a": 2000.0, "b": 0.0}
    units = fitted_shares(Weights(), {"m": RATES}, tokens, {"m": 100}, lambda _, column: map(reads.__getitem__, column))
    per_output = 0.01 * 100 / 4000
    seconds = [10 * 30e-6, 10 * 1e-6, 10 * 30e-6, 3000 * (per_output + 2000 * 50e-9), 1000 * per_output]
    assert [unit / 1e15 for column in units.values() for unit in column] == pytest.approx(seconds)


def test_tokens_of_a_tick_that_counted_no_step_cost_what_they_do_over_the_window() -> None:
    tokens: Columns = {("m", "output"): {"a": 10}}
    assert fitted_shares(Weights(), {"m": RATES}, tokens, {}, nothing) == {("m", "output"): [10 * 5 * 10**12]}


def test_where_nothing_costs_anything_tokens_share_by_their_number() -> None:
    free = Rates(0.0, 0.0, 0.0, 0.0, 1.0)
    tokens: Columns = {("m", "input"): {"a": 3, "b": 4}}
    assert fitted_shares(Weights(), {"m": free}, tokens, {}, nothing) == {("m", "input"): [3, 4]}


def test_mean_context_is_the_prompt_and_half_the_answer() -> None:
    assert mean_context(prompt=3000, output=400, requests=2) == 1600
    assert mean_context(prompt=0, output=0, requests=0) == 0
