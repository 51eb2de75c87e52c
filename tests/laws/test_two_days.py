"""Two days of the demo's fleet, every scrape and every tick of them: nothing drifts."""

from __future__ import annotations

from collections import Counter
from datetime import date
from fractions import Fraction
from pathlib import Path

from exporter.books import Books
from exporter.config.load import load
from exporter.config.schema import StaticGpus
from exporter.demo.fleet import demo_fleet
from exporter.demo.serve import demo_config
from exporter.errors import Reason
from exporter.ledger import families as f
from exporter.ledger.changes import Saved
from exporter.records import NS, PROMPT_CLASSES, Instant
from exporter.sources.reader import Reader

DAY = date(2026, 11, 22)
NOON = 1_795_348_800  # of that day, UTC
STEP = 15
DAYS = 2


def test_two_days_cost_price_times_time_and_count_every_token_that_was_seen(tmp_path: Path) -> None:
    """Engines crash about 290 times each, some tokens die with them unseen; all that was on a page is in the books."""
    fleet = demo_fleet(NOON, seed=7, day_seconds=86_400)
    urls = {name: f"http://{name}:8000/metrics" for name in fleet.engines}
    path = tmp_path / "tokencost.yml"
    path.write_text(demo_config(fleet, urls))
    config = load(path, today=DAY)
    roles = {end.target: end.role for pool in config.pools for end in pool.endpoints}
    readers = {name: Reader("auto") for name in fleet.engines}
    books = Books(config, Saved(), Instant(0, NOON * NS))

    seen: dict[tuple[str, int], Counter[tuple[str, str, str]]] = {}
    for step in range(DAYS * 86_400 // STEP + 1):
        now = NOON + step * STEP
        at = Instant(step * STEP * NS, now * NS)
        if step:
            fleet.advance(STEP, now)
        for name, engine in fleet.engines.items():
            if fleet.up(name):
                books.observe(readers[name].read(urls[name], engine.page(), at))
                seen[name, len(engine.lives)] = Counter(engine.lives[-1])
            else:
                books.failed(urls[name], Reason.CONNECT)
        books.tick(at)

    expected: Counter[tuple[str, str]] = Counter()
    for (name, _), life in seen.items():
        for (model, _, token), amount in life.items():
            role = roles[urls[name]]
            if role == "any" or (token in PROMPT_CLASSES) == (role == "prefill"):
                expected[model, token] += amount
    booked: Counter[tuple[str, str]] = Counter()
    for labels, value in zip(books.accounts[f.TOKENS].labels, books.accounts[f.TOKENS].values, strict=True):
        booked[labels[1], labels[3]] += value
    assert +booked == +expected
    total = sum(fleet.truth.values())
    assert sum(expected.values()) > 0.98 * total, "what crashes took with them unseen is a small part"

    for pool in config.pools:
        assert isinstance(pool.gpus, StaticGpus)
        price = next(row.usd_per_hour for row in config.prices.gpus if row.covers(pool.gpus.product, DAY))
        exact = Fraction(price) * Fraction(pool.gpus.count) * 24 * DAYS * 10**12
        paid = books.accounts[f.COST].get((pool.name, "gpu"))
        assert paid == exact, "to the picodollar"
        rows = zip(books.accounts[f.SPEND].labels, books.accounts[f.SPEND].values, strict=True)
        spent = sum(value for labels, value in rows if labels[2] == pool.name)
        overhead = books.accounts[f.COST].get((pool.name, "overhead"))
        assert paid + overhead == spent + books.accounts[f.IDLE].get((pool.name,)) + books.pending(pool.name)
    resets = sum(books.accounts[f.RESETS].values)
    assert resets == len(seen) - len(fleet.engines), "every process that was seen, and none twice"
