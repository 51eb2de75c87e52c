"""Prometheus' format: what is read, and what is not that format, is said by name."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.discovery.found import MOST_ADDRESSES
from exporter.discovery.groups import addresses
from exporter.errors import Reason, ScrapeError
from tests.discovery.given import at


def test_each_target_has_its_groups_labels() -> None:
    groups = [{"targets": ["a:1", "b:2"], "labels": {"z": "1", "a": "2"}}, {"targets": ["c:3"]}, {"labels": {}}, {}]
    assert addresses(groups) == (at("a:1", a="2", z="1"), at("b:2", a="2", z="1"), at("c:3"))
    assert addresses([{"targets": None, "labels": None}]) == addresses([]) == ()


@pytest.mark.parametrize(
    "data",
    [
        None, {}, "a:1", 1, [None], ["a:1"], [{"targets": "a:1"}], [{"targets": {}}], [{"targets": [1]}],
        [{"targets": [None]}], [{"targets": ["a" * 1025]}], [{"target": ["a:1"]}], [{"targets": [], "labels": []}],
        [{"labels": {"a": 1}}], [{"labels": {"a": None}}], [{"labels": {"a": "b" * 1025}}],
        [{"labels": {"a" * 318: ""}}], [{"labels": {str(n): "" for n in range(101)}}],
    ],
)  # fmt: skip
def test_anything_else_is_refused_whole(data: Any) -> None:
    with pytest.raises(ScrapeError) as error:
        addresses(data)
    assert error.value.reason is Reason.INVALID


def test_more_than_anybody_meant_is_refused() -> None:
    assert len(addresses([{"targets": ["a:1"] * MOST_ADDRESSES}])) == MOST_ADDRESSES
    with pytest.raises(ScrapeError) as error:
        addresses([{"targets": ["a:1"] * (MOST_ADDRESSES // 2 + 1)}] * 2)
    assert error.value.reason is Reason.TOO_MANY_TARGETS


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["targets", "labels", "x"]), inner),
    max_leaves=10,
)


@given(JSON)
def test_no_json_raises_anything_else(data: Any) -> None:
    with suppress(ScrapeError):
        assert isinstance(addresses(data), tuple)
