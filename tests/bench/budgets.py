"""What 100 budgets add to a tick with 10,000 tenants on three models, and what an hour's end and new budgets cost.

Run: python -m tests.bench.budgets
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from decimal import Decimal
from time import perf_counter
from typing import TypeVar

from exporter.budgets.budgets import Budgets
from exporter.columns import Columns
from exporter.config.schema import Config
from exporter.ledger import families as f
from exporter.ledger.journal import Journal
from exporter.ledger.store import Store
from exporter.records import NS, Instant
from tests.bench.table import Row, alone, markdown
from tests.laws.world import folder_in_memory

T = TypeVar("T")
TENANTS, MODELS, HOURS, ROUNDS = 10_000, 3, 24, 20
START_NS = 1_795_348_800 * NS


def config(mark: str) -> Config:
    """60 budgets of a tenant each, 20 of a model, 20 of all spend."""
    narrow = [{"tenant": f"t{n}"} for n in range(60)] + [{"model": f"m{n % MODELS}"} for n in range(20)] + [{}] * 20
    budgets = [
        {"name": f"{mark}{n}", "limit_usd": Decimal(5000), "period": ("day", "month")[n % 2], **by}
        for n, by in enumerate(narrow)
    ]
    end = {"url": "http://e:8000/metrics"}
    pool = {"name": "p", "endpoints": [end], "gpus": {"count": 1}, "usd_per_gpu_hour": Decimal(1)}
    return Config.model_validate({"pools": [pool], "budgets": budgets})


class World:
    """Accounts, budgets and a ledger in memory's file system: the disk is not what is measured."""

    def __init__(self) -> None:
        self.folder = folder_in_memory()
        self.dice = random.Random(1)
        self.accounts = f.open_books()
        self.journal = Journal(self.accounts)
        self.store = Store(str(self.folder / "ledger.db"))
        self.now_ns = 0
        self.budgets = Budgets(self.accounts[f.SPEND], self.store.open(), self.instant())
        self.budgets.configure(config("a"))

    def instant(self) -> Instant:
        return Instant(self.now_ns, START_NS + self.now_ns)

    def spend(self, active: float) -> dict[str, Columns]:
        """What that share of the tenants spends in a tick, in each model's pool."""
        tenants = [f"t{n}" for n in range(TENANTS) if self.dice.random() < active]
        return {
            f"p{model}": {
                (f"m{model}", token): {tenant: self.dice.randrange(10**9) for tenant in tenants}
                for token in ("input", "cache_read", "output")
            }
            for model in range(MODELS)
        }

    def tick(self, spend: dict[str, Columns], seconds: int = 15) -> list[float]:
        """Milliseconds: at work, saved, gauges made."""
        self.now_ns += seconds * NS
        took = [timed(lambda: self.budgets.begin(self.instant(), seconds * NS))[0]]
        for place, columns in spend.items():
            self.journal.post(place, {}, columns, costs=True)
            took.append(timed(lambda place=place, columns=columns: self.budgets.add(place, columns))[0])  # type: ignore[misc]
        took.append(timed(self.budgets.settle)[0])
        drained, changes = timed(self.budgets.drain)
        return [sum(took), drained + timed(lambda: self.store.save(changes))[0], timed(self.gauges)[0]]

    def gauges(self) -> int:
        return len(list(self.budgets.gauges()))


def timed(work: Callable[[], T]) -> tuple[float, T]:
    began = perf_counter()
    done = work()
    return (perf_counter() - began) * 1e3, done


def rows() -> list[Row]:
    """Medians of ordinary ticks, and single figures of what is rare."""
    figures: list[Row] = []

    def note(name: str, *took: float) -> None:
        figures.append(alone(f"100 budgets: {name}", "ms", took))

    world = World()
    try:
        for active in (0.1, 1.0):
            spend = world.spend(active)
            world.tick(spend)
            steps = zip(*(world.tick(spend) for _ in range(ROUNDS)), strict=True)
            for step, took in zip(("book", "save", "gauges"), steps, strict=True):
                note(f"{TENANTS:,} tenants x {MODELS} models, {active:.0%} active: {step}", *took)
        ends = [world.tick(spend, 3600) for _ in range(HOURS)]
        note("an hour ends in which all tenants spent: book", *(book for book, *_ in ends))
        note("an hour ends in which all tenants spent: save", *(save for _, save, _ in ends))
        world.budgets.configure(config("b"))
        note(f"all of them new, {HOURS} such hours of history: book", world.tick(spend)[0])
        world.store.close()
    finally:
        shutil.rmtree(world.folder)
    return figures


if __name__ == "__main__":
    print(markdown(rows()))
