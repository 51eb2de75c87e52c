"""Integer money: the unit, exact rates, and splitting without losing a picodollar.

Amounts are integers of pico-USD (1e-12 USD). Rates are integers of atto-USD (1e-18 USD) per hour, so that a rate times
nanoseconds is an exact integer and the remainder of turning it into pico-USD can be carried to the next tick: however
long the process runs, cost is the floor of price times time, never a sum of roundings.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

PICO_PER_USD = 10**12
ATTO_PER_USD = 10**18
NS_PER_HOUR = 3600 * 10**9
# atto-USD/hour x ns, per pico-USD: 1e6 atto in a pico, 3.6e12 ns in an hour.
RATE_NS_PER_PICO = 10**6 * NS_PER_HOUR


def rate(usd: Decimal, count: Decimal | Fraction = Fraction(1)) -> int:
    """atto-USD of `count` things at `usd` each, whatever they are counted by; exact to 18 decimal places of a dollar.

    Rounded down beyond, so that the parts of a thing never cost more than the thing.
    """
    return int(Fraction(usd) * Fraction(count) * ATTO_PER_USD)


def apportion(amount: int, units: Sequence[int]) -> list[int]:
    """Split `amount` in proportion to `units` (>= 0, not all 0) so that the parts add up to it exactly.

    Largest remainder: every part is its exact share rounded down, and what is left goes, one each, to the parts that
    lost most; ties to the earlier part, so that the same input always gives the same books.
    """
    total = sum(units)
    if total <= 0:
        raise ValueError("nothing to apportion by")
    parts = [amount * unit // total for unit in units]
    left = amount - sum(parts)
    if left:
        lost = [amount * unit % total for unit in units]
        for index in sorted(range(len(units)), key=lost.__getitem__, reverse=True)[:left]:
            parts[index] += 1
    return parts
