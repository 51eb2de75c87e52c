"""The bundled catalog, with genai-prices' own calculation as the judge."""

from __future__ import annotations

import random
import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import pytest
from genai_prices import Usage, calc_price
from genai_prices.data import providers
from genai_prices.types import ModelInfo, ModelPrice, StartDateConstraint, TieredPrices

from exporter.pricing.card import PriceCard
from exporter.pricing.catalog import Catalog
from exporter.pricing.rates import Rates
from exporter.records import NS, TOKEN_CLASSES, TokenClass

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
FOUND = [(provider, model.id, provider.find_model(model.id)) for provider in providers for model in provider.models]
# Provider, name, and the model the library takes it for: not always the one with that name, and sometimes none.
NAMES = [(provider.id, name, model) for provider, name, model in FOUND if model]


def changing(model: ModelInfo) -> list[datetime]:
    """Moments at which its price changes: on a day, or at an hour of NOON's day."""
    moments = []
    for price in model.prices if isinstance(model.prices, list) else []:
        if isinstance(price.constraint, StartDateConstraint):
            moments.append(datetime.combine(price.constraint.start_date, time(), UTC))
        elif price.constraint is not None:
            hours = (price.constraint.start_time, price.constraint.end_time)
            moments += [datetime.combine(NOON, hour, hour.tzinfo or UTC) for hour in hours]
    return moments


def tier_starts(model: ModelInfo) -> set[int]:
    listed = [model.prices] if isinstance(model.prices, ModelPrice) else [price.prices for price in model.prices]
    values = [value for prices in listed for value in vars(prices).values()]
    return {tier.start for value in values if isinstance(value, TieredPrices) for tier in value.tiers}


DATED = [(provider, name, changes) for provider, name, model in NAMES if (changes := changing(model))]
HOURLY = [pair for pair in DATED if any(moment.time() != time() for moment in pair[2])]
TIERED = [(provider, name, starts) for provider, name, model in NAMES if (starts := tier_starts(model))]


def ns(moment: datetime) -> int:
    return int(moment.timestamp()) * NS


def seeded() -> random.Random:
    return random.Random(7)


def usage(input_tokens: int, dice: random.Random) -> dict[TokenClass, int]:
    """A request with that input in all, in disjoint classes."""
    first, second = sorted((dice.randint(0, input_tokens), dice.randint(0, input_tokens)))
    tokens = (first, second - first, input_tokens - second, dice.randint(0, 99_999), dice.randint(0, 99_999))
    return dict(zip(TOKEN_CLASSES, tokens, strict=True))


def check(rates: Rates | None, provider: str, model: str, when: datetime, tokens: dict[TokenClass, int]) -> bool:
    """The judge agrees about the cost of that request. False where there is no price at all."""
    price = calc_price(
        Usage(
            input_tokens=tokens["input"] + tokens["cache_read"] + tokens["cache_write"],
            cache_read_tokens=tokens["cache_read"],
            cache_write_tokens=tokens["cache_write"],
            output_tokens=tokens["output"] + tokens["reasoning"],
            output_reasoning_tokens=tokens["reasoning"],
        ),
        model,
        provider_id=provider,
        genai_request_timestamp=when,
    )
    expected = (price.input_price + price.output_price) * 10**18  # without what is paid by the request
    if rates is None:
        assert expected == 0
        return False
    cost = sum(tokens[token_class] * rate for token_class, rate in rates.per_token.items())
    # A few prices of the data carry the tail of a float, 0.18000000000000002, beyond an atto-USD per token.
    values = [v for v in vars(price.model_price).values() if v is not None]
    flat = [p for v in values for p in ([v] if isinstance(v, Decimal) else [v.base, *(t.price for t in v.tiers)])]
    exact = all(p == round(p, 12) for p in flat)
    assert abs(cost - expected) <= (0 if exact else sum(tokens.values())), (provider, model, when, tokens)
    return True


def test_random_requests_to_many_models_cost_what_the_library_says() -> None:
    card, dice = PriceCard((), Catalog()), seeded()
    priced = 0
    for provider, model, _ in dice.sample(NAMES, 300):
        tokens = usage(dice.randint(0, 400_000), dice)
        size = tokens["input"] + tokens["cache_read"] + tokens["cache_write"]
        priced += check(card.rates(provider, model, ns(NOON), size), provider, model, NOON, tokens)
    assert priced > 200


def test_reasoning_with_a_price_of_its_own() -> None:
    rates = PriceCard((), Catalog()).rates("perplexity", "sonar-deep-research", ns(NOON))
    assert rates is not None
    assert rates.per_token["reasoning"] != rates.per_token["output"]
    assert check(rates, "perplexity", "sonar-deep-research", NOON, usage(1000, seeded()))


def test_a_tier_counts_for_requests_with_more_input_than_its_start() -> None:
    card, dice = PriceCard((), Catalog()), seeded()
    assert len(TIERED) > 20
    for provider, model, starts in TIERED:
        for size in {0} | {start + more for start in starts for more in (0, 1, 1000)}:
            tokens = usage(size, dice)
            check(card.rates(provider, model, ns(NOON), size), provider, model, NOON, tokens)


@pytest.mark.parametrize("step", [1, -1])
def test_a_price_counts_from_its_day_and_hour_on(step: int) -> None:
    """One card all along: what it remembers ends when the price does."""
    card, dice = PriceCard((), Catalog()), seeded()
    assert len(DATED) > 100
    assert HOURLY
    for provider, model, changes in [*dice.sample(DATED, 100), *HOURLY]:
        moments = sorted({moment + timedelta(seconds=s) for moment in changes for s in (-1, 0, 1, 86_400)})
        for when in moments[::step]:
            check(card.rates(provider, model, ns(when), 100), provider, model, when, usage(100, dice))


def test_an_hourly_price_is_right_at_every_hour() -> None:
    provider, model, _ = HOURLY[0]
    card, dice = PriceCard((), Catalog()), seeded()
    seen = set()
    for quarter in range(2 * 96):
        when = NOON + timedelta(minutes=15 * quarter)
        rates = card.rates(provider, model, ns(when))
        check(rates, provider, model, when, usage(100, dice))
        assert rates is not None
        seen.add(rates.per_token["input"])
    assert len(seen) > 1


def input_rate(provider: str, model: str) -> int | None:
    rates = PriceCard((), Catalog()).rates(provider, model, ns(NOON))
    return None if rates is None else rates.per_token["input"]


@pytest.mark.parametrize(
    ("provider", "written", "seller", "name"),
    [
        ("openai", "GPT-4o", "openai", "gpt-4o"),
        ("openai", "openai/gpt-4o", "openai", "gpt-4o"),
        ("openai", "gpt-5.2-20251211", "openai", "gpt-5.2"),
        ("azure", "azure/gpt-4o", "openai", "gpt-4o"),  # azure itself lists few
        ("bedrock", "bedrock/anthropic.claude-3-haiku-20240307-v1:0", "aws", "anthropic.claude-3-haiku-20240307-v1:0"),
        ("vertex_ai", "vertex_ai/gemini-2.5-flash", "google", "gemini-2.5-flash"),
        ("vertex_ai", "vertex_ai/claude-3-haiku@20240307", "anthropic", "claude-3-haiku"),
        ("xai", "xai/grok-4", "x-ai", "grok-4"),
        ("openrouter", "openrouter/openai/gpt-4o", "openrouter", "openai/gpt-4o"),
    ],
)
def test_names_as_gateways_write_them(provider: str, written: str, seller: str, name: str) -> None:
    expected = calc_price(Usage(input_tokens=10**6), name, provider_id=seller, genai_request_timestamp=NOON)
    assert expected.total_price
    assert input_rate(provider, written) == expected.total_price * 10**12


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "no-such-model"),
        ("openai", "acme/gpt-4o"),  # acme is no provider: whose model that is nobody knows
        ("openai", "openai/openai/gpt-4o"),
        ("no-such-provider", "gpt-4o"),
        ("no-such-provider", "openai/gpt-4o"),
        ("openai", "whisper-1"),  # paid by the hour of audio
        ("openai", ""),
        ("openai", "/"),
        ("openai", "openai/"),
        ("openai", "/gpt-4o"),
        ("openai", "gpt-4o\n\x00" * 30),
        ("openai", "\ud800İ" * 100),
        ("anthropic", "claude-2" + "x" * 10_000),  # claude-2 with any ending is known; no model is called so
        ("openrouter", "a/" * 10_000),
        ("mistral", "mistral-" + "-20261332" * 5_000),
    ],
)
def test_unknown_is_none(provider: str, model: str) -> None:
    assert input_rate(provider, model) is None


def test_where_the_data_lists_no_price_at_all_there_is_none() -> None:
    """An empty price may be free, or part of a subscription, or unknown: only the operator can say which."""
    empty = [(p, name) for p, name, m in NAMES if isinstance(m.prices, ModelPrice) and not vars(m.prices)]
    assert empty
    assert [pair for pair in empty[:20] if input_rate(*pair) is not None] == []


def test_its_version_and_how_old_it_can_be() -> None:
    catalog = Catalog()
    assert catalog.newest_price(ns(NOON)) is None  # not loaded: nothing known
    catalog.load()
    newest, then = catalog.newest_price(ns(NOON)), catalog.newest_price(ns(NOON - timedelta(days=365)))
    assert newest is not None
    assert then is not None
    assert then < date(2026, 1, 1) < newest <= NOON.date()
    assert catalog.newest_price(0) is None
    assert catalog.version.count(".") == 2


def test_the_library_is_imported_at_first_use_only() -> None:
    """A price that stands in the config needs no catalog: 8 MB and 0.1 s are saved."""
    program = """
import sys
from exporter.config.prices import ModelPrice
from exporter.pricing.card import PriceCard
from exporter.pricing.catalog import Catalog
catalog = Catalog()
card = PriceCard((ModelPrice(model="gpt-4o", input_usd_per_mtok=1),), catalog)
card.rates("openai", "gpt-4o", 0), catalog.version, catalog.newest_price(0)
print("genai_prices" in sys.modules)
card.rates("openai", "o3", 0)
print("genai_prices" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
