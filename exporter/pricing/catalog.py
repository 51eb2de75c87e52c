"""The fallback price card: the data bundled with genai-prices. Nothing is ever fetched.

Read from it: the standard price per token of text, by date and hour, with tiers. Left out, because token counters do
not tell: batch, flex and priority prices, one-hour cache writes (priced as the five-minute ones), audio and images
(priced as text), and what is not paid by the token (requests, searches, hours of audio).

The library's own lookup remembers every name that it is asked for, for ever, so its parts are used here instead.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING

from exporter.config.types import DAY
from exporter.pricing.book import midnight_ns
from exporter.pricing.rates import Quote, Rates, between
from exporter.records import NS, TokenClass

if TYPE_CHECKING:
    from genai_prices.types import ConditionalPrice, ModelInfo, ModelPrice, Provider, TieredPrices

LONGEST_NAME = 256  # characters; the catalog's longest are under 100, and a name may be anything a client sent

# A class without a price of its own is billed as the class that it is part of, as the library does and providers do.
PRICE_KEYS: dict[TokenClass, tuple[str, ...]] = {
    "input": ("input_mtok",),
    "cache_read": ("cache_read_mtok", "input_mtok"),
    "cache_write": ("cache_write_mtok", "input_mtok"),
    "output": ("output_mtok",),
    "reasoning": ("output_reasoning_mtok", "output_mtok"),
}


class Catalog:
    """Prices of genai-prices, which is imported at first use: it takes memory and a moment that not all need."""

    def __init__(self) -> None:
        self._providers: list[Provider] = []
        self._dates: list[date] = []

    @cached_property
    def version(self) -> str:
        """The version of genai-prices; its data has no other."""
        return version("genai-prices")

    def load(self) -> None:
        """Import the data, about 0.1 s. The first quote does it; call it earlier to keep that off a busy thread."""
        if self._providers:
            return
        from genai_prices.data import providers  # noqa: PLC0415 - see the class
        from genai_prices.types import StartDateConstraint  # noqa: PLC0415

        listed = [price for provider in providers for model in provider.models for price in _dated(model)]
        constraints = [price.constraint for price in listed]
        self._dates = sorted({each.start_date for each in constraints if isinstance(each, StartDateConstraint)})
        self._providers = providers

    def newest_price(self, wall_ns: int) -> date | None:
        """The last day on which a price of the data began: how old the data is at most; None until it is loaded.

        The package does not say when its data was made. It lists changes of most weeks, and a few that are announced:
        when the day of one of those comes, the data looks younger than it is.
        """
        begun = bisect_right(self._dates, datetime.fromtimestamp(wall_ns // NS, UTC).date())
        return self._dates[begun - 1] if begun else None

    def quote(self, provider: str, model: str, wall_ns: int) -> Quote | None:
        """The price of that provider's model at that moment; None when the catalog does not know the model."""
        self.load()
        found = self._find(provider, model) if len(model) <= LONGEST_NAME else None
        if found is None:
            return None
        start_ns, end_ns = between(_edges(found, wall_ns), wall_ns)
        prices = found.get_prices(datetime.fromtimestamp(wall_ns // NS, UTC))
        tiers = tuple((start, _rates(prices, start + 1)) for start in _tier_starts(prices))
        return Quote(start_ns, end_ns, _rates(prices, 0), tiers)

    def _find(self, provider: str, model: str) -> ModelInfo | None:
        from genai_prices.data_snapshot import find_provider_by_id  # noqa: PLC0415

        seller = find_provider_by_id(self._providers, provider)
        if seller is None:
            return None
        found = seller.find_model(model, all_providers=self._providers)
        # LiteLLM puts the name of an API before the model's: azure/gpt-4o, bedrock/…, openrouter/anthropic/….
        prefix, slash, name = model.partition("/")
        if found is None and slash and find_provider_by_id(self._providers, prefix):
            found = seller.find_model(name, all_providers=self._providers)
        return found


def _dated(model: ModelInfo) -> list[ConditionalPrice]:
    """The model's prices that have a condition or stand beside one; none when it has one price for ever."""
    return model.prices if isinstance(model.prices, list) else []


def _edges(model: ModelInfo, wall_ns: int) -> list[int]:
    """Moments around this one at which the model's price may change, sorted: days, and hours of this day."""
    from genai_prices.types import StartDateConstraint  # noqa: PLC0415

    today = wall_ns - wall_ns % DAY
    edges: set[int] = set()
    for constraint in (price.constraint for price in _dated(model)):
        if isinstance(constraint, StartDateConstraint):
            edges.add(midnight_ns(constraint.start_date))
        elif constraint is not None:
            hours = (_ns_of_day(constraint.start_time), _ns_of_day(constraint.end_time))
            edges.update((today, *(today + hour for hour in hours), today + DAY))
    return sorted(edges)


def _ns_of_day(clock: time) -> int:
    """That time of day, in UTC unless it says otherwise, as nanoseconds after 00:00 UTC."""
    return int(datetime.combine(date(1970, 1, 1), clock, clock.tzinfo or UTC).timestamp()) * NS % DAY


def _rates(prices: ModelPrice, input_tokens: int) -> Rates | None:
    return Rates.of((token_class, _price(prices, keys, input_tokens)) for token_class, keys in PRICE_KEYS.items())


def _price(prices: ModelPrice, keys: tuple[str, ...], input_tokens: int) -> Decimal | None:
    """USD per million tokens for a request with that input; a tier's price counts for the whole request."""
    price: Decimal | TieredPrices | None = next((p for key in keys if (p := getattr(prices, key)) is not None), None)
    if price is None or isinstance(price, Decimal):
        return price
    return next((tier.price for tier in reversed(price.tiers) if input_tokens > tier.start), price.base)


def _tier_starts(prices: ModelPrice) -> list[int]:
    """Numbers of input tokens above which a price changes, highest first."""
    listed: list[Decimal | TieredPrices | None] = [getattr(prices, key) for keys in PRICE_KEYS.values() for key in keys]
    tiered = [price for price in listed if price is not None and not isinstance(price, Decimal)]
    return sorted({tier.start for price in tiered for tier in price.tiers}, reverse=True)
