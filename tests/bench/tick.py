"""A tick with 10,000 tenants on three models behind one gateway: what holds the loop, and what a worker does beside it.

Run: python -m tests.bench.tick
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from time import thread_time
from typing import Any, TypeVar

from exporter.books import Books
from exporter.config.schema import Config
from exporter.demo.engine import SimEngine
from exporter.demo.gateway import SimGateway
from exporter.ledger.changes import Saved
from exporter.ledger.store import Store
from exporter.publish.view import View
from exporter.publish.writer import Exposition
from exporter.records import NS, Instant
from exporter.sources.reader import Reader
from exporter.sources.registry import GATEWAYS
from tests.bench.scan import variants, vllm_page
from tests.bench.table import Row, alone, markdown

T = TypeVar("T")
TENANTS, MODELS, ENGINES, ROUNDS = 10_000, 3, 1_000, 5
START_NS = 1_795_348_800 * NS
STEPS = ("measure the gateway's page", "observe it", "collect", "book", "save", "gauges and page")
GOALS = {"book": 50.0}


class World:
    """Engines, a gateway, books, a ledger and a page, one interval after another."""

    def __init__(self, folder: Path) -> None:
        self.random = random.Random(1)
        self.engines = [SimEngine(f"m{number}", start=START_NS / NS - 99) for number in range(MODELS)]
        self.gateway = SimGateway(START_NS / NS - 99)
        self.readers = [Reader("vllm") for _ in self.engines]
        self.edge = Reader("litellm", GATEWAYS)
        self.store = Store(str(folder / "ledger.db"))
        self.books = Books(_config(), self.store.open(), Instant(0, START_NS))
        self.exposition = Exposition()
        self.now_ns = 0
        for tenant in range(TENANTS):
            for number in range(MODELS):
                self.gateway.report(
                    f"t{tenant}", f"m{number}", prompt=2, cached=1, output=1
                )  # so that all its series are there
        self.interval(0.0)

    def interval(self, active: float) -> list[float]:
        """One interval in which that share of the tenants asks each model; CPU milliseconds of each step."""
        self.now_ns += 15 * NS
        for tenant in range(TENANTS):
            for number in range(MODELS) if self.random.random() < active else ():
                prompt, output = self.random.randint(1, 2000), self.random.randint(1, 500)
                self.gateway.report(f"t{tenant}", f"m{number}", prompt=prompt, cached=prompt // 3, output=output)
                self.engines[number].serve(
                    f"m{number}", prompt=prompt, cached=prompt // 3, output=output,
                    prefill_seconds=prompt / 9e3, decode_seconds=output / 50,
                )  # fmt: skip
        at = Instant(self.now_ns, START_NS + self.now_ns)
        for number, engine in enumerate(self.engines):
            self.books.observe(self.readers[number].read(f"http://e{number}:8000/metrics", engine.page(), at))
        reading = self.edge.read("http://g:4000/metrics", self.gateway.page(), at)
        took: list[float] = []

        def timed(work: Callable[[], T]) -> T:
            began = thread_time()
            done = work()
            took.append((thread_time() - began) * 1e3)
            return done

        measured = timed(lambda: self.books.measure(reading))
        timed(lambda: self.books.observe(reading, measured))
        found = timed(lambda: self.books.collect(at))
        timed(lambda: self.books.book(found))
        timed(lambda: self.store.save(self.books.drain()))
        timed(lambda: self.exposition.update(View(at, at, self.books.accounts, self.books.gauges(at), ())).body("text"))
        return took


def _pools(count: int) -> list[dict[str, Any]]:
    return [
        {
            "name": f"p{number}",
            "gpus": {"count": Decimal(2)},
            "usd_per_gpu_hour": Decimal("2.49"),
            "endpoints": [{"url": f"http://e{number}:8000/metrics"}],
        }
        for number in range(count)
    ]


def _config() -> Config:
    gateway = {
        "name": "edge",
        "endpoints": [{"url": "http://g:4000/metrics"}],
        "tenant_label": "team_alias",
        "routes": [{"model": f"m{number}", "pool": f"p{number}"} for number in range(MODELS)],
    }
    return Config.model_validate({"tenants": {"limit": 2 * TENANTS}, "pools": _pools(MODELS), "gateways": [gateway]})


def many_targets() -> list[float]:
    """CPU ms of booking 1,000 engines in pools of ten that all served in the interval: collected, merged, booked."""
    pages = variants(vllm_page(), ROUNDS + 2)
    pools = [
        {**pool, "endpoints": [{"url": f"http://e{10 * n + m}:8000/metrics"} for m in range(10)]}
        for n, pool in enumerate(_pools(ENGINES // 10))
    ]
    config = Config.model_validate({"pools": pools})
    names = [end.target for pool in config.pools for end in pool.endpoints]
    books, readers = Books(config, Saved(), Instant(0, START_NS)), {name: Reader("vllm") for name in names}
    took: list[float] = []
    for number, page in enumerate(pages):
        at = Instant(number * 15 * NS, START_NS + number * 15 * NS)
        for name, reader in readers.items():
            books.observe(reader.read(name, page, at))
        began = thread_time()
        books.tick(at)
        took.append((thread_time() - began) * 1e3)
        books.drain()
    return took[2:]


def rows() -> list[Row]:
    """For a tenth of the tenants active in the interval and for all of them; then for many engines."""
    found: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        for active in (0.1, 1.0):
            world.interval(active)
            steps = zip(*(world.interval(active) for _ in range(ROUNDS)), strict=True)
            for step, took in zip(STEPS, steps, strict=True):
                name = f"{TENANTS:,} tenants x {MODELS} models, {active:.0%} active: {step}"
                found.append(alone(name, "CPU ms", took, GOALS.get(step) if active < 1 else None))
        world.store.close()
    found.append(alone(f"{ENGINES:,} engines, all active: tick", "CPU ms", many_targets(), GOALS["book"]))
    return found


if __name__ == "__main__":
    print(markdown(rows()))
