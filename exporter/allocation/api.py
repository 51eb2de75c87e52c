"""API models: tokens times the dated price card, booked as cost and spend together. Nothing idles, nothing waits.

Rates are whole atto-USD per token, so that a token's price is exact; what is left of a picodollar is carried.
"""

from __future__ import annotations

from itertools import accumulate
from operator import sub

from exporter.allocation.booked import Booked
from exporter.columns import Columns, Kind
from exporter.metering.usage import Usage
from exporter.pricing.card import PriceCard
from exporter.records import PROMPT_CLASSES

API = "api"
_ATTO_PER_PICO = 10**6


class ApiBook:
    """The money of one provider. `carry` is state: atto-USD that are not yet a whole picodollar."""

    def __init__(self, provider: str, carry: int = 0) -> None:
        self.provider = provider
        self.carry = carry

    def tick(self, card: PriceCard, usage: Usage, wall_ns: int) -> Booked:
        """Price one tick's tokens at that moment's rates."""
        spend: Columns = {}
        unpriced: dict[Kind, int] = {}
        total = 0
        for (model, token), column in usage.tokens.items():
            rates = card.rates(self.provider, model, wall_ns, _prompt_per_request(usage, model))
            rate = rates.per_token.get(token) if rates else None
            if rate is None:
                if amount := sum(column.values()):
                    unpriced[model, token] = amount
                continue
            # An entry ends where all the atto-USD up to it, rounded down, end: nothing is lost, nothing is sorted.
            reached = list(accumulate((amount * rate for amount in column.values()), initial=self.carry))
            ends = [atto // _ATTO_PER_PICO for atto in reached]
            spend[model, token] = dict(zip(column, map(sub, ends[1:], ends), strict=False))
            self.carry = reached[-1] % _ATTO_PER_PICO
            total += ends[-1]
        return Booked(cost={API: total} if spend else {}, tokens=usage.tokens, spend=spend, unpriced=unpriced)


def _prompt_per_request(usage: Usage, model: str) -> float:
    """Mean prompt tokens per request of that model in this tick: what chooses the tier of a tiered price. 0.0 where
    the gateway counts no requests; single requests cannot be seen in counters."""
    requests = sum(usage.requests.get(model, {}).values())
    prompt = sum(sum(usage.tokens.get((model, token), {}).values()) for token in PROMPT_CLASSES)
    return prompt / requests if requests else 0.0
