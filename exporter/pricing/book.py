"""The price book: what a GPU costs at a moment. Rows are dated facts; the first one that matches wins.

`from` is inclusive and `until` exclusive, both at 00:00 UTC, so that two rows can meet on one day without a gap.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, date, datetime
from decimal import Decimal
from fnmatch import fnmatchcase
from itertools import pairwise

from exporter.clock import NS
from exporter.config.schema import GpuPrice


def midnight_ns(day: date) -> int:
    """00:00 UTC of that day, in Unix nanoseconds."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * NS


class PriceBook:
    """GPU prices by product and moment."""

    def __init__(self, gpus: tuple[GpuPrice, ...]) -> None:
        self._rows = [
            (
                row.product,
                midnight_ns(row.from_) if row.from_ else None,
                midnight_ns(row.until) if row.until else None,
                row.usd_per_hour,
            )
            for row in gpus
        ]
        self._changes = sorted({edge for _, start, end, _ in self._rows for edge in (start, end) if edge is not None})

    def usd_per_hour(self, product: str, wall_ns: int) -> Decimal | None:
        """The price of one GPU of that product at that moment; None when no row says."""
        for pattern, start, end, price in self._rows:
            if fnmatchcase(product, pattern) and (start is None or start <= wall_ns) and (end is None or wall_ns < end):
                return price
        return None

    def segments(self, start_ns: int, end_ns: int) -> list[tuple[int, int]]:
        """[start, end) cut where any price may change, so that within a piece every price is one number."""
        first, last = bisect_right(self._changes, start_ns), bisect_right(self._changes, end_ns - 1)
        edges = [start_ns, *self._changes[first:last], end_ns]
        return list(pairwise(edges))
