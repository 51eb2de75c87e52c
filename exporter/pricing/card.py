"""The price card of API models: the config's rows, then the catalog. Unknown is None: unpriced, never a guess."""

from __future__ import annotations

from datetime import UTC, datetime
from fnmatch import fnmatchcase

from exporter.config.prices import ModelPrice
from exporter.pricing.book import midnight_ns
from exporter.pricing.catalog import LONGEST_NAME, Catalog
from exporter.pricing.rates import Quote, Rates, between
from exporter.records import NS, TOKEN_CLASSES

# Model names come from outside, so what is remembered about them has a limit; real installations have hundreds.
MOST_QUOTES = 10_000


class PriceCard:
    """Prices by provider, model and moment. A price is looked up once and then remembered until it may change."""

    def __init__(self, rows: tuple[ModelPrice, ...], catalog: Catalog | None) -> None:
        self._rows = rows
        self._catalog = catalog
        self._changes = sorted({midnight_ns(edge) for row in rows for edge in (row.from_, row.until) if edge})
        self._quotes: dict[tuple[str, str], Quote] = {}

    def rates(self, provider: str, model: str, wall_ns: int, input_tokens_per_request: float = 0.0) -> Rates | None:
        """What a token costs at that moment; None when nothing says.

        The first row whose provider (if it has one), model glob and dates match counts, and all of it: a class it
        leaves out has no price, but for reasoning, which providers bill as output. Without a row, the catalog counts.

        Some prices rise for requests with a long input. Counters do not show single requests, so the tier is that of
        the mean, `input_tokens_per_request`: an estimate, too low where few long requests hide among many short ones.
        """
        quote = self._quotes.get((provider, model))
        if quote is None or not quote.start_ns <= wall_ns < quote.end_ns:
            quote = self._look_up(provider, model, wall_ns)
            if len(model) <= LONGEST_NAME:
                if len(self._quotes) >= MOST_QUOTES:
                    self._quotes.clear()
                self._quotes[provider, model] = quote
        return quote.rates(input_tokens_per_request)

    def _look_up(self, provider: str, model: str, wall_ns: int) -> Quote:
        start_ns, end_ns = between(self._changes, wall_ns)
        day = datetime.fromtimestamp(wall_ns // NS, UTC).date()
        for row in self._rows:
            if row.provider in (None, provider) and row.holds_on(day) and fnmatchcase(model, row.model):
                return Quote(start_ns, end_ns, _rates(row))
        quote = self._catalog.quote(provider, model, wall_ns) if self._catalog else None
        if quote is None:
            return Quote(start_ns, end_ns, None)
        return Quote(max(start_ns, quote.start_ns), min(end_ns, quote.end_ns), quote.base, quote.tiers)


def _rates(row: ModelPrice) -> Rates | None:
    prices = {token_class: getattr(row, f"{token_class}_usd_per_mtok") for token_class in TOKEN_CLASSES}
    if prices["reasoning"] is None:
        prices["reasoning"] = prices["output"]
    return Rates.of(prices.items())
