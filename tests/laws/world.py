"""A small world with a known truth: engines, clocks, a config that changes, and an exporter that can be killed.

The exporter in it is the real one below HTTP: real pages, the real scan, meters, books and SQLite. `truth.py` says,
without any of that, what an observer who looked when it looked must have booked.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from exporter.books import Books
from exporter.config.schema import Config
from exporter.demo.engine import SimEngine
from exporter.demo.tables import LLAMACPP, SGLANG, VLLM
from exporter.errors import Reason, ScrapeError
from exporter.ledger.store import Store
from exporter.records import NS, Instant
from exporter.sources.reader import Reader
from tests.laws.truth import Look, Truth

START_NS = 1_772_406_000 * NS  # 2026-03-01T23:00:00Z, an hour before the first price change
PRICES = [
    {"product": "NVIDIA H100*", "usd_per_hour": Decimal("2.49"), "until": "2026-03-02"},
    {"product": "NVIDIA H100*", "usd_per_hour": Decimal("1.987654321"), "from": "2026-03-02", "until": "2026-03-04"},
    {"product": "NVIDIA H100*", "usd_per_hour": Decimal("3.10"), "from": "2026-03-05"},  # the 4th has no price at all
    {"product": "NVIDIA L4", "usd_per_hour": Decimal("0.333333333333")},
]
POOLS: dict[str, dict[str, Any]] = {
    "chat": {
        "name": "chat",
        "endpoints": [{"url": "http://chat-0:8000/metrics"}, {"url": "http://chat-1:8000/metrics"}],
        "gpus": {"count": Decimal(4), "product": "NVIDIA H100 80GB HBM3"},
        "tenant_label": "lora_name",
    },
    "code": {
        "name": "code",
        "endpoints": [{"url": "http://code:30000/metrics"}],
        "gpus": {"count": Decimal("0.142857"), "product": "NVIDIA L4"},
        "overhead_usd_per_hour": Decimal("0.07"),
        "split": "weights",
    },
    "edge": {
        "name": "edge",
        "endpoints": [{"url": "http://edge:8080/metrics", "model": "tiny"}],
        "gpus": {"count": Decimal(1)},
        "usd_per_gpu_hour": Decimal("0.000000000001"),
        "tenant": "research",
    },
}
FLAVOURS = {"chat-0": VLLM, "chat-1": VLLM, "code": SGLANG, "edge": LLAMACPP}
TENANTS = {"chat-0": ("acme", "globex", ""), "chat-1": ("acme", "globex", ""), "code": ("",), "edge": ("",)}
POOL_OF = {"chat-0": "chat", "chat-1": "chat", "code": "code", "edge": "edge"}
PORTS = {"chat-0": 8000, "chat-1": 8000, "code": 30000, "edge": 8080}


def folder_in_memory() -> Path:
    """A new folder, in memory where the system has one: each tick syncs to disk, and the disk is not what is tested."""
    memory = Path("/dev/shm")  # noqa: S108 - see above
    return Path(tempfile.mkdtemp(prefix="laws-", dir=memory if memory.is_dir() else None))


def target(name: str) -> str:
    """The target label of that engine."""
    return f"http://{name}:{PORTS[name]}/metrics"


def config(without: frozenset[str] = frozenset(), **changes: object) -> Config:
    """A config of the pools above: engines in `without` are left out, `changes` are put on every pool."""
    pools = []
    for name, pool in POOLS.items():
        endpoints = [end for end in pool["endpoints"] if end["url"].split("/")[2].split(":")[0] not in without]
        if endpoints:
            pools.append({**pool, **changes, "name": name, "endpoints": endpoints})
    return Config.model_validate({"prices": {"gpus": PRICES}, "pools": pools, "tenants": {"limit": 3}})


@dataclass
class World:
    """Everything that moves. `skew_ns` is how far the exporter's wall clock is from the true time."""

    folder: Path
    now_ns: int = START_NS
    booted_ns: int = START_NS - 12_345 * NS
    skew_ns: int = 0

    def __post_init__(self) -> None:
        self.engines = {
            name: SimEngine(
                f"model-{name.partition('-')[0]}",
                start=self.now_ns / NS - 1000,
                flavour=flavour,
                tenant_label="lora_name" if POOL_OF[name] == "chat" else "",
                tenants=TENANTS[name][:1],  # the others appear with their first request
                process_metrics=flavour is VLLM,
            )
            for name, flavour in FLAVOURS.items()
        }
        self.config = config()
        self.truth = Truth()
        self.boot()

    # -- the exporter -----------------------------------------------------------------------------------------------

    def instant(self) -> Instant:
        """What the exporter's clocks say."""
        return Instant(self.now_ns - self.booted_ns, self.now_ns + self.skew_ns)

    def boot(self) -> None:
        """Start the exporter on whatever ledger there is."""
        self.store = Store(str(self.folder / "ledger.db"))
        saved = self.store.open()
        self.readers = {name: Reader("auto") for name in self.engines}
        self.books = Books(self.config, saved, self.instant())
        self.truth.boot(self.config, self.instant())

    def kill(self) -> None:
        """kill -9: what was not committed is gone."""
        self.store.close()
        self.truth.rollback()

    def tick(self, *, disk_full: bool = False) -> None:
        """Book and commit; with a full disk, serve from memory."""
        self.books.tick(self.instant())
        self.truth.tick(self.config, self.instant())
        changes = self.books.drain()
        if disk_full:
            self.books.undrain(changes)
            self.books.save_failed()
        else:
            self.store.save(changes)
            self.truth.commit()

    def reload(self, new: Config) -> None:
        """SIGHUP, and the tick that follows it."""
        self.books.configure(new, self.instant())
        self.truth.tick(self.config, self.instant())
        self.truth.configure(new, self.instant())
        self.config = new
        self.tick()

    # -- the engines ------------------------------------------------------------------------------------------------

    def watched(self, name: str) -> bool:
        """Whether the config has that engine."""
        return any(end.target == target(name) for pool in self.config.pools for end in pool.endpoints)

    def scrape(self, name: str) -> None:
        """A good scrape."""
        if not self.watched(name):
            return
        engine = self.engines[name]
        reading = self.readers[name].read(target(name), engine.page(), self.instant())
        self.books.observe(reading)
        self.truth.look(
            POOL_OF[name],
            target(name),
            Look(
                life=len(engine.lives),
                start=engine.process_start if engine.flavour is VLLM else None,
                counts=self.truth.served.get((name, len(engine.lives)), {}),
                cached_inside=engine.flavour is not LLAMACPP,
            ),
        )

    def scrape_badly(self, name: str, cut: int) -> None:
        """A page that breaks off in the middle of a line: a failed scrape, and nothing else."""
        if not self.watched(name):
            return
        page = self.engines[name].page()
        body = page[: cut % len(page)].rstrip(b"\n")
        try:
            self.books.observe(self.readers[name].read(target(name), body, self.instant()))
        except ScrapeError as error:
            self.books.failed(target(name), error.reason)
            return
        raise AssertionError(f"a page cut at {len(body)} of {len(page)} was taken for whole")

    def time_out(self, name: str) -> None:
        """No answer."""
        self.books.failed(target(name), Reason.TIMEOUT)

    def serve(self, name: str, tenant: str, prompt: int, cached: int, output: int) -> None:
        """One finished request."""
        engine = self.engines[name]
        engine.serve(
            engine.models[0], tenant=tenant, prompt=prompt, cached=cached, output=output,
            queue_seconds=0.01, prefill_seconds=prompt / 5000, decode_seconds=output / 50,
        )  # fmt: skip
        counts = self.truth.served.setdefault((name, len(engine.lives)), {})
        llama = engine.flavour is LLAMACPP  # counts the cached tokens apart, and no requests
        model = "tiny" if llama else engine.models[0]
        shown = {"prompt": prompt - cached if llama else prompt, "cached": cached, "output": output}
        for what, amount in (shown if llama else {**shown, "requests": 1}).items():
            key = (self.tenant(name, tenant), model, what)
            counts[key] = counts.get(key, 0) + amount

    def counts(self, name: str) -> list[int]:
        """What the engine's counters stand at."""
        return list(self.truth.served.get((name, len(self.engines[name].lives)), {}).values())

    def tenant(self, name: str, tenant: str) -> str:
        """Who that is in the books."""
        return {"chat": tenant or "_unattributed", "code": "default", "edge": "research"}[POOL_OF[name]]

    def restart(self, name: str) -> None:
        """A new process of that engine."""
        self.engines[name].restart(self.now_ns / NS)


def engine_names() -> list[str]:
    """All engines of the world."""
    return list(FLAVOURS)
