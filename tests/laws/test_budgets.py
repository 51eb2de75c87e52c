"""The laws over budgets: whatever dies, fills up or runs wild, they say what the ledger says, and so does a run that
nothing ever happened to."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from exporter.books import Books
from exporter.config.schema import Config
from exporter.ledger.store import Store
from exporter.records import NS, Instant
from exporter.sources.reader import Reader
from exporter.sources.registry import GATEWAYS
from tests.budget.world import DAY, GATEWAY, HOUR, MINUTE, PICO_PER_TOKEN, USD, World, at, budget, config
from tests.laws.world import folder_in_memory

START = at("2026-10-31T20:00")  # New York's last day of summer time is the first of a month, and a Sunday
KINDS: dict[str, dict[str, str]] = {
    "day": {"period": "day", "timezone": "America/New_York"},
    "week": {"period": "week", "timezone": "America/New_York"},
    "month": {"period": "month", "timezone": "America/New_York"},
    "quarter": {"period": "quarter", "timezone": "Europe/Berlin"},
    "year": {"period": "year"},
    "acme": {"period": "day", "timezone": "Asia/Tokyo", "tenant": "acme"},
    "gpt": {"period": "day", "model": "gpt"},
    "both": {"period": "month", "tenant": "acme", "pool": "anthropic"},
}
Who = tuple[str, str, str]
Dated = list[tuple[int, Counter[Who]]]  # (date in Unix seconds, what was booked then in tokens' worth)


def budgets(chosen: dict[str, str], suffix: str = "") -> list[dict[str, Any]]:
    return [budget(kind + suffix, limit, **KINDS[kind]) for kind, limit in chosen.items()]


@dataclass
class Truth:
    """What was booked when, and the rule that dates it: a clock that steps back by up to an hour waits."""

    date: int
    dated: Dated = field(default_factory=list)
    booked: Counter[Who] = field(default_factory=Counter)

    def tick(self, wall: int, ledger: dict[Who, int]) -> None:
        if not 0 < self.date - wall <= HOUR:
            self.date = wall
        self.dated.append((self.date, Counter(ledger) - self.booked))
        self.booked = Counter(ledger)

    def spent(self, kind: dict[str, str]) -> int:
        """By asking for each tick whether it lies in the same period as now, there."""
        where = ZoneInfo(kind.get("timezone", "UTC"))
        name: Callable[[datetime], Any] = {
            "day": datetime.date, "week": lambda local: local.isocalendar()[:2],
            "month": lambda local: (local.year, local.month),
            "quarter": lambda local: (local.year, (local.month - 1) // 3), "year": lambda local: local.year,
        }[kind["period"]]  # fmt: skip
        now = name(datetime.fromtimestamp(self.date, where))
        wanted = (kind.get("tenant"), kind.get("model"), kind.get("pool"))
        return sum(
            amount
            for date, amounts in self.dated
            if name(datetime.fromtimestamp(date, where)) == now
            for who, amount in amounts.items()
            if all(one in (None, own) for one, own in zip(wanted, who, strict=True))
        )


class Twin:
    """An exporter that lives through the same ticks, and is never killed."""

    def __init__(self, world: World) -> None:
        self._lived: list[tuple[Config | None, Instant, bytes]] = []
        self._kept = 0
        self._first = world.config
        self.start()

    def start(self) -> None:
        self.store = Store(":memory:")
        self.reader = Reader("litellm", GATEWAYS)
        self.books = Books(self._first, self.store.open(), Instant(START * NS, START * NS))

    def live(self, new: Config | None, world: World) -> None:
        moment = (new, Instant(world.now * NS, world.instant().wall_ns), world.gateway.page())
        self._lived.append(moment)
        self._live(*moment)

    def _live(self, new: Config | None, instant: Instant, page: bytes) -> None:
        if new:
            self.books.configure(new, instant)
        self.books.observe(self.reader.read(GATEWAY, page, instant))
        self.books.tick(instant)
        self.store.save(self.books.drain())

    def commit(self) -> None:
        self._kept = len(self._lived)

    def forget(self) -> None:
        """Live again, without what was not saved."""
        if self._kept < len(self._lived):
            del self._lived[self._kept :]
            self.store.close()
            self.start()
            for moment in self._lived:
                self._live(*moment)


class Story:
    """The world, its twin and the truth."""

    def __init__(self) -> None:
        self.folder = folder_in_memory()
        self.kinds = {kind: (kind, "100") for kind in KINDS}  # name -> kind, limit
        self.world = World(self.folder / "ledger.db", START, *budgets(dict.fromkeys(KINDS, "100")))
        self.truth = Truth(START)
        self.truth.tick(START, self.world.ledger)
        self.twin = Twin(self.world)
        self.twin.live(None, self.world)
        self.commit()

    def end(self) -> None:
        self.world.store.close()
        self.twin.store.close()
        shutil.rmtree(self.folder)

    def commit(self) -> None:
        self.twin.commit()
        self.kept = Truth(self.truth.date, list(self.truth.dated), Counter(self.truth.booked))

    def tick(self, wait: int, *, saved: bool = True) -> None:
        self.world.tick(wait, saved=saved)
        self.lived(None, saved=saved)

    def lived(self, new: Config | None, *, saved: bool) -> None:
        world = self.world
        self.truth.tick(world.now + world.skew, world.ledger)
        self.twin.live(new, world)
        if saved:
            self.commit()
        self.check()

    def reload(self, chosen: dict[str, str], suffix: str) -> None:
        self.world.reload(*budgets(chosen, suffix))
        self.kinds = {kind + suffix: (kind, limit) for kind, limit in chosen.items()}
        self.lived(config(*budgets(chosen, suffix)), saved=True)

    def kill(self, down: int, *, ticked: int) -> None:
        """After that many ticks that were booked and not saved."""
        for _ in range(ticked):
            self.world.tick(15, saved=False)
        self.world.kill(down)
        self.twin.forget()
        self.truth = Truth(self.kept.date, list(self.kept.dated), Counter(self.kept.booked))
        self.tick(0)

    def check(self) -> None:
        gauges = self.world.gauges
        for name, (kind, limit) in self.kinds.items():
            spent = self.truth.spent(KINDS[kind])
            assert gauges[f"spent_usd/{name}"] == spent * PICO_PER_TOKEN / USD, (
                "it is what the ledger has in the period"
            )
            assert gauges[f"limit_usd/{name}"] == float(limit)
            out = gauges.get(f"exhaustion_timestamp_seconds/{name}")
            assert (out is not None and out <= self.truth.date) == (spent * PICO_PER_TOKEN >= float(limit) * USD)
            start, end = (gauges[f"period_{edge}_timestamp_seconds/{name}"] for edge in ("start", "end"))
            assert start <= self.truth.date < end
            assert out is None or out < end
        mine, twins = (
            {metric: series for metric, series in books.gauges(self.world.instant()).items() if "budget" in metric}
            for books in (self.world.books, self.twin.books)
        )
        assert mine == twins, "law 5: as if nothing had happened"


class Machine(RuleBasedStateMachine):
    """Tenants spend; the exporter ticks, reloads, dies and comes back; its disk fills, its clock steps."""

    @initialize()
    def begin(self) -> None:
        self.story = Story()

    def teardown(self) -> None:
        if hasattr(self, "story"):
            self.story.end()

    @rule(
        tokens=st.integers(1, 90_000_000),
        tenant=st.sampled_from(["acme", "globex", ""]),
        model=st.sampled_from(["gpt", "gpt-5", "claude"]),
    )
    def somebody_spends(self, tokens: int, tenant: str, model: str) -> None:
        self.story.world.spend(tokens, tenant, model)

    @rule(wait=st.sampled_from([0, 1, 15, MINUTE + 1, 10 * MINUTE, HOUR - 1, 5 * HOUR, DAY]), saved=st.booleans())
    def exporter_ticks(self, wait: int, saved: bool) -> None:
        self.story.tick(wait, saved=saved)

    @rule(skew=st.sampled_from([0, 0, -10 * MINUTE, -HOUR, -HOUR - 1, 3 * HOUR, -2 * DAY, 40 * DAY]))
    def wall_clock_steps(self, skew: int) -> None:
        """While the exporter runs: across a restart nobody can tell a step from time that passed."""
        self.story.world.skew = skew
        self.story.tick(1)

    @rule(
        chosen=st.dictionaries(st.sampled_from(list(KINDS)), st.sampled_from(["0.5", "100", "5000"]), max_size=5),
        suffix=st.sampled_from(["", "-2"]),
    )
    def config_is_reloaded(self, chosen: dict[str, str], suffix: str) -> None:
        self.story.reload(chosen, suffix)

    @rule(down=st.sampled_from([0, 1, 20, HOUR, 2 * DAY]), ticked=st.integers(0, 2))
    def exporter_is_killed_and_started_again(self, down: int, ticked: int) -> None:
        self.story.kill(down, ticked=ticked)


def test_budgets_say_what_the_ledger_says_in_random_worlds() -> None:
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=100, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


def test_fifty_kills_across_the_end_of_a_month_and_of_summer_time() -> None:
    story, dice = Story(), random.Random(7)
    try:
        for _ in range(50):
            for _ in range(dice.randrange(4)):
                story.world.spend(
                    dice.randrange(10**7), dice.choice(["acme", "globex"]), dice.choice(["gpt", "claude"])
                )
                story.tick(dice.choice([15, 300, 1200]), saved=dice.random() < 0.8)
            story.kill(dice.choice([1, 60, 900]), ticked=dice.randrange(3))
        assert story.world.now > at("2026-11-01T07:00"), "it has seen both"
        amounts = sum(sum(amounts.values()) for _, amounts in story.truth.dated)
        assert amounts == sum(story.world.ledger.values()) > 0
    finally:
        story.end()
