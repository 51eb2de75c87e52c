"""The page says what the books say, in both formats, whatever the labels hold, and however little is redone."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families

from exporter.ledger.accounts import Family, Labels
from exporter.publish.catalog import USD
from exporter.publish.runtime import Runtime
from exporter.publish.view import View
from exporter.publish.writer import CHUNK, Exposition, Format, Rendered
from tests.publish.world import COST, GPUS, HOSTILE, IDLE, SPEND, TOKENS, family, fleet, view

Page = dict[tuple[str, frozenset[tuple[str, str]]], float]
PARSERS: dict[Format, Callable[[str], Iterable[Any]]] = {
    "text": text_string_to_metric_families,
    "openmetrics": openmetrics_parser.text_string_to_metric_families,
}
FORMATS: list[Format] = ["text", "openmetrics"]
LABELS = ("tenant", "model_name", "pool", "token_type")


def parsed(page: bytes, fmt: Format) -> Page:
    samples = [sample for metric in PARSERS[fmt](page.decode()) for sample in metric.samples]
    read = {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}
    assert len(read) == len(samples), "a series twice"
    return read


def fresh(made: View) -> View:
    """The same books in families that were never rendered."""
    families = (family(name, dict(zip(own.labels, own.values, strict=True))) for name, own in made.counters.items())
    return view(*families, gauges=made.gauges)


def bodies(rendered: Rendered) -> list[bytes]:
    return [rendered.body(fmt) for fmt in FORMATS]


@pytest.mark.parametrize("fmt", FORMATS)
@given(accounts=st.dictionaries(st.tuples(HOSTILE, HOSTILE, HOSTILE, HOSTILE), st.integers(0, 10**24), max_size=20))
def test_hostile_labels_and_values_come_back_from_the_official_parsers(
    fmt: Format, accounts: dict[Labels, int]
) -> None:
    page = Exposition().update(view(family(SPEND, accounts))).body(fmt)
    expected = {(SPEND, frozenset(zip(LABELS, labels, strict=True))): value / USD for labels, value in accounts.items()}
    assert parsed(page, fmt) == expected


@pytest.mark.parametrize("fmt", FORMATS)
def test_a_page_with_everything_is_read_by_the_official_parsers(fmt: Format) -> None:
    page = Exposition(Runtime().block).update(fleet()).body(fmt)
    read = parsed(page, fmt)
    assert read[COST, frozenset({("pool", "a100"), ("resource", "gpu")})] == 0.03
    assert read[GPUS, frozenset({("pool", "a100")})] == 1.5
    names = {name for name, _ in read}
    assert {
        "process_cpu_seconds_total",
        "python_info",
        "python_gc_collections_total",
    } <= names or sys.platform != "linux"
    assert not [name for name in names if name.endswith("_created")]


def test_a_label_text_that_utf8_cannot_hold_costs_no_page() -> None:
    page = Exposition().update(view(family(IDLE, {("\ud800",): 1}))).body("text")
    assert parsed(page, "text") == {(IDLE, frozenset({("pool", "\\ud800")})): 1e-12}


def test_formats_differ_in_family_names_and_end() -> None:
    rendered = Exposition().update(view(family(TOKENS, {("t", "m", "p", "input"): 3})))
    text, openmetrics = bodies(rendered)
    sample = b'tokencost_tokens_total{tenant="t",model_name="m",pool="p",token_type="input"} 3\n'
    assert b"# TYPE tokencost_tokens_total counter\n" + sample in text
    assert b"# TYPE tokencost_tokens counter\n" + sample + b"# EOF\n" in openmetrics
    assert text.startswith(b"# HELP ")
    assert text.endswith(sample)


@pytest.mark.parametrize("fmt", FORMATS)
def test_gzip_holds_the_same_page(fmt: Format) -> None:
    rendered = Exposition().update(fleet())
    assert gzip.decompress(rendered.body(fmt, gzip=True)) == rendered.body(fmt)


def test_a_page_of_nothing_is_empty_but_valid() -> None:
    rendered = Exposition().update(view(Family(TOKENS), gauges={GPUS: {}}))
    assert parsed(rendered.body("text"), "text") == {} == parsed(rendered.body("openmetrics"), "openmetrics")
    assert b"# HELP" not in rendered.body("text")


# Few enough names that rows repeat, enough rows that several chunks are touched and left alone.
ADDS = st.lists(
    st.tuples(st.sampled_from([TOKENS, SPEND]), st.integers(0, 5 * CHUNK), st.integers(0, 10**20)), max_size=6 * CHUNK
)


@given(ticks=st.lists(ADDS, min_size=1, max_size=4))
def test_a_page_updated_is_the_page_made_from_scratch(ticks: list[list[tuple[str, int, int]]]) -> None:
    families = {name: Family(name) for name in (TOKENS, SPEND)}
    exposition = Exposition()
    for adds in ticks:
        for name, tenant, amount in adds:
            families[name].add((f"tenant-{tenant}", "m", "p", "input"), amount)
        made = view(*families.values())
        assert bodies(exposition.update(made)) == bodies(Exposition().update(fresh(made)))
        assert not any(own.unrendered for own in families.values())


def test_one_row_of_many_changed() -> None:
    many = family(IDLE, {(f"pool-{number}",): number for number in range(10 * CHUNK + 3)})
    exposition = Exposition()
    exposition.update(view(many))
    many.add(("pool-7",), USD)
    many.add(("new",), 5)
    assert bodies(exposition.update(view(many))) == bodies(Exposition().update(fresh(view(many))))


def test_a_page_handed_out_does_not_change_with_the_books() -> None:
    books = family(IDLE, {("p",): USD})
    exposition = Exposition()
    first = exposition.update(view(books))
    books.add(("p",), USD)
    exposition.update(view(books))
    assert parsed(first.body("text"), "text") == {(IDLE, frozenset({("pool", "p")})): 1.0}


def test_books_loaded_anew_replace_the_old_ones() -> None:
    exposition = Exposition()
    exposition.update(view(family(IDLE, {("p",): USD, ("q",): USD})))
    loaded = family(IDLE, {("q",): 2 * USD})
    loaded.unrendered.clear()  # as after a restore: nothing is marked, yet nothing has been rendered
    assert parsed(exposition.update(view(loaded)).body("text"), "text") == {(IDLE, frozenset({("pool", "q")})): 2.0}


@given(values=st.lists(st.integers(0, 10**30), min_size=2))
def test_counters_are_rounded_once_and_never_fall(values: list[int]) -> None:
    books = Family(IDLE)
    exposition = Exposition()
    seen, total = [0.0], 0
    for value in values:
        books.add(("p",), value)
        total += value
        ((_, shown),) = parsed(exposition.update(view(books)).body("text"), "text").items()
        assert shown == float(Fraction(total, USD))
        seen.append(shown)
    assert seen == sorted(seen)


@pytest.mark.parametrize("value", [2**64 - 1, 2**64, 10**40, 10**400])
def test_a_number_beyond_any_machine_word_costs_no_page(value: int) -> None:
    tokens = family(TOKENS, {("t", "m", "p", "input"): value, ("t", "m", "p", "output"): 7})
    money = family(IDLE, {("p",): value})
    read = parsed(Exposition().update(view(tokens, money)).body("text"), "text")
    largest = int(sys.float_info.max)
    shown = [7.0, min(value, largest), min(value, largest * USD) / USD]
    assert sorted(map(float, read.values())) == sorted(map(float, shown))


@given(values=st.dictionaries(st.tuples(HOSTILE), st.floats(), max_size=8))
def test_gauges_come_back_exactly_and_unknown_is_absent(values: dict[Labels, float]) -> None:
    read = parsed(Exposition().update(view(gauges={GPUS: values})).body("text"), "text")
    finite = {labels: value for labels, value in values.items() if abs(value) < float("inf")}
    assert read == {(GPUS, frozenset({("pool", labels[0])})): value for labels, value in finite.items()}


def test_gauges_go_when_their_labels_go() -> None:
    exposition = Exposition()
    exposition.update(view(gauges={GPUS: {("a",): 1.0, ("b",): 2.0}}))
    page = exposition.update(view(gauges={GPUS: {("b",): 3.0}})).body("text")
    assert parsed(page, "text") == {(GPUS, frozenset({("pool", "b")})): 3.0}
    assert not exposition.update(view()).body("text").strip()


def test_a_metric_outside_the_catalog_is_a_bug() -> None:
    with pytest.raises(KeyError, match="tokencost_surprise"):
        Exposition().update(view(gauges={"tokencost_surprise": {(): 1.0}}))


def test_labels_that_do_not_fit_the_catalog_are_a_bug() -> None:
    with pytest.raises(ValueError, match="zip"):
        Exposition().update(view(family(COST, {("pool-without-resource",): 1})))


def test_whoever_asked_for_the_last_page_finds_this_one_made() -> None:
    exposition = Exposition()
    first = exposition.update(fleet())
    assert first.ready("openmetrics", gzip=True) is None
    second = exposition.update(fleet())
    assert second.ready("openmetrics", gzip=True) == second.body("openmetrics", gzip=True)
    assert second.ready("text") is None
