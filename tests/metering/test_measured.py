"""A large page is measured in a thread and taken on the loop: the books must say what they would have said at once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any

import pytest

from exporter.books import Books
from exporter.config.schema import Config
from exporter.demo.gateway import SimGateway
from exporter.errors import ScrapeError
from exporter.ledger.changes import Changes, Saved
from exporter.records import NS, Instant, Reading
from exporter.sources.reader import Reader
from exporter.sources.registry import GATEWAYS

START = 1_795_348_800
GATEWAY = "http://g:4000/metrics"


def config(limit: int = 1000, tenant_label: str = "team_alias") -> Config:
    route = {"model": "*", "provider": "openai"}
    gateway = {
        "name": "edge",
        "endpoints": [{"url": GATEWAY}],
        "tenant_label": tenant_label,
        "routes": [route],
    }
    return Config.model_validate({"prices": {"catalog": "none"}, "tenants": {"limit": limit}, "gateways": [gateway]})


class Edge:
    """One gateway's successive pages."""

    def __init__(self) -> None:
        self._gateway, self._dice, self._reader = SimGateway(START - 99.0), Random(1), Reader("litellm", GATEWAYS)
        self._now = 0

    def reading(self, tenants: int = 30) -> Reading:
        """The next page, on which many have asked for more."""
        self._now += 15
        for tenant in range(tenants):
            self._gateway.report(f"t{tenant}", "m", prompt=self._dice.randint(2, 999), cached=1, output=7)
        return self._reader.read(GATEWAY, self._gateway.page(), self.at)

    @property
    def at(self) -> Instant:
        return Instant(self._now * NS, (START + self._now) * NS)


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as made:
        yield made


def books(made: Config) -> Books:
    return Books(made, Saved(), Instant(0, START * NS))


def told(book: Books, at: Instant) -> Changes:
    book.tick(at)
    return book.drain()


def tokens(book: Books) -> dict[Any, int]:
    family = book.accounts["tokencost_tokens_total"]
    return dict(zip(family.labels, family.values, strict=True))


def test_measured_beforehand_is_the_same_to_the_last_row(thread: ThreadPoolExecutor) -> None:
    edge, one, other = Edge(), books(config(limit=20)), books(config(limit=20))
    for _ in range(5):
        reading = edge.reading()
        one.observe(reading)
        other.observe(reading, thread.submit(other.measure, reading).result())
        assert told(one, edge.at) == told(other, edge.at)
    assert sum(tokens(one).values()) > 0


def test_a_page_measured_before_a_reload_is_booked_by_the_new_config(thread: ThreadPoolExecutor) -> None:
    edge, one, other = Edge(), books(config()), books(config())
    first = edge.reading()
    for book in (one, other):
        book.observe(first)
    reading = edge.reading()
    measured = thread.submit(other.measure, reading).result()
    for book in (one, other):
        book.configure(config(tenant_label="nobody"), edge.at)
    one.observe(reading)
    other.observe(reading, measured)
    assert told(one, edge.at) == told(other, edge.at)
    assert {labels[0] for labels, count in tokens(other).items() if count} == {"_unattributed"}


def test_a_page_measured_and_not_taken_changes_nothing(thread: ThreadPoolExecutor) -> None:
    """The scrape was cancelled: the next one counts what grew in both."""
    edge, one, other = Edge(), books(config()), books(config())
    first = edge.reading()
    for book in (one, other):
        book.observe(first)
    lost = edge.reading()
    thread.submit(other.measure, lost).result()
    last = edge.reading()
    one.observe(last)
    other.observe(last, thread.submit(other.measure, last).result())
    assert told(one, edge.at) == told(other, edge.at)


def test_a_page_that_came_between_is_not_counted_twice(thread: ThreadPoolExecutor) -> None:
    edge, one, other = Edge(), books(config()), books(config())
    first, between, last = edge.reading(), edge.reading(), edge.reading()
    for book in (one, other):
        book.observe(first)
    measured = thread.submit(other.measure, last).result()
    for book in (one, other):
        book.observe(between)
    one.observe(last)
    other.observe(last, measured)
    assert told(one, edge.at) == told(other, edge.at)


def test_many_readings_between_two_ticks_are_all_saved(thread: ThreadPoolExecutor) -> None:
    """What a reading moved is entered late; a save that failed in between must lose nothing of it."""
    edge, book = Edge(), books(config())
    sizes = []
    for tenants in (30, 20, 10):
        reading = edge.reading(tenants)
        book.observe(reading, thread.submit(book.measure, reading).result())
        sizes.append(len(reading.samples))
    wanted = {series.key: value for series, value in reading.samples.items() if "_tokens_" in series.key}
    lost = told(book, edge.at)
    book.undrain(lost)
    again = told(book, edge.at)
    for changes in (lost, again):
        assert wanted.items() <= changes.baselines[GATEWAY].items()
    assert min(sizes) > 60


def test_a_page_that_is_refused_is_refused_in_the_thread(thread: ThreadPoolExecutor) -> None:
    edge, book = Edge(), books(config())
    before = edge.reading()
    book.observe(before)
    older = Reading(GATEWAY, before.engine, edge.at, (before.process_start or 0) - 999, before.samples)
    with pytest.raises(ScrapeError, match="several processes"):
        thread.submit(book.measure, older).result()
