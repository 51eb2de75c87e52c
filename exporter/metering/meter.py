"""One target's meter: readings in, use since the last reading out (CONTRACT.md section 5, laws 3, 4 and 6).

Deltas are taken per series and per target before anything is summed. What cannot be known is not guessed: the first
sight of a target is a baseline, and a page that cannot be this target's next one is refused whole.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from itertools import compress
from operator import is_, ne

from exporter.columns import Column, merge_all
from exporter.errors import Reason, ScrapeError
from exporter.metering.delta import fell, grown
from exporter.metering.route import Cell, Counters, Route, Router, Scope
from exporter.metering.usage import Gauges, Usage
from exporter.records import NS, Instant, Reading, Samples
from exporter.sources.engine import Engine
from exporter.sources.limits import LIMITS, Room

# How far an engine's clock may be from ours before its start time stops being evidence.
_CLOCK_SKEW_NS = 60 * NS
# Exporters that compute their start time from the boot time see it move when the machine's clock is stepped.
_START_WOBBLE_SECONDS = 5.0
# A start time that cannot be right is believed after so many pages in a row: then it is the engine's clock that is off.
_STUBBORN_PAGES = 10
# Series of one process, absent ones included: their baselines are kept for when they return.
MAX_SERIES = LIMITS.series


Owed = dict[Cell, Column]


@dataclass(slots=True)
class _Growth:
    """What one page says was counted since the last one."""

    moved: dict[str, float] = field(default_factory=dict)  # the new baselines
    names: set[str] = field(default_factory=set)
    new: int = 0  # series without a baseline
    fallen: int = 0  # series that started again by themselves
    cells: dict[Cell, Column] = field(default_factory=dict)  # tokens
    usage: dict[str, Usage] = field(default_factory=dict)  # the rest by place, and after `settle` the tokens too

    def add(self, route: Route, growth: float) -> None:
        """Requests, seconds and measures."""
        place, tenant, model = route.account
        part = self.usage.get(place)
        if part is None:
            part = self.usage[place] = Usage()
        if route.request:
            column = part.requests.setdefault(model, {})
            column[tenant] = column.get(tenant, 0) + round(growth)
        if route.phase is not None:
            key = (model, route.phase)
            part.nanoseconds[key] = part.nanoseconds.get(key, 0) + round(growth * NS)
        if route.measure is not None:
            measure = (model, route.measure)
            amount = round(growth if route.whole else growth * NS)
            part.measures[measure] = part.measures.get(measure, 0) + amount

    def settle(self, owed: Owed) -> Owed:
        """Take what was owed off the tokens and hand them on, but for what is below zero: that is owed now."""
        merge_all(self.cells, owed)
        left: Owed = {}
        for (place, model, token), column in self.cells.items():
            if min(column.values()) < 0:
                short = {tenant: amount for tenant, amount in column.items() if amount < 0}
                left[place, model, token] = short
                column.update(dict.fromkeys(short, 0))
            self.usage.setdefault(place, Usage()).tokens[model, token] = column
        return left


@dataclass(frozen=True, slots=True)
class Measured:
    """One reading worked out against one state of its meter, and not yet taken."""

    meter: Meter
    reading: Reading
    growth: _Growth
    owed: Owed
    afresh: bool  # its process is another one, or stands for one: what was known before is dropped
    restarted: bool
    same: bool  # the process of the last reading
    router: Router  # with these and what was last seen it was worked out
    last: Instant | None


class Meter:
    """The public attributes are what the ledger keeps; they change only when a reading is accepted whole."""

    def __init__(self, engine: Engine, scope: Scope, room: Room | None = None) -> None:
        self._room = room or Room()  # of the baselines of all targets
        self._baselines: dict[str, float] = {}
        self._moved: dict[str, float] = {}  # those that the last reading moved
        self.process_start: float | None = None  # Unix seconds, as the page says
        self.last_seen_ns: int | None = None  # Unix; None: never seen, so the next reading is the first
        # Classes that are differences (input = prompt - cached) may dip below zero for a page while the engine writes
        # its counters one after the other; the dip is owed and taken from what comes next.
        self.owed: Owed = {}
        self.unsaved: dict[str, float] = {}  # baselines that moved since the ledger took them
        self.dropped = True  # the ledger must drop its older baselines of this target first
        self.touched = False
        self.gauges = Gauges()
        # The table of the last page. What that one left out is no news to another table: its first sight is a baseline.
        self.table = engine.table
        self.configure(engine, scope)
        self.resets = 0  # restarts seen since somebody last set this to 0
        self.measured_ns = 0  # time between readings of one process, since somebody last set this to 0
        self._usage: dict[str, Usage] = {}  # by place
        self._known: set[str] = set()
        self._last: Instant | None = None
        self._page: Samples = {}  # the last page accepted; only series objects of one scanner can be found in it
        self._impossible: tuple[float, int] = (0.0, 0)

    def configure(self, engine: Engine, scope: Scope) -> None:
        """Another table or another config: same baselines, other accounts for what grows from here."""
        self.engine, self.scope = engine, scope
        self._router = Router(engine, scope)
        self._page = {}

    def restore(
        self, table: str, baselines: dict[str, float], process_start: float | None, seen_ns: int, owed: Owed
    ) -> None:
        """Go on from what the ledger kept, read with that table."""
        self._baselines, self.process_start, self.last_seen_ns, self.owed = baselines, process_start, seen_ns, owed
        self.table = table
        self._known = {key.partition("{")[0] for key in baselines}
        self.dropped = False
        with suppress(ScrapeError):  # what was room for when it was read
            self._room.hold(self, len(baselines))

    @property
    def baselines(self) -> dict[str, float]:
        """Series key -> last raw value. What a reading of a hundred thousand series moved is entered by who asks next,
        as a rule the thread that measures the next one."""
        self._baselines.update(self._moved)
        self._moved = {}
        return self._baselines

    def take(self) -> dict[str, Usage]:
        """What was used since the last take, by place."""
        usage, self._usage = self._usage, {}
        return usage

    def observe(self, reading: Reading) -> None:
        """Take one reading. Raises ScrapeError, and changes nothing, when the page cannot be this target's next one."""
        self.accept(self.measure(reading))

    def measure(self, reading: Reading) -> Measured:
        """Work out what a reading says, and leave it to `accept` to take it: this may run in a worker thread, one at a
        time. Raises ScrapeError when the page cannot be this target's next one."""
        router, last, kept = self._router, self._last, self.baselines
        first = self.last_seen_ns is None
        restarted, adopted = self._judge(reading)
        known: set[str] = set() if restarted or adopted else self._known
        same = not (first or restarted or adopted)
        before = self._page if same else {}
        moving = _moving(before, reading.samples)
        counters = router.counters(moving, reading.samples, known)
        if same and not self._same_process(reading) and self.engine.one_process:
            # No start time to go by. Whatever counted up may have done so from zero, if anything counted down.
            restarted = any(
                (route.cells or route.request) and fell(kept.get(series.key, 0.0), value)
                for series, route, value in counters
            )
            counters = router.counters(moving, reading.samples, known)
            if restarted:
                counters = router.counters(reading.samples, reading.samples, set())
        baseline_only = adopted or (first and not self._began_while_watched(reading))
        baselines = {} if restarted or adopted else kept
        relearning = same and not restarted and self.table != self.engine.table
        growth = self._grow(counters, baselines, baseline_only=baseline_only, new_is_baseline=relearning)
        if growth.new:
            if len(baselines) + growth.new > MAX_SERIES:
                raise ScrapeError(Reason.TOO_MANY_SERIES, f"more than {MAX_SERIES} series since the process started")
            self._room.hold(self, len(baselines) + growth.new)
        owed = growth.settle({} if restarted or adopted else self.owed)
        return Measured(self, reading, growth, owed, restarted or adopted, restarted, same, router, last)

    def is_next(self, measured: Measured) -> bool:
        """Whether it was worked out by this meter as it is now."""
        return measured.router is self._router and measured.last is self._last

    def accept(self, measured: Measured) -> None:
        """Take what was measured, quickly. It must be next."""
        reading, growth = measured.reading, measured.growth
        restarted = measured.restarted
        if measured.afresh:
            self._baselines, self._moved, self.unsaved, self.dropped = {}, {}, {}, True
            self._known = set()
        self._known |= growth.names
        self._moved = growth.moved
        if self.unsaved:
            self.unsaved.update(growth.moved)
        else:
            self.unsaved = growth.moved
        self.owed = measured.owed
        self.table = self.engine.table
        self.process_start = reading.process_start
        self.resets += restarted + growth.fallen
        if measured.same and not restarted and self._last is not None:
            self.measured_ns += reading.at.monotonic_ns - self._last.monotonic_ns
        self.last_seen_ns, self._last, self.touched = reading.at.wall_ns, reading.at, True
        self._page = reading.samples
        for place, part in growth.usage.items():
            if place in self._usage:
                self._usage[place].merge(part)
            else:
                self._usage[place] = part
        self._read_gauges(reading)

    def _same_process(self, reading: Reading) -> bool:
        return reading.process_start is not None and reading.process_start == self.process_start

    def _began_while_watched(self, reading: Reading) -> bool:
        start = reading.process_start
        if start is None or start * NS > reading.at.wall_ns + _CLOCK_SKEW_NS:  # from the future: some clock is wrong
            return False
        return start * NS > self.scope.watched_since_ns

    def _judge(self, reading: Reading) -> tuple[bool, bool]:
        """(the process restarted, its counters are a new baseline), by its start time alone."""
        start, before = reading.process_start, self.process_start
        if self.last_seen_ns is None or start is None or before is None or start == before:
            self._impossible = (0.0, 0)
            return False, False
        alive_ns = self.last_seen_ns
        if self._last is not None:  # also by the monotonic clock, so that a step of our wall clock is no evidence
            alive_ns = min(alive_ns, reading.at.wall_ns - (reading.at.monotonic_ns - self._last.monotonic_ns))
        if start > before and start * NS > alive_ns - _CLOCK_SKEW_NS:
            return True, False
        if abs(start - before) < _START_WOBBLE_SECONDS:
            return False, False
        seen = self._impossible[1] + 1 if self._impossible[0] == start else 1
        self._impossible = (start, seen)
        if seen >= _STUBBORN_PAGES:
            return False, True
        raise ScrapeError(
            Reason.SEVERAL_PROCESSES,
            "its start time changed to one before the last good scrape: the address answers for several processes "
            "in turn (give each replica its own endpoint), or the engine's clock is off by more than a minute",
        )

    def _grow(
        self, counters: Counters, baselines: dict[str, float], *, baseline_only: bool, new_is_baseline: bool
    ) -> _Growth:
        found, dips = _Growth(), self.engine.dips
        moved, cells, names = found.moved, found.cells, found.names
        for series, route, value in counters:
            names.add(series.name)
            key = series.key
            last = baselines.get(key)
            if last is not None and value > last:  # nearly always
                growth = value - last
                moved[key] = value
            else:
                dipped = dips and last is not None and last / 2 < value < last
                still = baseline_only or dipped or (new_is_baseline and last is None)
                growth = 0.0 if still else grown(last, value)
                found.fallen += last is not None and not dipped and fell(last, value)
                if last is None or growth or dipped:
                    moved[key] = value
                    found.new += last is None
            if route.more:
                found.add(route, growth)
            tenant = route.account[1]
            for cell, sign in route.cells:
                column = cells.get(cell)
                if column is None:
                    column = cells[cell] = {}
                column[tenant] = column.get(tenant, 0) + sign * round(growth)
        return found

    def _read_gauges(self, reading: Reading) -> None:
        running, waiting, kv_cache = (
            self._router.gauge(signal, reading.samples)
            for signal in (self.engine.running, self.engine.waiting, self.engine.kv_cache)
        )
        self.gauges = Gauges(
            running=sum(running) if running else None,
            waiting=sum(waiting) if waiting else None,
            kv_cache=sum(kv_cache) / len(kv_cache) if kv_cache else None,
        )


def _moving(before: Samples, now: Samples) -> Samples:
    """A page is mostly what it was last time; what stands still has nothing to say."""
    if len(before) == len(now) and all(map(is_, before, now)):  # the same lines: compared without a look-up
        return dict(compress(now.items(), map(ne, before.values(), now.values())))
    return {series: value for series, value in now.items() if before.get(series) != value}
