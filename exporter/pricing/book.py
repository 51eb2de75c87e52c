"""The price book: what a GPU costs at a moment. Rows are dated facts; the first one that matches wins.

`from` is inclusive and `until` exclusive, both at 00:00 UTC, so that two rows can meet on one day without a gap.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import pairwise

from exporter.config.prices import GpuPrice, OwnedGpu
from exporter.records import NS


def midnight_ns(day: date) -> int:
    """00:00 UTC of that day, in Unix nanoseconds."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * NS


class PriceBook:
    """GPU prices by product and moment."""

    def __init__(self, rows: tuple[GpuPrice | OwnedGpu, ...]) -> None:
        self._rows = rows
        self._changes = sorted({midnight_ns(edge) for row in rows for edge in (row.from_, row.until) if edge})

    def usd_per_hour(self, product: str, wall_ns: int) -> Decimal | None:
        """The price of one GPU of that product at that moment; None when no row says."""
        day = datetime.fromtimestamp(wall_ns // NS, UTC).date()
        return next((row.usd_per_hour for row in self._rows if row.covers(product, day)), None)

    def segments(self, start_ns: int, end_ns: int) -> list[tuple[int, int]]:
        """[start, end) cut where any price may change, so that within a piece every price is one number."""
        first, last = bisect_right(self._changes, start_ns), bisect_right(self._changes, end_ns - 1)
        return list(pairwise([start_ns, *self._changes[first:last], end_ns]))
