"""Rows of the config: which one counts, for whom, when, and at how many atto-USD per token."""

from __future__ import annotations

import tracemalloc
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from exporter.config.prices import ModelPrice
from exporter.pricing.card import MOST_QUOTES, PriceCard
from exporter.pricing.catalog import Catalog
from exporter.records import NS, TOKEN_CLASSES, TokenClass

PRICES = tuple(f"{token_class}_usd_per_mtok" for token_class in TOKEN_CLASSES)


def at(moment: str) -> int:
    return int(datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp()) * NS


NOW = at("2026-03-01T12:00:00")


def row(model: str = "*", **keys: object) -> ModelPrice:
    return ModelPrice.model_validate({"model": model, **keys})


def per_token(card: PriceCard, provider: str, model: str, wall_ns: int = NOW) -> dict[TokenClass, int] | None:
    rates = card.rates(provider, model, wall_ns)
    return None if rates is None else dict(rates.per_token)


def output_price(card: PriceCard, provider: str, model: str, wall_ns: int = NOW) -> int | None:
    """In USD per million tokens, as the rows below are written."""
    rates = card.rates(provider, model, wall_ns)
    return None if rates is None else rates.per_token["output"] // 10**12


def test_dollars_per_million_tokens_become_attodollars_per_token() -> None:
    written = ("2.5", "1.25", "3", "10", "0.000000000001")
    prices: dict[str, Any] = dict(zip(PRICES, map(Decimal, written), strict=True))
    card = PriceCard((row(**prices),), None)
    assert per_token(card, "openai", "gpt-4o") == {
        "input": 2_500_000_000_000,
        "cache_read": 1_250_000_000_000,
        "cache_write": 3_000_000_000_000,
        "output": 10_000_000_000_000,
        "reasoning": 1,
    }


def test_reasoning_without_a_price_costs_what_output_costs() -> None:
    card = PriceCard((row(output_usd_per_mtok=8),), None)
    assert per_token(card, "openai", "o3") == {"output": 8 * 10**12, "reasoning": 8 * 10**12}


def test_other_classes_that_a_row_leaves_out_have_no_price() -> None:
    """Not even the catalog's: a row is a whole price."""
    card = PriceCard((row("gpt-4o", input_usd_per_mtok=1),), Catalog())
    assert per_token(card, "openai", "gpt-4o") == {"input": 10**12}
    assert set(per_token(card, "openai", "gpt-4o-mini") or ()) == set(TOKEN_CLASSES)


def test_a_price_of_zero_is_a_price() -> None:
    card = PriceCard((row(input_usd_per_mtok=0, output_usd_per_mtok=0),), None)
    assert per_token(card, "openai", "gpt-4o") == {"input": 0, "output": 0, "reasoning": 0}


@pytest.mark.parametrize(
    ("provider", "model", "price"),
    [
        ("openai", "gpt-4o", 1),
        ("azure", "gpt-4o", 2),  # the first row is openai's
        ("openai", "gpt-4o-mini", 3),
        ("openai", "gpt-5", 4),
        ("openai", "GPT-4o", None),  # a name is a name
        ("openai", "xgpt-4o", None),  # a glob is about the whole name
        ("openai", "", None),
        ("anthropic", "claude [1m]", 5),
    ],
)
def test_the_first_row_that_matches_counts(provider: str, model: str, price: int | None) -> None:
    rows = (
        row("gpt-4o", provider="openai", output_usd_per_mtok=1),
        row("gpt-4o", output_usd_per_mtok=2),
        row("gpt-4*", output_usd_per_mtok=3),
        row("gpt-?", output_usd_per_mtok=4),
        row("claude [[]1m]", output_usd_per_mtok=5),
        row("gpt-4o", output_usd_per_mtok=6),
    )
    assert output_price(PriceCard(rows, None), provider, model) == price


@pytest.mark.parametrize("step", [1, -1])
def test_from_is_inclusive_and_until_exclusive_at_midnight_utc(step: int) -> None:
    """Also when the price was asked for before: what is remembered ends when a price may change."""
    card = PriceCard(
        (
            row(output_usd_per_mtok=1, until="2026-01-01"),
            row(output_usd_per_mtok=2, **{"from": "2026-01-01", "until": "2026-02-01"}),
            row(output_usd_per_mtok=3, **{"from": "2026-03-01"}),
        ),
        None,
    )
    moments: list[tuple[str, int | None]] = [
        ("1970-01-01T00:00:00", 1),
        ("2025-12-31T23:59:59.999999", 1),
        ("2026-01-01T00:00:00", 2),
        ("2026-01-31T23:59:59.999999", 2),
        ("2026-02-01T00:00:00", None),
        ("2026-02-28T23:59:59.999999", None),
        ("2026-03-01T00:00:00", 3),
        ("2099-01-01T00:00:00", 3),
    ]
    for moment, price in moments[::step]:
        assert output_price(card, "openai", "o3", at(moment)) == price, moment


def test_without_rows_and_catalog_nothing_has_a_price() -> None:
    assert PriceCard((), None).rates("openai", "gpt-4o", NOW) is None


@pytest.mark.parametrize("step", [1, -1])
def test_before_and_after_a_row_the_catalog_counts(step: int) -> None:
    dates = {"from": "2026-03-01", "until": "2026-03-02"}
    card = PriceCard((row("gpt-4o", output_usd_per_mtok=7, **dates),), Catalog())
    moments = [("2026-02-28T23:59:59", 10), ("2026-03-01T00:00:00", 7), ("2026-03-02T00:00:00", 10)]
    for moment, price in moments[::step]:
        assert output_price(card, "openai", "gpt-4o", at(moment)) == price, moment


def test_the_same_answer_is_the_same_object() -> None:
    """What was looked up is remembered, an unknown name too."""
    card = PriceCard((), Catalog())
    known = card.rates("openai", "gpt-4o", NOW)
    assert known is not None
    assert card.rates("openai", "gpt-4o", NOW + 15 * NS) is known


def test_names_without_end_do_not_fill_the_memory() -> None:
    card = PriceCard((row("gpt-*", output_usd_per_mtok=1),), None)

    def ask(start: int) -> None:
        for number in range(start, start + MOST_QUOTES):
            card.rates("openai", f"nobody-{number:09}", NOW)

    tracemalloc.start()
    try:
        ask(0)
        full, _ = tracemalloc.get_traced_memory()
        for turn in range(1, 5):
            ask(turn * MOST_QUOTES)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1.5 * full
    assert output_price(card, "openai", "gpt-5") == 1


def test_long_names_are_not_remembered() -> None:
    """They still match a glob."""
    card = PriceCard((row("gpt-*", output_usd_per_mtok=1),), Catalog())
    tracemalloc.start()
    try:
        assert all(output_price(card, "openai", f"gpt-{number:060000}") == 1 for number in range(100))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 1_000_000
