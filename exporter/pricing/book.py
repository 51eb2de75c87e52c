"""The price book: what a GPU costs at a moment. Rows are dated facts; the first one that matches wins.

`from` is inclusive and `until` exclusive, both at 00:00 UTC, so that two rows can meet on one day without a gap.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from typing import TypeAlias

from exporter.config.prices import Blend, GpuPrice, Kind, OwnedGpu, to_atto
from exporter.records import NS

# Products are names that come from outside, so what is remembered about them has a limit; real fleets have tens.
MOST_PRICES = 10_000
LONGEST_PRODUCT = 128  # characters; a longer one has its price, but it is not remembered

_Asked: TypeAlias = Kind | tuple[tuple[Kind, Decimal], ...] | None


def midnight_ns(day: date) -> int:
    """00:00 UTC of that day, in Unix nanoseconds."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * NS


class PriceBook:
    """GPU prices by product, moment and kind of purchase. A price is looked up once for each stretch between dates."""

    def __init__(self, rows: tuple[GpuPrice | OwnedGpu, ...]) -> None:
        self._rows = rows
        self._days = sorted({edge for row in rows for edge in (row.from_, row.until) if edge})
        self._changes = [midnight_ns(day) for day in self._days]
        self._price = lru_cache(MOST_PRICES)(self._look_up)

    def usd_per_hour(self, product: str, wall_ns: int, purchase: Kind | Blend | None = None) -> Decimal | None:
        """The price of one GPU of that product at that moment: of the first row of that kind of purchase, of any kind
        for None, of each kind in its part for a blend (which add up to 1). None when no row says, or not for all parts.

        Exact to 18 decimal places, rounded beyond.
        """
        asked: _Asked = purchase if purchase is None or isinstance(purchase, str) else tuple(purchase.items())
        price = self._price if len(product) <= LONGEST_PRODUCT else self._look_up
        return price(product, asked, bisect_right(self._changes, wall_ns))

    def _look_up(self, product: str, asked: _Asked, stretch: int) -> Decimal | None:
        """The price in a stretch, numbered by the dates before it."""
        day = self._days[stretch - 1] if stretch else date.min
        rows = [row for row in self._rows if row.covers(product, day)]
        if not isinstance(asked, tuple):
            return next((row.usd_per_hour for row in rows if asked in (None, row.purchase)), None)
        blended = Fraction(0)
        for kind, part in asked:
            price = next((row.usd_per_hour for row in rows if row.purchase == kind), None)
            if price is None:
                return None
            blended += Fraction(part) * Fraction(price)
        return to_atto(blended)

    def segments(self, start_ns: int, end_ns: int) -> list[tuple[int, int]]:
        """[start, end) cut where any price may change, so that within a piece every price is one number."""
        first, last = bisect_right(self._changes, start_ns), bisect_right(self._changes, end_ns - 1)
        return list(pairwise([start_ns, *self._changes[first:last], end_ns]))
