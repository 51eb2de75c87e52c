"""Paid APIs: tokens x price card, exact over any number of ticks; what has no price is named."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from exporter.allocation.api import ApiBook
from exporter.config.prices import ModelPrice
from exporter.metering.usage import Usage
from exporter.pricing.card import PriceCard
from exporter.records import NS
from tests.columns import columns, flat

NOON = 1_795_348_800 * NS


def card(**usd_per_mtok: str) -> PriceCard:
    prices = {f"{token}_usd_per_mtok": Decimal(usd) for token, usd in usd_per_mtok.items()}
    return PriceCard((ModelPrice.model_validate({"model": "gpt-*", "provider": "openai", **prices}),), None)


def used(model: str = "gpt-4o", **tokens: int) -> Usage:
    return Usage(tokens=columns({("acme", model, token): amount for token, amount in tokens.items()}))


@given(ticks=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=40), restart=st.integers(0, 40))
def test_spend_is_tokens_times_price_to_the_picodollar_also_across_a_restart(
    ticks: list[tuple[int, int]], restart: int
) -> None:
    """At prices of a tenth and a seventh of a picodollar a token."""
    prices, book, spent = card(input="0.0000001", output="0.000000142857"), ApiBook("openai"), 0
    for number, (prompt, output) in enumerate(ticks):
        if number == restart:
            book = ApiBook("openai", book.carry)
        booked = book.tick(prices, used(input=prompt, output=output), NOON)
        assert sum(booked.cost.values()) == sum(flat(booked.spend).values())
        assert all(amount >= 0 for amount in flat(booked.spend).values())
        spent += sum(flat(booked.spend).values())
    prompt, output = (sum(column) for column in zip(*ticks, strict=True)) if ticks else (0, 0)
    assert spent == math.floor(prompt * Fraction("0.1") + output * Fraction("0.142857"))


def test_a_class_or_a_model_without_a_price_is_unpriced_and_costs_nothing() -> None:
    booked = ApiBook("openai").tick(card(input="2.5"), used(input=4, cache_read=3), NOON)
    assert (booked.unpriced, booked.cost) == ({("gpt-4o", "cache_read"): 3}, {"api": 10_000_000})
    booked = ApiBook("openai").tick(card(input="2.5"), used("claude", input=4), NOON)
    assert (booked.unpriced, booked.cost, booked.spend) == ({("claude", "input"): 4}, {}, {})


def test_reasoning_is_billed_as_output_where_the_card_has_no_price_for_it() -> None:
    booked = ApiBook("openai").tick(card(output="10"), used(reasoning=2), NOON)
    assert booked.spend == {("gpt-4o", "reasoning"): {"acme": 20_000_000}}
