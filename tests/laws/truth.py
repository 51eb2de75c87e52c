"""The oracle: what must be in the books, by first principles and exact fractions. Shares no code with the books."""

from __future__ import annotations

import copy
import math
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction

from exporter.config.gpus import StaticGpus
from exporter.config.schema import Config, Pool
from exporter.records import Instant

HOUR_NS = 3_600_000_000_000
PICO = 10**12
Counts = dict[tuple[str, str, str], int]  # (tenant, model, prompt | cached | output | requests)


@dataclass(frozen=True)
class Look:
    """What a page said: which life of the process, its start time if the page has one, its counters."""

    life: int
    start: float | None
    counts: Counts
    cached_inside: bool


@dataclass
class Seen:
    """What was last seen of a target, and what its use adds up to per class: summed, and as far as it only grew."""

    life: int
    counts: Counts
    summed: dict[tuple[str, str, str], int] = field(default_factory=lambda: defaultdict(int))
    grown: dict[tuple[str, str, str], int] = field(default_factory=lambda: defaultdict(int))


@dataclass
class State:
    """What a kill takes back to the last commit."""

    cost: dict[tuple[str, str], Fraction] = field(default_factory=lambda: defaultdict(Fraction))
    tokens: dict[tuple[str, str, str, str], int] = field(default_factory=lambda: defaultdict(int))
    seen: dict[str, Seen] = field(default_factory=dict)
    left: dict[str, int] = field(default_factory=dict)  # when a target left the config
    watched_since: dict[str, int] = field(default_factory=dict)
    accrued_to: dict[str, int] = field(default_factory=dict)
    gaps: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    new_tokens: dict[tuple[str, str, str, str], int] = field(default_factory=lambda: defaultdict(int))
    proven: list[tuple[str, int, int]] = field(default_factory=list)


def price(config: Config, pool: Pool, day: date) -> Fraction:
    """USD per GPU-hour that day; 0 where there is no price, since then nothing accrues."""
    if pool.usd_per_gpu_hour is not None:
        return Fraction(pool.usd_per_gpu_hour)
    assert isinstance(pool.gpus, StaticGpus)
    for row in config.prices.gpus:
        stem = row.product.rstrip("*")
        if pool.gpus.product.startswith(stem) and (row.from_ or day) <= day and (row.until is None or day < row.until):
            return Fraction(row.usd_per_hour)
    return Fraction(0)


def pieces(start_ns: int, end_ns: int) -> list[tuple[date, int]]:
    """[start, end) cut at every midnight: (day, nanoseconds)."""
    found = []
    while start_ns < end_ns:
        day = datetime.fromtimestamp(start_ns // 10**9, UTC).date()
        after = day + timedelta(days=1)
        midnight = int(datetime(after.year, after.month, after.day, tzinfo=UTC).timestamp()) * 10**9
        found.append((day, min(end_ns, midnight) - start_ns))
        start_ns = midnight
    return found


class Truth:
    """The state now, the state as last committed, and what the engines served."""

    def __init__(self) -> None:
        self.now = State()
        self._committed = State()
        self.served: dict[tuple[str, int], Counts] = {}  # (engine, life)
        self._answered: set[str] = set()
        self._last = Instant(0, 0)
        self._config: Config | None = None

    def boot(self, config: Config, at: Instant) -> None:
        """The exporter starts; the time since its last commit is a gap."""
        self._answered, self._last, self._config = set(), at, None
        self.now.new_tokens.clear()
        self.now.proven.clear()
        names = {pool.name for pool in config.pools}
        for name in names & self.now.accrued_to.keys():
            if self.now.accrued_to[name] < at.wall_ns:
                self.now.gaps.setdefault(name, []).append((self.now.accrued_to[name], at.wall_ns))
            self.now.accrued_to[name] = at.wall_ns
        self.configure(config, at)

    def configure(self, config: Config, at: Instant) -> None:
        """Pools and targets that left are forgotten; new ones begin to be watched."""
        targets = {end.target for pool in config.pools for end in pool.endpoints}
        names = {pool.name for pool in config.pools}
        known = {end.target for pool in self._config.pools for end in pool.endpoints} if self._config else set()
        self.now.left |= dict.fromkeys((known | self.now.seen.keys()) - targets, at.wall_ns)
        self.now.seen = {target: seen for target, seen in self.now.seen.items() if target in targets}
        for mapping in (self.now.watched_since, self.now.accrued_to, self.now.gaps):
            for name in set(mapping) - names:
                del mapping[name]
        for pool, resource in self.now.cost:
            if pool not in names:  # less than a picodollar is not worth remembering a pool for
                self.now.cost[pool, resource] = Fraction(math.floor(self.now.cost[pool, resource]))
        for name in names - self.now.watched_since.keys():
            self.now.watched_since[name] = self.now.accrued_to[name] = at.wall_ns
        self._answered &= targets
        self._config = config

    def look(self, pool: str, target: str, look: Look) -> None:
        """A good scrape: what an observer learns from it (laws 3 and 4)."""
        seen = self.now.seen.get(target)
        if seen is None:
            since = max(self.now.watched_since[pool], self.now.left.get(target, 0))
            young = look.start is not None and look.start * 1e9 > since
            seen = self.now.seen[target] = Seen(look.life, {} if young else dict(look.counts))
            growth = dict(look.counts) if young else {}
        else:
            if look.start is not None:
                restarted = look.life != seen.life
            else:
                restarted = any(look.counts.get(key, 0) < value for key, value in seen.counts.items())
            growth = {
                key: value if restarted else value - seen.counts.get(key, 0) for key, value in look.counts.items()
            }
            if restarted:
                seen.summed = defaultdict(int, seen.grown)
        seen.life, seen.counts = look.life, dict(look.counts)
        self._add(pool, seen, growth, look.cached_inside)
        if target not in self._answered and look.start is not None:
            self._prove(pool, look.start)
        self._answered.add(target)

    def _add(self, pool: str, seen: Seen, growth: Counts, cached_inside: bool) -> None:
        for (tenant, model, what), amount in growth.items():
            moves = {"prompt": [("input", 1)], "output": [("output", 1)], "cached": [("cache_read", 1)]}.get(what, [])
            if what == "cached" and cached_inside:
                moves = [("cache_read", 1), ("input", -1)]
            for token, sign in moves:
                seen.summed[tenant, model, token] += sign * amount
        for key, total in seen.summed.items():
            new = max(0, total - seen.grown[key])
            seen.grown[key] += new
            self.now.new_tokens[key[0], key[1], pool, key[2]] += new

    def _prove(self, pool: str, start: float) -> None:
        alive, left = round(start * 1e9), []
        for begin, end in self.now.gaps.get(pool, []):
            cut = min(max(begin, alive), end)
            self.now.proven.append((pool, cut, end))
            if begin < cut:
                left.append((begin, cut))
        self.now.gaps[pool] = left

    def tick(self, config: Config, at: Instant) -> None:
        """Time passed: it cost, whatever anybody answered."""
        elapsed = at.monotonic_ns - self._last.monotonic_ns
        self._last = at
        for pool in config.pools:
            proven = [(begin, end) for name, begin, end in self.now.proven if name == pool.name]
            for begin, end in [*proven, (at.wall_ns - elapsed, at.wall_ns)]:
                for day, nanoseconds in pieces(begin, end):
                    hours = Fraction(nanoseconds, HOUR_NS)
                    assert isinstance(pool.gpus, StaticGpus)
                    gpus = Fraction(pool.gpus.count) * price(config, pool, day)
                    self.now.cost[pool.name, "gpu"] += gpus * hours * PICO
                    self.now.cost[pool.name, "overhead"] += Fraction(pool.overhead_usd_per_hour) * hours * PICO
            self.now.accrued_to[pool.name] = at.wall_ns
            if {end.target for end in pool.endpoints} <= self._answered:
                self.now.gaps.pop(pool.name, None)
        for key, amount in self.now.new_tokens.items():
            self.now.tokens[key] += amount
        self.now.new_tokens.clear()
        self.now.proven.clear()

    def commit(self) -> None:
        """The ledger has it."""
        self._committed = copy.deepcopy(self.now)

    def rollback(self) -> None:
        """The process died."""
        self.now = copy.deepcopy(self._committed)
