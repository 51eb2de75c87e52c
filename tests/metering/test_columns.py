"""Columns: whatever the interpreter's own loops do must be what plain addition does."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from exporter.columns import merge, merge_all, nonzero, sums, together

COLUMN = st.dictionaries(st.sampled_from("abcdef"), st.integers(-9, 9))
COLUMNS = st.dictionaries(st.tuples(st.sampled_from("mn"), st.sampled_from(["input", "output"])), COLUMN)


def added(*columns: dict[str, int]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for column in columns:
        for tenant, amount in column.items():
            total[tenant] += amount
    return dict(total)


@given(COLUMN, COLUMN)
def test_merging_adds_key_by_key_and_leaves_the_other_alone(one: dict[str, int], other: dict[str, int]) -> None:
    expected, untouched = added(one, other), dict(other)
    merge(one, other)
    assert (one, other) == (expected, untouched)


@given(COLUMNS, COLUMNS)
def test_columns_added_up_share_nothing_with_what_they_came_from(one: dict, other: dict) -> None:  # type: ignore[type-arg]
    both = together(one, other)
    expected = {kind: added(one.get(kind, {}), other.get(kind, {})) for kind in one.keys() | other.keys()}
    assert both == expected
    merge_all(both, both)
    assert together(one, other) == expected
    assert sums(both) == {kind: 2 * sum(column.values()) for kind, column in expected.items()}


@given(COLUMNS)
def test_without_zeros_only_zeros_are_gone(columns: dict) -> None:  # type: ignore[type-arg]
    left = nonzero(columns)
    assert all(column and all(column.values()) for column in left.values())
    assert sums(left) == {kind: total for kind, total in sums(columns).items() if kind in left}
    assert {k: t for k, t in sums(columns).items() if k not in left} == {k: 0 for k in columns if k not in left}
