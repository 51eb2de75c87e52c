"""GPU prices: which row counts, for whom, when, for which kind of purchase; blends and owned hardware are exact."""

from __future__ import annotations

import tracemalloc
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config.prices import GpuPrice, Kind, OwnedGpu, price_tag
from exporter.pricing.book import LONGEST_PRODUCT, MOST_PRICES, PriceBook, midnight_ns
from exporter.records import NS

HOUR = 3600 * NS
H100 = "NVIDIA H100 80GB HBM3"
KINDS: tuple[Kind, ...] = get_args(Kind)
ATTO = Fraction(1, 10**18)


def at(moment: str) -> int:
    return int(datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp()) * NS


NOW = at("2026-03-01T12:00:00")


def row(product: str = "*", **keys: Any) -> GpuPrice | OwnedGpu:
    keys = {"product": product, **{key.removesuffix("_"): value for key, value in keys.items()}}
    kind = OwnedGpu if price_tag(keys) == "price:owned" else GpuPrice
    return kind.model_validate(keys)


def book(*rows: GpuPrice | OwnedGpu) -> PriceBook:
    return PriceBook(rows)


MIXED = book(
    row("NVIDIA H100*", usd_per_hour=3, purchase="on_demand"),
    row("NVIDIA H100*", usd_per_hour=1, purchase="spot"),
    row("NVIDIA H100*", usd_per_hour=9, purchase="spot"),
    row("NVIDIA *", usd_per_hour=2, purchase="reserved"),
    row("*", purchase_usd=8760, years=2),
)


@pytest.mark.parametrize(
    ("product", "purchase", "price"),
    [
        (H100, None, "3"),  # the first row of any kind
        (H100, "on_demand", "3"),
        (H100, "spot", "1"),  # not the later 9
        (H100, "reserved", "2"),
        (H100, "owned", "0.5"),
        ("NVIDIA L4", None, "2"),
        ("NVIDIA L4", "spot", None),
        ("TPU", None, "0.5"),
        ("TPU", "on_demand", None),
        (H100, {"spot": Decimal("0.6"), "on_demand": Decimal("0.4")}, "1.8"),
        (H100, {"spot": Decimal("0.25"), "reserved": Decimal("0.25"), "owned": Decimal("0.5")}, "1"),
        (H100, {"spot": Decimal(1)}, "1"),
        ("NVIDIA L4", {"reserved": Decimal("0.999999"), "spot": Decimal("0.000001")}, None),  # one part has no price
    ],
    ids=str,
)
def test_the_first_row_of_that_kind_counts(product: str, purchase: Any, price: str | None) -> None:
    assert MIXED.usd_per_hour(product, NOW, purchase) == (None if price is None else Decimal(price))


@pytest.mark.parametrize("step", [1, -1])
def test_from_is_inclusive_and_until_exclusive_at_midnight_utc(step: int) -> None:
    """Also when the price was asked for before: what is remembered ends when a price may change."""
    one = book(
        row(usd_per_hour=1, until="2026-01-01"),
        row(usd_per_hour=2, from_="2026-01-01", until="2026-02-01"),
        row(purchase_usd=17520, years=1, from_="2026-01-15", until="2026-03-02"),  # owned, 2 an hour
        row(usd_per_hour=3, from_="2026-03-01"),
    )
    half: dict[Kind, Decimal] = {"owned": Decimal("0.5"), "on_demand": Decimal("0.5")}
    moments: list[tuple[str, str | None, str | None]] = [
        ("1970-01-01T00:00:00", "1", None),
        ("2025-12-31T23:59:59.999999", "1", None),
        ("2026-01-01T00:00:00", "2", None),
        ("2026-01-15T00:00:00", "2", "2"),
        ("2026-01-31T23:59:59.999999", "2", "2"),
        ("2026-02-01T00:00:00", "2", None),  # the owned row: the first of any kind
        ("2026-02-28T23:59:59.999999", "2", None),
        ("2026-03-01T00:00:00", "2", "2.5"),
        ("2026-03-02T00:00:00", "3", None),
        ("2099-01-01T00:00:00", "3", None),
    ]
    for moment, plain, blend in moments[::step]:
        assert one.usd_per_hour("x", at(moment)) == (None if plain is None else Decimal(plain)), moment
        assert one.usd_per_hour("x", at(moment), half) == (None if blend is None else Decimal(blend)), moment


DAYS = st.dates(date(2026, 1, 1), date(2026, 1, 8))
PRODUCTS = ("NVIDIA A100-SXM4-80GB", H100, "L4")


@st.composite
def rows(draw: st.DrawFn) -> GpuPrice | OwnedGpu:
    keys: dict[str, Any] = {"product": draw(st.sampled_from(["*", "NVIDIA*", "*A100*", H100]))}
    kind = draw(st.sampled_from(KINDS))
    usd = draw(st.decimals(0, 1000, places=draw(st.sampled_from([0, 2, 12]))))
    if kind == "owned":
        keys |= {"purchase_usd": usd, "years": draw(st.decimals("0.5", 9, places=3))}
        keys["maintenance_percent_per_year"] = draw(st.decimals(0, 100, places=2))
        keys["utilization_target"] = draw(st.none() | st.decimals("0.01", 1, places=6))
    else:
        keys |= {"usd_per_hour": usd, "purchase": kind}
    start, end = draw(st.none() | DAYS), draw(st.none() | DAYS)
    if start and end and end <= start:
        start, end = None, start
    return row(**keys, from_=start, until=end)


@st.composite
def blends(draw: st.DrawFn) -> dict[Kind, Decimal]:
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=1, unique=True))
    cuts = draw(st.lists(st.integers(1, 10**6 - 1), min_size=len(kinds) - 1, max_size=len(kinds) - 1, unique=True))
    edges = [0, *sorted(cuts), 10**6]
    parts = [Decimal(end - start).scaleb(-6) for start, end in pairwise(edges)]
    return dict(zip(kinds, parts, strict=True))


def truth(rows: list[GpuPrice | OwnedGpu], product: str, day: date, kind: Kind | None) -> Decimal | None:
    """The first row, in the file's order, that is the product's on that day and of that kind."""
    for one in rows:
        stem = one.product.strip("*")
        named = product == stem if "*" not in one.product else stem in product
        holds = (one.from_ or day) <= day and (one.until is None or day < one.until)
        if named and holds and kind in (None, one.purchase):
            return one.usd_per_hour
    return None


@given(st.lists(rows(), max_size=6), st.data())
def test_any_book_says_what_its_rows_say_in_any_order_of_asking(
    rows: list[GpuPrice | OwnedGpu], data: st.DataObject
) -> None:
    one = book(*rows)
    for _ in range(8):
        product = data.draw(st.sampled_from(PRODUCTS))
        day = data.draw(st.dates(date(2025, 12, 31), date(2026, 1, 9)))
        wall_ns = midnight_ns(day) + data.draw(st.integers(0, 24 * HOUR - 1))
        for kind in (None, *KINDS):
            assert one.usd_per_hour(product, wall_ns, kind) == truth(rows, product, day, kind)
        blend = data.draw(blends())
        prices = [truth(rows, product, day, kind) for kind in blend]
        found = one.usd_per_hour(product, wall_ns, blend)
        if None in prices:
            assert found is None
        else:
            exact = sum(
                Fraction(part) * Fraction(price)
                for part, price in zip(blend.values(), prices, strict=True)
                if price is not None
            )
            assert found is not None
            assert abs(Fraction(found) - exact) <= ATTO / 2


@given(blends(), st.decimals(0, 1_000_000, places=12))
def test_a_blend_of_equal_prices_is_the_price(blend: dict[Kind, Decimal], usd: Decimal) -> None:
    kinds = tuple(kind for kind in KINDS if kind != "owned")
    one = book(*(row(usd_per_hour=usd, purchase=kind) for kind in kinds))
    expected = None if "owned" in blend else usd
    assert one.usd_per_hour("x", NOW, blend) == expected


@given(blends(), st.decimals(0, 1_000_000, places=2), st.decimals("0.1", 20, places=1))
def test_a_blend_lies_between_its_prices(blend: dict[Kind, Decimal], usd: Decimal, years: Decimal) -> None:
    one = book(
        *(row(usd_per_hour=n, purchase=kind) for n, kind in enumerate(KINDS[:3])), row(purchase_usd=usd, years=years)
    )
    prices = [price for kind in blend if (price := one.usd_per_hour("x", NOW, kind)) is not None]
    found = one.usd_per_hour("x", NOW, blend)
    assert found is not None
    assert min(prices) <= found <= max(prices)


@given(
    st.decimals(0, 1_000_000, places=2),
    st.decimals("0.000001", 100, places=6),
    st.decimals(0, 100, places=6),
    st.none() | st.decimals("0.000001", 1, places=6),
)
def test_an_owned_gpu_is_paid_for_over_its_years(
    usd: Decimal, years: Decimal, percent: Decimal, target: Decimal | None
) -> None:
    """Price x hours at work as planned is what was paid with its upkeep, to half an atto-USD for each of the hours."""
    keys: dict[str, Any] = {"maintenance_percent_per_year": percent, "utilization_target": target}
    price = book(row(purchase_usd=usd, years=years, **keys)).usd_per_hour("x", NOW, "owned")
    assert price is not None
    assert (Fraction(price) / ATTO).denominator == 1
    hours = Fraction(years) * 8760
    paid = Fraction(usd) * (1 + Fraction(percent) / 100 * Fraction(years))
    booked = Fraction(price) * hours * Fraction(target or 1)
    assert abs(booked - paid) <= ATTO / 2 * hours


@given(st.lists(rows(), max_size=5), st.integers(-2 * 24 * HOUR, 9 * 24 * HOUR), st.integers(0, 9 * 24 * HOUR))
def test_pieces_are_the_whole_and_every_price_is_one_number_in_each(
    rows: list[GpuPrice | OwnedGpu], start: int, length: int
) -> None:
    start += midnight_ns(date(2026, 1, 1))
    one = book(*rows)
    pieces = one.segments(start, start + length)
    assert pieces[0][0] == start
    assert pieces[-1][1] == start + length
    assert all(end == begin for (_, end), (begin, _) in pairwise(pieces))
    for begin, end in pieces:
        for kind in (None, *KINDS):
            if end > begin:
                assert one.usd_per_hour(H100, begin, kind) == one.usd_per_hour(H100, end - 1, kind)
    edges = {midnight_ns(edge) for each in rows for edge in (each.from_, each.until) if edge}
    assert {begin for begin, _ in pieces[1:]} == {edge for edge in edges if start < edge < start + length}


def test_names_without_end_do_not_fill_the_memory() -> None:
    one = book(row("NVIDIA*", usd_per_hour=1))

    def ask(first: int) -> None:
        for number in range(first, first + MOST_PRICES):
            one.usd_per_hour(f"GPU {number:09}", NOW)

    tracemalloc.start()
    try:
        ask(0)
        before = tracemalloc.get_traced_memory()[0]
        ask(MOST_PRICES)
        for number in range(100):
            assert one.usd_per_hour(f"NVIDIA {number}" + "x" * 100_000, NOW) == 1  # long, but priced
        assert tracemalloc.get_traced_memory()[0] < before + 1_000_000
    finally:
        tracemalloc.stop()


def test_a_name_that_is_just_not_too_long_has_the_same_price_as_a_longer_one() -> None:
    for length in (LONGEST_PRODUCT, LONGEST_PRODUCT + 1):
        assert MIXED.usd_per_hour("NVIDIA H100".ljust(length, "x"), NOW) == 3


def test_without_rows_nothing_has_a_price_at_any_time() -> None:
    one = book()
    for wall_ns in (0, NOW, at("9999-12-31T00:00:00"), 1 << 80):
        assert one.usd_per_hour("x", wall_ns) is None
        assert one.usd_per_hour("x", wall_ns, {"spot": Decimal(1)}) is None
    assert one.segments(NOW, NOW + int(timedelta(days=9).total_seconds()) * NS) == [(NOW, NOW + 9 * 24 * HOUR)]
