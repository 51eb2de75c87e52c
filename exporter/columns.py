"""Amounts by tenant, in columns: one dict per (model, class), whose keys are the tenants.

With ten thousand tenants a tick is made of these. A column is summed, added to and divided in loops that the
interpreter runs itself, over strings whose hash it knows; one flat dict with a tuple for each amount takes ten times
as long.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from itertools import repeat
from operator import add
from typing import TypeVar

from exporter.records import TokenClass

K = TypeVar("K", bound=Hashable)
N = TypeVar("N", int, float)

Kind = tuple[str, TokenClass]  # (model, class)
Column = dict[str, int]  # tenant -> amount
Columns = dict[Kind, Column]


def merge(into: dict[K, N], other: Mapping[K, N]) -> None:
    """Add `other` to `into`."""
    into.update(zip(other, map(add, other.values(), map(into.get, other, repeat(0))), strict=True))


def merge_all(into: dict[K, Column], other: Mapping[K, Column]) -> None:
    """Add every column of `other` to `into`, which shares none of them afterwards."""
    for key, column in other.items():
        if key in into:
            merge(into[key], column)
        else:
            into[key] = dict(column)


def together(one: Mapping[K, Column], other: Mapping[K, Column]) -> dict[K, Column]:
    """Both, added up; shares no column with either."""
    total: dict[K, Column] = {}
    merge_all(total, one)
    merge_all(total, other)
    return total


def sums(columns: Mapping[K, Column]) -> dict[K, int]:
    """What each column adds up to."""
    return {key: sum(column.values()) for key, column in columns.items()}


def nonzero(columns: Mapping[K, Column]) -> dict[K, Column]:
    """The same without its zeros, and without the columns that hold nothing else."""
    found: dict[K, Column] = {}
    for key, column in columns.items():
        part = {tenant: amount for tenant, amount in column.items() if amount} if 0 in column.values() else column
        if part:
            found[key] = part
    return found
