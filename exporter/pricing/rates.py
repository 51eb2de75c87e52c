"""What a token of an API model costs, and for how long that answer holds."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from exporter.records import TokenClass

BEGINNING, END = 0, (1 << 63) - 1  # of time, in Unix nanoseconds


@dataclass(frozen=True, slots=True)
class Rates:
    """atto-USD (1e-18 USD) per token, exact integers; a class that is not in it has no price. Never empty."""

    per_token: Mapping[TokenClass, int]

    @classmethod
    def of(cls, usd_per_mtok: Iterable[tuple[TokenClass, Decimal | None]]) -> Rates | None:
        """Exact to 12 decimal places of USD per million tokens, rounded beyond; None when no class has a price."""
        per_token = {token_class: round(usd.scaleb(12)) for token_class, usd in usd_per_mtok if usd is not None}
        return cls(per_token) if per_token else None


@dataclass(frozen=True, slots=True)
class Quote:
    """The answer for one model in [start_ns, end_ns) of the wall clock; `base` is None when it has no price.

    `tiers` are (input tokens, rates of requests with more input than that), highest first.
    """

    start_ns: int
    end_ns: int
    base: Rates | None
    tiers: tuple[tuple[int, Rates | None], ...] = ()

    def rates(self, input_tokens_per_request: float) -> Rates | None:
        for start, rates in self.tiers:
            if input_tokens_per_request > start:
                return rates
        return self.base


def between(edges: Sequence[int], wall_ns: int) -> tuple[int, int]:
    """The stretch [start, end) around that moment in which none of the sorted edges lies."""
    index = bisect_right(edges, wall_ns)
    return edges[index - 1] if index else BEGINNING, edges[index] if index < len(edges) else END
