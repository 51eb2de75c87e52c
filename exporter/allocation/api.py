"""API models: tokens times the dated price card, booked as cost and spend together. Nothing idles, nothing waits.

Rates are whole atto-USD per token, so that a token's price is exact; what is left of a picodollar is carried.
"""

from __future__ import annotations

from exporter.allocation.booked import Booked
from exporter.metering.usage import TokenKey, Usage
from exporter.pricing.card import PriceCard
from exporter.records import PROMPT_CLASSES, TokenClass

API = "api"
_ATTO_PER_PICO = 10**6


class ApiBook:
    """The money of one provider. `carry` is state: atto-USD that are not yet a whole picodollar."""

    def __init__(self, provider: str, carry: int = 0) -> None:
        self.provider = provider
        self.carry = carry

    def tick(self, card: PriceCard, usage: Usage, wall_ns: int) -> Booked:
        """Price one tick's tokens at that moment's rates."""
        atto: dict[TokenKey, int] = {}
        unpriced: dict[tuple[str, TokenClass], int] = {}
        for key, amount in usage.tokens.items():
            _, model, token = key
            rates = card.rates(self.provider, model, wall_ns, _prompt_per_request(usage, model))
            rate = rates.per_token.get(token) if rates else None
            if rate is not None:
                atto[key] = amount * rate
            elif amount:
                unpriced[model, token] = unpriced.get((model, token), 0) + amount
        total, self.carry = divmod(sum(atto.values()) + self.carry, _ATTO_PER_PICO)
        spend = {key: amount // _ATTO_PER_PICO for key, amount in atto.items()}
        left = total - sum(spend.values())
        for key in sorted(atto, key=lambda key: atto[key] % _ATTO_PER_PICO, reverse=True)[:left]:
            spend[key] += 1
        return Booked(cost={API: total} if atto else {}, tokens=usage.tokens, spend=spend, unpriced=unpriced)


def _prompt_per_request(usage: Usage, model: str) -> float:
    """Mean prompt tokens per request of that model in this tick: what chooses the tier of a tiered price. 0.0 where
    the gateway counts no requests; single requests cannot be seen in counters."""
    requests = sum(amount for (_, name), amount in usage.requests.items() if name == model)
    prompt = sum(n for (_, name, token), n in usage.tokens.items() if name == model and token in PROMPT_CLASSES)
    return prompt / requests if requests else 0.0
