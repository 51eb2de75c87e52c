"""Every law of CONTRACT.md section 5 that this version can break, over random worlds, against the oracle."""

from __future__ import annotations

import math
import shutil
from decimal import Decimal
from typing import ClassVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from exporter.ledger import families as f
from exporter.ledger.accounts import Labels
from exporter.ledger.departures import ABOUT_TARGETS, KEPT_NS
from exporter.records import NS
from tests.laws.world import POOLS, TENANTS, World, config, engine_names, folder_in_memory, target

ENGINE = st.sampled_from(engine_names())
TENANT = st.sampled_from(["acme", "globex", ""])
TOKENS = st.integers(0, 100_000)
WAIT = st.sampled_from([1, 250_000_000, NS, 15 * NS, 15 * NS + 7, 61 * NS, 601 * NS, 5 * 3600 * NS])
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "usd_per_gpu_hour": st.sampled_from([Decimal("0.7"), Decimal("2.490000000001"), None]),
        "overhead_usd_per_hour": st.sampled_from([Decimal(0), Decimal("0.013")]),
        "split": st.sampled_from(["compute_time", "weights"]),
        "claim_within": st.sampled_from(["30s", "10m"]),
    },
)


class Machine(RuleBasedStateMachine):
    """Engines serve, restart and vanish; scrapes fail; the exporter ticks, reloads, dies and comes back."""

    steps: ClassVar[int] = 0

    @initialize()
    def begin(self) -> None:
        self.folder = folder_in_memory()
        self.world = World(self.folder)
        self.page: dict[tuple[str, Labels], int] = {}
        self.kept: dict[tuple[str, Labels], int] = {}
        self.away: dict[str, int] = {}  # targets that are not in the config, and since when

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.store.close()
            shutil.rmtree(self.folder)

    @rule(name=ENGINE, tenant=TENANT, prompt=TOKENS, cached=st.floats(0, 1), output=TOKENS)
    def engine_serves(self, name: str, tenant: str, prompt: int, cached: float, output: int) -> None:
        self.world.serve(name, tenant if name.startswith("chat") else "", prompt, int(prompt * cached), output)

    @rule(name=ENGINE, running=st.integers(0, 3))
    def engine_is_busy(self, name: str, running: int) -> None:
        engine = self.world.engines[name]
        engine.load(engine.models[0], running=running)

    @rule(name=ENGINE, above=st.booleans())
    def engine_restarts(self, name: str, above: bool) -> None:
        """With counters below the old ones, or already above them when somebody looks."""
        self.world.now_ns += NS // 10  # two processes never start at the same moment
        before = self.world.counts(name)
        self.world.restart(name)
        for tenant in TENANTS[name] if above else ():
            self.world.serve(
                name, tenant, max(before, default=0) + 2, 1 + max(before, default=0) // 2, max(before, default=0) + 1
            )

    @rule(wait=WAIT)
    def time_passes(self, wait: int) -> None:
        self.world.now_ns += wait

    @rule(skew=st.integers(-25 * NS, 25 * NS))
    def wall_clock_steps(self, skew: int) -> None:
        self.world.skew_ns = skew

    @rule(name=ENGINE)
    def scrape(self, name: str) -> None:
        self.world.scrape(name)

    @rule()
    def scrape_all(self) -> None:
        for name in engine_names():
            self.world.scrape(name)

    @rule(name=ENGINE, cut=st.integers(0))
    def scrape_breaks_off(self, name: str, cut: int) -> None:
        self.world.scrape_badly(name, cut)

    @rule(name=ENGINE)
    def scrape_times_out(self, name: str) -> None:
        self.world.time_out(name)

    @rule(scrape=st.booleans(), disk_full=st.booleans())
    def tick(self, scrape: bool, disk_full: bool) -> None:
        if scrape:
            self.scrape_all()
        self.world.tick(disk_full=disk_full)
        self.check(committed=not disk_full)

    @rule(without=st.frozensets(ENGINE, max_size=2), changes=CHANGES)
    def reload(self, without: frozenset[str], changes: dict[str, object]) -> None:
        self.world.reload(config(without, **changes))
        self.check(committed=True)

    @rule(downtime=WAIT, save_first=st.booleans())
    def kill_and_come_back(self, downtime: int, save_first: bool) -> None:
        if save_first:
            self.tick(scrape=False, disk_full=False)
        self.world.kill()
        self.world.now_ns += downtime
        self.world.booted_ns += downtime // 2  # a new process: the monotonic clock is another one
        self.world.boot()
        self.page = self.kept  # what was published from memory while the disk was full is gone
        self.check(committed=False, ticked=False)

    @invariant()
    def count(self) -> None:
        type(self).steps += 1

    def departed(self, family: str, labels: Labels) -> bool:
        """Whether that is about a target which has been out of the config for so long that nobody need know it."""
        return family in ABOUT_TARGETS and self.world.now_ns - self.away.get(labels[0], self.world.now_ns) >= KEPT_NS

    def check(self, *, committed: bool, ticked: bool = True) -> None:
        books, truth = self.world.books, self.world.truth.now
        accounts = books.accounts
        now = {(name, labels): family.get(labels) for name, family in accounts.items() for labels in family.rows}

        fell = {key for key, value in self.page.items() if now.get(key, -1) < value and not self.departed(*key)}
        assert not fell, "law 2: counters never go down"
        away = (target(name) for name in engine_names() if not self.world.watched(name))
        self.away = {name: self.away.get(name, self.world.now_ns) for name in away}
        self.page = now
        if committed:
            self.kept = now

        gauges = books.gauges(self.world.instant())
        for pool in POOLS:
            paid = sum(value for (name, labels), value in now.items() if name == f.COST and labels[0] == pool)
            spent = sum(value for (name, labels), value in now.items() if name == f.SPEND and labels[2] == pool)
            idle = accounts[f.IDLE].get((pool,))
            pending = round(gauges["tokencost_pending_cost_usd"].get((pool,), 0.0) * 10**12)
            assert math.isclose(paid, spent + idle + pending, rel_tol=1e-15, abs_tol=1), "law 1: the books close"
            assert paid == spent + idle + books.pending(pool), "law 1: exactly, in integers"
            for resource in ("gpu", "overhead"):
                exact = truth.cost[pool, resource]
                assert accounts[f.COST].get((pool, resource)) == math.floor(exact), "cost is price x time"

        booked = {labels: value for (name, labels), value in now.items() if name == f.TOKENS and value}
        assert booked == {key: value for key, value in truth.tokens.items() if value}, "laws 3 to 5: tokens are exact"
        for name, series in gauges.items():
            assert all(math.isfinite(value) for value in series.values()), f"law 7: {name} is defined or absent"
        if ticked:
            served = {key[2] for key, value in booked.items() if value}
            live = {labels[0] for labels in gauges["tokencost_live_cost_usd_per_token"]}
            assert live <= served, "law 7: no tokens, no cost per token"


def test_the_laws_hold_in_random_worlds() -> None:
    """At least 10,000 steps; every failure prints a short world that breaks a law."""
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=1200, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
    assert Machine.steps >= 10_000
