"""Tenants through a gateway, over random worlds: tokens are the gateway's to the token, and the books close."""

from __future__ import annotations

import shutil
from collections import Counter, deque
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import ClassVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from exporter.books import Books
from exporter.config.schema import Config
from exporter.demo.engine import SimEngine
from exporter.demo.gateway import SimGateway
from exporter.ledger import families as f
from exporter.ledger.accounts import Labels
from exporter.ledger.store import Store
from exporter.records import NS, Instant
from exporter.sources.reader import Reader
from exporter.sources.registry import GATEWAYS
from tests.laws.world import folder_in_memory

START_NS = 1_795_348_800 * NS
ENGINES = ("chat-0", "chat-1")
GATEWAY = "http://edge:4000/metrics"
PRICES = {"input": Decimal("2.5"), "cache_read": Decimal("1.25"), "output": Decimal("10.000000000003")}
CONFIG = Config.model_validate({
    "pools": [{
        "name": "chat", "gpus": {"count": Decimal(2)}, "usd_per_gpu_hour": Decimal("2.49"), "claim_within": "2m",
        "endpoints": [{"url": f"http://{name}:8000/metrics"} for name in ENGINES],
    }],
    "prices": {
        "catalog": "none",
        "models": [{"model": "gpt-*", **{f"{token}_usd_per_mtok": price for token, price in PRICES.items()}}],
    },
    "gateways": [{
        "name": "edge", "engine": "litellm", "endpoints": [{"url": GATEWAY}], "tenant_label": "team_alias",
        "routes": [{"model": "chat*", "pool": "chat"}, {"model": "*", "provider": "openai"}],
    }],
})  # fmt: skip
Tokens = Counter[tuple[str, str, str, str]]


@dataclass
class World:
    """Two engines of one pool, a gateway before them and before a paid API, an exporter."""

    folder: Path
    now_ns: int = START_NS
    engines: dict[str, SimEngine] = field(default_factory=dict)
    gateway: SimGateway = field(default_factory=lambda: SimGateway(START_NS / NS - 99))
    late: deque[dict[str, object]] = field(default_factory=deque)  # requests that ended and are not reported yet

    def __post_init__(self) -> None:
        self.engines = {name: SimEngine("chat", start=START_NS / NS - 99) for name in ENGINES}
        self.seen: tuple[int, Tokens] | None = None  # the gateway's life, and its counters at the last look
        self.expected: Tokens = Counter()
        self.committed: tuple[tuple[int, Tokens] | None, Tokens] = (None, Counter())
        self.boot()

    def instant(self) -> Instant:
        return Instant(self.now_ns - START_NS, self.now_ns)

    def boot(self) -> None:
        self.store = Store(str(self.folder / "ledger.db"))
        saved = self.store.open()
        self.readers = {name: Reader("vllm") for name in ENGINES}
        self.reader = Reader("litellm", GATEWAYS)
        self.books = Books(CONFIG, saved, self.instant())

    def kill(self) -> None:
        self.store.close()
        self.seen, expected = self.committed
        self.expected = Counter(expected)

    def scrape(self, name: str) -> None:
        page = self.engines[name].page()
        self.books.observe(self.readers[name].read(f"http://{name}:8000/metrics", page, self.instant()))

    def scrape_gateway(self) -> None:
        """With an oracle of its own: what this life has reported since the last look."""
        self.books.observe(self.reader.read(GATEWAY, self.gateway.page(), self.instant()))
        now: Tokens = Counter()
        for (team, model, token), amount in self.gateway.lives[-1].items():
            place = "chat" if model.startswith("chat") else "openai"
            now[team or "_unattributed", model, place, token] = amount
        if self.seen is not None:
            life, before = self.seen
            self.expected.update(now if life != len(self.gateway.lives) else now - before)
        self.seen = (len(self.gateway.lives), now)

    def tick(self) -> None:
        self.books.tick(self.instant())
        self.store.save(self.books.drain())
        self.committed = (self.seen, Counter(self.expected))


class Machine(RuleBasedStateMachine):
    """Requests end late, go past the gateway or beyond the engines; every process dies and comes back."""

    steps: ClassVar[int] = 0

    @initialize()
    def begin(self) -> None:
        self.folder = folder_in_memory()
        self.world = World(self.folder)
        self.page: dict[tuple[str, Labels], int] = {}
        self.kept: dict[tuple[str, Labels], int] = {}
        self.world.scrape_gateway()
        for name in ENGINES:
            self.world.scrape(name)
        self.world.tick()
        self.check()

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.store.close()
            shutil.rmtree(self.folder)

    @rule(
        engine=st.sampled_from([*ENGINES, "cache"]), team=st.sampled_from(["acme", "globex", "", "bypass"]),
        model=st.sampled_from(["chat", "chat-lora"]), prompt=st.integers(0, 9999), cached=st.floats(0, 1),
        output=st.integers(0, 9999), late=st.booleans(),
    )  # fmt: skip
    def request_ends(
        self, engine: str, team: str, model: str, prompt: int, cached: float, output: int, late: bool
    ) -> None:
        hit = int(prompt * cached)
        if engine != "cache":  # the gateway's own cache: an answer that no engine made
            self.world.engines[engine].serve(
                "chat",
                prompt=prompt,
                cached=hit,
                output=output,
                prefill_seconds=prompt / 9e3,
                decode_seconds=output / 60,
            )
        if team != "bypass":
            report = {"team": team, "model": model, "prompt": prompt, "cached": hit, "output": output}
            self.world.late.append(report)
            if not late:
                self.reports_arrive()

    @rule()
    def reports_arrive(self) -> None:
        while self.world.late:
            self.world.gateway.report(**self.world.late.popleft())  # type: ignore[arg-type]

    @rule(team=st.sampled_from(["acme", "hooli"]), prompt=st.integers(0, 9999), output=st.integers(0, 999))
    def paid_request(self, team: str, prompt: int, output: int) -> None:
        self.world.gateway.report(team, "gpt-4o", alias="smart", prompt=prompt, cached=prompt // 3, output=output)

    @rule(name=st.sampled_from(ENGINES))
    def engine_restarts(self, name: str) -> None:
        self.world.now_ns += NS // 10
        self.world.engines[name].restart(self.world.now_ns / NS)

    @rule()
    def gateway_restarts(self) -> None:
        self.world.now_ns += NS // 10
        self.world.gateway.restart(self.world.now_ns / NS)

    @rule(wait=st.sampled_from([NS, 15 * NS, 61 * NS, 125 * NS]))
    def time_passes(self, wait: int) -> None:
        self.world.now_ns += wait

    @rule(name=st.sampled_from(ENGINES))
    def scrape(self, name: str) -> None:
        self.world.scrape(name)

    @rule()
    def scrape_gateway(self) -> None:
        self.world.scrape_gateway()

    @rule(everything=st.booleans())
    def tick(self, everything: bool) -> None:
        if everything:
            for name in ENGINES:
                self.world.scrape(name)
            self.world.scrape_gateway()
        self.world.tick()
        self.check()

    @rule(downtime=st.sampled_from([1, 15 * NS, 3600 * NS]))
    def kill_and_come_back(self, downtime: int) -> None:
        self.world.kill()
        self.world.now_ns += downtime
        self.world.boot()
        self.page = self.kept
        self.check()

    @invariant()
    def count(self) -> None:
        type(self).steps += 1

    def check(self) -> None:
        books = self.world.books
        now = {(name, labels): family.get(labels) for name, family in books.accounts.items() for labels in family.rows}
        assert not {key for key, value in self.page.items() if now.get(key, -1) < value}, "law 2"
        self.page = self.kept = now

        def total(family: str, place: str, column: int) -> int:
            return sum(value for (name, labels), value in now.items() if name == family and labels[column] == place)

        paid, spent, idle = total(f.COST, "chat", 0), total(f.SPEND, "chat", 2), total(f.IDLE, "chat", 0)
        assert paid == spent + idle + books.pending("chat"), "law 1 for the pool"
        assert total(f.COST, "openai", 0) == total(f.SPEND, "openai", 2), "law 1 for the provider"

        booked = {labels: value for (name, labels), value in now.items() if name == f.TOKENS and value}
        of_tenants = {labels: value for labels, value in booked.items() if labels[0] != "_unattributed"}
        assert of_tenants == {key: n for key, n in self.world.expected.items() if n and key[0] != "_unattributed"}
        dollars = sum(n * PRICES[key[3]] * 10**6 for key, n in self.world.expected.items() if key[2] == "openai")
        assert total(f.SPEND, "openai", 2) == int(dollars), "tokens x price card, to the picodollar"


def test_the_books_close_behind_a_gateway_in_random_worlds() -> None:
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=400, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
    assert Machine.steps >= 5_000
