"""Columns as one flat dict and back: what a test compares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from exporter.columns import Columns
from exporter.records import TokenClass

Flat = dict[tuple[str, str, TokenClass], int]  # (tenant, model, class) -> amount


def columns(amounts: Mapping[Any, int]) -> Columns:
    """Columns that hold these amounts, by (tenant, model, class)."""
    found: Columns = {}
    for (tenant, model, token), amount in amounts.items():
        found.setdefault((model, token), {})[tenant] = amount
    return found


def flat(found: Columns) -> Flat:
    """The amounts of all columns."""
    return {(tenant, *kind): amount for kind, column in found.items() for tenant, amount in column.items()}
