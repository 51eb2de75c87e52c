"""Tenants that spend through a gateway, at providers whose tokens all cost the same, and an exporter with budgets.

The exporter is the real one below HTTP: pages, scan, meters, books and SQLite. A token costs a picodollar times
PICO_PER_TOKEN, so that every amount here is a number of tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from math import inf
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from exporter.books import Books
from exporter.config.schema import Config
from exporter.demo.gateway import SimGateway
from exporter.ledger import families as f
from exporter.ledger.store import Store
from exporter.records import NS, Instant
from exporter.sources.limits import Limits, Room
from exporter.sources.reader import Reader
from exporter.sources.registry import GATEWAYS

USD = 10**12
PICO_PER_TOKEN = 10**6  # a dollar for a million
GATEWAY = "http://edge:4000/metrics"
MINUTE, HOUR, DAY = 60, 3600, 86_400


def at(text: str, zone: str = "UTC") -> int:
    """Unix seconds of that local time."""
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp())


def budget(name: str = "all", limit: str = "100", period: str = "month", **narrow: str) -> dict[str, Any]:
    """One entry of the config's `budgets`."""
    return {"name": name, "limit_usd": Decimal(limit), "period": period, **narrow}


def config(*budgets: Mapping[str, Any], **more: Any) -> Config:
    """A gateway to two providers, one model each."""
    routes = [{"model": "gpt*", "provider": "openai"}, {"model": "*", "provider": "anthropic"}]
    price = {"model": "*", "input_usd_per_mtok": Decimal(1)}
    gateway = {
        "name": "edge", "endpoints": [{"url": GATEWAY}], "tenant_label": "team_alias", "routes": routes,
    }  # fmt: skip
    prices = {"catalog": "none", "models": [price]}
    return Config.model_validate({"prices": prices, "gateways": [gateway], "budgets": budgets} | more)


class World:
    """A gateway and an exporter that ticks, dies and comes back. `skew`: seconds that its wall clock is off."""

    def __init__(self, path: Path | str, start: int, *budgets: Mapping[str, Any], **more: Any) -> None:
        self.path = str(path)
        self.now = start
        self.skew = 0
        self.config = config(*budgets, **more)
        self.gateway = SimGateway(start - 99.0)
        self.boot()
        self.tick(0)

    def instant(self) -> Instant:
        """What the exporter's clocks say."""
        return Instant((self.now - self.booted) * NS, (self.now + self.skew) * NS)

    def boot(self) -> None:
        """Start the exporter on whatever ledger there is."""
        self.booted = self.now - 7
        self.store = Store(self.path)
        self.reader = Reader("litellm", GATEWAYS, Room(Limits(value=inf)))  # of pages that nobody would believe, too
        self.books = Books(self.config, self.store.open(), self.instant())

    def kill(self, down: int = 0) -> None:
        """kill -9, and a new process so many seconds later."""
        self.store.close()
        self.now += down
        self.boot()

    def spend(self, tokens: int, tenant: str = "acme", model: str = "gpt") -> None:
        """A request ended."""
        self.gateway.report(tenant, model, prompt=tokens)

    def tick(self, seconds: int = 15, *, saved: bool = True) -> None:
        """Time passes, then a scrape and a tick; with a full disk, from memory."""
        self.now += seconds
        self.books.observe(self.reader.read(GATEWAY, self.gateway.page(), self.instant()))
        self.books.tick(self.instant())
        changes = self.books.drain()
        if saved:
            self.store.save(changes)
        else:
            self.books.undrain(changes)

    def reload(self, *budgets: Mapping[str, Any], saved: bool = True, **more: Any) -> None:
        """SIGHUP with other budgets, and the tick that follows."""
        self.config = config(*budgets, **more)
        self.books.configure(self.config, self.instant())
        self.tick(0, saved=saved)

    def run(self, until: int, every: int, tokens: int = 0, **who: str) -> None:
        """Spend and tick until that Unix time."""
        while self.now + every <= until:
            if tokens:
                self.spend(tokens, **who)
            self.tick(every)
        if self.now < until:
            self.tick(until - self.now)

    @property
    def gauges(self) -> dict[str, float]:
        """`spent_usd/all`, `burn_rate/all/5m`, ... -> value."""
        found: dict[str, float] = {}
        for name, series in self.books.gauges(self.instant()).items():
            if name.startswith("tokencost_budget_"):
                for labels, value in series.items():
                    found["/".join((name.removeprefix("tokencost_budget_"), *labels))] = value
        return found

    def spent(self, name: str = "all") -> int:
        """Tokens' worth of what is spent of that budget."""
        return round(self.gauges[f"spent_usd/{name}"] * USD / PICO_PER_TOKEN)

    @property
    def ledger(self) -> dict[tuple[str, str, str], int]:
        """The spend counter in tokens' worth: (tenant, model, provider) -> amount."""
        family = self.books.accounts[f.SPEND]
        found: dict[tuple[str, str, str], int] = {}
        for (tenant, model, place, _), value in zip(family.labels, family.values, strict=True):
            found[tenant, model, place] = found.get((tenant, model, place), 0) + value // PICO_PER_TOKEN
        return found
