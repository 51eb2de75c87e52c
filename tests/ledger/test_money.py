"""Integer money: parts add up, rates are exact, remainders are carried."""

from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.ledger.money import ATTO_PER_USD, apportion, rate

UNITS = st.lists(st.integers(0, 10**30), min_size=1, max_size=50).filter(any)


@given(amount=st.integers(0, 10**24), units=UNITS)
def test_parts_add_up_and_none_is_a_picodollar_off_its_share(amount: int, units: list[int]) -> None:
    parts = apportion(amount, units)
    total = sum(units)
    assert sum(parts) == amount
    for part, unit in zip(parts, units, strict=True):
        assert abs(part * total - amount * unit) < total
        assert part == 0 or unit > 0


@given(amount=st.integers(0, 10**12), units=UNITS)
def test_a_larger_share_never_gets_less(amount: int, units: list[int]) -> None:
    pairs = sorted(zip(units, apportion(amount, units), strict=True))
    assert all(low[1] <= high[1] for low, high in pairwise(pairs) if low[0] < high[0])


def test_the_remainder_goes_to_those_who_lost_most_and_ties_to_the_earlier() -> None:
    assert apportion(10, [1, 1, 1]) == [4, 3, 3]
    assert apportion(7, [2, 3]) == [3, 4]  # 2.8 and 4.2
    assert apportion(0, [5, 0]) == [0, 0]


def test_nothing_to_divide_by_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing to apportion by"):
        apportion(5, [0, 0])


@pytest.mark.parametrize(
    ("price", "count", "usd"),
    [("2.49", "1", "2.49"), ("2.49", "0.142857", "0.35571393"), ("0.000000000001", "0.000001", "1E-18")],
)
def test_rates_are_exact(price: str, count: str, usd: str) -> None:
    assert rate(Decimal(price), Decimal(count)) == int(Decimal(usd) * ATTO_PER_USD)
