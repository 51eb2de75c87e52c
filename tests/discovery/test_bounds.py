"""Targets that come and go for years are bounded on the page: beyond so many they share their health counters."""

from __future__ import annotations

from collections.abc import Iterable

from exporter.books import MOST_TARGETS, Books
from exporter.config.schema import Config, FoundEndpoint
from exporter.errors import Reason
from exporter.ledger import families as f
from exporter.ledger.changes import Saved
from exporter.records import NS, Instant
from tests.discovery.given import FILES, NOON, config, pool


def found(numbers: Iterable[int]) -> Config:
    ends = tuple(FoundEndpoint.model_construct(url=target(number)) for number in numbers)
    written = config(pool("a", FILES))
    return written.model_copy(update={"pools": (written.pools[0].model_copy(update={"endpoints": ends}),)})


def target(number: int) -> str:
    return f"http://10.{number >> 16}.{number >> 8 & 255}.{number & 255}:80/metrics"


def test_health_counters_of_targets_beyond_the_bound_are_one() -> None:
    books = Books(found(range(MOST_TARGETS - 1)), Saved(), Instant(0, NOON))
    for second, numbers in enumerate([range(MOST_TARGETS - 1, MOST_TARGETS + 3), range(MOST_TARGETS + 3)], 1):
        books.configure(found(numbers), Instant(second * NS, NOON))
        for number in (0, MOST_TARGETS - 1, MOST_TARGETS, MOST_TARGETS + 1):
            books.failed(target(number), Reason.CONNECT)
    books.tick(Instant(9 * NS, NOON))
    scrapes, failures = books.accounts[f.SCRAPES], books.accounts[f.FAILURES]
    assert len(scrapes.labels) == len(books.accounts[f.RESETS].labels) == MOST_TARGETS + 1
    for name, times in ((target(0), 1), (target(MOST_TARGETS - 1), 2), ("_other", 4)):
        assert scrapes.get((name,)) == failures.get((name, "connect")) == times
