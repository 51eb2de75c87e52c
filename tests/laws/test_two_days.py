"""Two days of the demo's fleet, every scrape and every tick of them: nothing drifts."""

from __future__ import annotations

from collections import Counter
from datetime import date
from fractions import Fraction
from pathlib import Path

import pytest

from exporter.books import Books
from exporter.config.gpus import StaticGpus
from exporter.config.load import load
from exporter.config.schema import Config
from exporter.demo.fleet import Fleet, demo_fleet
from exporter.demo.serve import GATEWAY, demo_config
from exporter.errors import Reason
from exporter.ledger import families as f
from exporter.ledger.changes import Saved
from exporter.records import NS, Instant
from exporter.sources.reader import Reader
from exporter.sources.registry import GATEWAYS

DAY = date(2026, 11, 22)
NOON = 1_795_348_800  # of that day, UTC
STEP = 15
DAYS = 2
Seen = dict[tuple[str, int], Counter[tuple[str, str, str]]]  # (engine, life) -> tokens on its last page


class Watched:
    """The fleet, the books, and what was on the pages that the books saw."""

    def __init__(self, folder: Path) -> None:
        self.fleet: Fleet = demo_fleet(NOON, seed=7, day_seconds=86_400)
        urls = {name: f"http://{name}:8000/metrics" for name in (*self.fleet.engines, GATEWAY)}
        path = folder / "tokencost.yml"
        path.write_text(demo_config(self.fleet, urls))
        self.config: Config = load(path, today=DAY)
        self.books = Books(self.config, Saved(), Instant(0, NOON * NS))
        self.seen: Seen = {}
        self._urls = urls
        self._readers = {name: Reader("auto") for name in self.fleet.engines}
        self._edge = Reader("auto", GATEWAYS)

    def live(self) -> None:
        """All of it, scrape by scrape."""
        for step in range(DAYS * 86_400 // STEP + 1):
            now = NOON + step * STEP
            at = Instant(step * STEP * NS, now * NS)
            if step:
                self.fleet.advance(STEP, now)
            for name, engine in self.fleet.engines.items():
                if self.fleet.up(name):
                    self.books.observe(self._readers[name].read(self._urls[name], engine.page(), at))
                    self.seen[name, len(engine.lives)] = Counter(engine.lives[-1])
                else:
                    self.books.failed(self._urls[name], Reason.CONNECT)
            self.books.observe(self._edge.read(self._urls[GATEWAY], self.fleet.gateway.page(), at))
            self.books.tick(at)

    def rows(self, family: str) -> list[tuple[tuple[str, ...], int]]:
        """The accounts of a family."""
        accounts = self.books.accounts[family]
        return list(zip(accounts.labels, accounts.values, strict=True))


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    """Engines crash about 290 times each, some tokens die with them unseen; a tenant runs away, one goes past the
    gateway."""
    watched = Watched(tmp_path_factory.mktemp("two-days"))
    watched.live()
    return watched


def test_cost_is_price_times_time_to_the_picodollar(watched: Watched) -> None:
    for pool in watched.config.pools:
        assert isinstance(pool.gpus, StaticGpus)
        price = next(row.usd_per_hour for row in watched.config.prices.gpus if row.covers(pool.gpus.product, DAY))
        exact = Fraction(price) * Fraction(pool.gpus.count) * 24 * DAYS * 10**12
        assert watched.books.accounts[f.COST].get((pool.name, "gpu")) == exact


@pytest.mark.parametrize("place", ["chat-70b", "code-32b", "openai"])
def test_the_books_close(watched: Watched, place: str) -> None:
    paid = sum(value for labels, value in watched.rows(f.COST) if labels[0] == place)
    spent = sum(value for labels, value in watched.rows(f.SPEND) if labels[2] == place)
    idle = sum(value for labels, value in watched.rows(f.IDLE) if labels[0] == place)
    assert paid == spent + idle + watched.books.pending(place)
    assert spent > 0


def test_tenants_tokens_are_those_that_the_gateway_reported(watched: Watched) -> None:
    booked: Counter[tuple[str, str, str, str]] = Counter()
    for (tenant, model, place, token), value in watched.rows(f.TOKENS):
        if tenant != "_unattributed" and place != "code-32b":
            booked[place, model, tenant, token] += value
    assert +booked == +watched.fleet.reported


def test_what_went_past_the_gateway_is_nobodys(watched: Watched) -> None:
    """In money about the bypasser's share of the output: more, as it also comes at night, when a token is dearer, and
    what died with crashed engines is nobody's too."""
    spent: Counter[str] = Counter()
    for (tenant, _, place, _), value in watched.rows(f.SPEND):
        if place == "chat-70b":
            spent[tenant] += value
    output: Counter[str] = Counter()
    for (pool, _, tenant, token), value in watched.fleet.truth.items():
        if pool == "chat-70b" and token == "output":  # noqa: S105 - a class of tokens
            output[tenant] += value
    truth = output["umbrella"] / output.total()
    assert 0.8 * truth < spent["_unattributed"] / spent.total() < 1.6 * truth


def test_every_token_of_a_disaggregated_pool_that_was_on_a_page_is_booked_once(watched: Watched) -> None:
    expected: Counter[str] = Counter()
    for (name, _), life in watched.seen.items():
        for (_, _, token), amount in life.items():
            if name.startswith("code-32b") and (token == "output") == ("decode" in name):  # noqa: S105 - a class
                expected[token] += amount
    booked: Counter[str] = Counter()
    for (_, _, place, token), value in watched.rows(f.TOKENS):
        if place == "code-32b":
            booked[token] += value
    assert +booked == +expected


def test_every_process_that_was_seen_counts_as_one_restart(watched: Watched) -> None:
    engines = [value for labels, value in watched.rows(f.RESETS) if GATEWAY not in labels[0]]
    assert sum(engines) == len(watched.seen) - len(watched.fleet.engines)
