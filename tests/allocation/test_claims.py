"""Claims: engine tokens on stock, taken by what gateways report. Not a picodollar appears or goes."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from exporter.allocation.claims import Claims, Taken
from exporter.allocation.split import weight_shares
from exporter.config.schema import Weights
from exporter.records import NS, TOKEN_CLASSES, TokenClass
from tests.columns import Flat, columns, flat

MINUTE = 60 * NS
HORIZON = 10 * MINUTE


def claims() -> Claims:
    return Claims(HORIZON, partial(weight_shares, Weights()))


def stock(one: Claims, at: int, cost: int, model: str = "m", *, priced: bool = True, **tokens: int) -> None:
    classes: dict[tuple[str, TokenClass], int] = {(model, token): amount for token, amount in tokens.items()}  # type: ignore[misc]
    first = next(iter(classes))
    one.stock(at * MINUTE, classes, {first: cost}, priced=priced)


def claim(one: Claims, at_ns: int, reports: Flat) -> Taken:
    return one.claim(at_ns, columns(reports))


def key(tenant: str, kind: TokenClass = "output", model: str = "m") -> tuple[str, str, TokenClass]:
    return (tenant, model, kind)


def test_a_claim_takes_the_oldest_lot_first_at_its_own_cost_per_token() -> None:
    one = claims()
    stock(one, 0, cost=100, output=10)
    stock(one, 1, cost=900, output=10)
    assert flat(claim(one, 2 * MINUTE, {key("a"): 10}).spend) == {key("a"): 100}
    assert flat(claim(one, 2 * MINUTE, {key("b"): 5}).spend) == {key("b"): 450}
    assert one.pending == 450


def test_generation_time_does_not_leak_into_prompts() -> None:
    one = claims()
    stock(one, 0, cost=1000, output=10)
    stock(one, 0, cost=10, input=100)
    assert flat(claim(one, 0, {key("a", "input"): 100, key("b"): 10}).spend) == {key("a", "input"): 10, key("b"): 1000}


def test_cached_tokens_take_tokens_off_the_stock_and_bear_their_weight_of_the_cost() -> None:
    one = claims()
    stock(one, 0, cost=1100, input=100, cache_read=100)
    taken = claim(one, 0, {key("a", "input"): 100, key("b", "cache_read"): 100})
    assert flat(taken.spend) == {key("a", "input"): 1000, key("b", "cache_read"): 100}


def test_what_nobody_claims_within_the_horizon_went_past_the_gateway() -> None:
    one = claims()
    stock(one, 0, cost=100, output=8)
    stock(one, 0, cost=60, input=100, cache_read=1000)
    claim(one, 0, {key("a"): 6})
    assert claim(one, 9 * MINUTE, {}) == Taken()
    gone = claim(one, 10 * MINUTE, {})
    other = "_unattributed"
    assert flat(gone.tokens) == {key(other): 2, key(other, "input"): 100, key(other, "cache_read"): 1000}
    assert flat(gone.spend) == {key(other): 25, key(other, "input"): 30, key(other, "cache_read"): 30}
    assert one.pending == 0


def test_a_report_that_comes_before_its_stock_waits_for_it() -> None:
    one = claims()
    assert flat(claim(one, 0, {key("a"): 10}).spend) == {}
    stock(one, 1, cost=50, output=10)
    assert flat(claim(one, MINUTE, {}).spend) == {key("a"): 50}


def test_claims_beyond_the_stock_cost_nothing_and_do_not_eat_later_stock_for_ever() -> None:
    one = claims()
    stock(one, 0, cost=100, output=4)
    assert flat(claim(one, 0, {key("a"): 10}).spend) == {key("a"): 100}
    for minute in range(1, 12):
        claim(one, minute * MINUTE, {})
    stock(one, 12, cost=70, output=6)
    assert flat(claim(one, 12 * MINUTE, {}).spend) == {}
    assert one.pending == 70


def test_earlier_reports_are_served_before_later_ones() -> None:
    one = claims()
    claim(one, 0, {key("early"): 5})
    claim(one, 2 * MINUTE, {key("late"): 5})
    stock(one, 2, cost=30, output=5)
    assert flat(claim(one, 3 * MINUTE, {}).spend) == {key("early"): 30}


def test_an_adapter_that_the_engine_counts_under_its_base_model_takes_the_base_models_tokens() -> None:
    one = claims()
    stock(one, 0, cost=100, model="base", output=10)
    taken = claim(one, 0, {key("a", model="base"): 5, key("b", model="lora-b"): 5})
    assert flat(taken.spend) == {key("a", model="base"): 50, key("b", model="lora-b"): 50}


def test_a_model_with_stock_of_its_own_does_not_take_anothers() -> None:
    one = claims()
    stock(one, 0, cost=100, model="small", output=10)
    stock(one, 0, cost=900, model="large", output=10)
    assert flat(claim(one, 0, {key("a", model="small"): 20}).spend) == {key("a", model="small"): 100}
    assert one.available("large", "output") == 10
    assert flat(claim(one, 0, {key("a", model="small"): 5}).spend) == {}, "also once its own is gone"


def test_tokens_without_a_price_are_named_when_somebody_claims_them_and_when_nobody_does() -> None:
    one = claims()
    stock(one, 0, cost=0, priced=False, output=10)
    assert claim(one, 0, {key("a"): 4}).unpriced == {("m", "output"): 4}
    assert one.flush().unpriced == {("m", "output"): 6}


MODELS = st.sampled_from(["m1", "m2"])
CLASSES = st.sampled_from(TOKEN_CLASSES)
USE = st.tuples(st.integers(0, 9), st.integers(0, 10**6))  # tokens, cost
STEP = st.one_of(
    st.tuples(st.just("stock"), st.dictionaries(st.tuples(MODELS, CLASSES), USE)),
    st.tuples(st.just("claim"), st.dictionaries(
        st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(["m1", "m2", "lora"]), CLASSES), st.integers(0, 15))),
    st.tuples(st.just("restart"), st.none()),
)  # fmt: skip


@given(steps=st.lists(st.tuples(st.integers(0, 4 * MINUTE), STEP), max_size=40))
def test_every_picodollar_stocked_is_claimed_expired_or_pending(steps: list[tuple[int, tuple[str, Any]]]) -> None:
    one, now, stocked, taken_cost, in_tokens, out_tokens, claimed = claims(), 0, 0, 0, 0, 0, 0
    for wait, (what, given_) in steps:
        now += wait
        taken = Taken()
        if what == "stock":
            tokens = {name: amount for name, (amount, _) in given_.items()}
            cost = {name: amount for name, (n, amount) in given_.items() if n}
            one.stock(now, tokens, cost, priced=True)
            stocked += sum(cost.values())
            in_tokens += sum(tokens.values())
        elif what == "claim":
            taken = claim(one, now, given_)
            claimed += sum(given_.values())
            out_tokens += sum(flat(taken.tokens).values())
        else:
            again = claims()
            again.restore(json.loads(json.dumps(one.state())))
            one = again
        assert all(amount >= 0 for amount in flat(taken.spend).values())
        taken_cost += sum(flat(taken.spend).values())
        assert stocked == taken_cost + one.pending
        left = sum(s[1] for _, _, queue in one.state()["stock"] for s in queue)
        assert in_tokens >= left + out_tokens >= in_tokens - claimed
    rest = one.flush()
    assert stocked == taken_cost + sum(flat(rest.spend).values())
    assert one.pending == 0
