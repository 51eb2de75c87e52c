"""All targets' meters: which targets are watched, which have been read, and what the ledger keeps of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from exporter.ledger.changes import Changes, Saved, State
from exporter.metering.gpus import is_gpus
from exporter.metering.meter import Measured, Meter, Owed
from exporter.metering.route import Scope
from exporter.metering.usage import Gauges, Taken
from exporter.records import NS, Reading
from exporter.sources.engine import Engine
from exporter.sources.limits import Room
from exporter.sources.registry import ENGINES, GATEWAYS

KNOWN = ENGINES | GATEWAYS
_LEFT = "left_ns"
_REMEMBERED_NS = 7 * 24 * 3600 * NS
MOST_REMEMBERED = 1000
# Stands among the targets that left for those forgotten since: the time at which the last of them left. What began
# before it may be one of them, and be counted already.
_FORGOTTEN = ":forgotten"


def table(name: str, scope: Scope) -> Engine:
    """The engine of that name; one that counts nothing where neither this config nor this version knows it."""
    if scope.custom is not None and scope.custom.name == name:
        return scope.custom
    return KNOWN.get(name) or Engine(name, (), (), ())


class Meters:
    """One meter per target of the config, made with its first good reading or from what the ledger kept."""

    def __init__(self, saved: Saved) -> None:
        self._saved = Saved(
            targets={target: state for target, state in saved.targets.items() if not is_gpus(state)},
            baselines=saved.baselines,
        )
        self._scopes: dict[str, Scope] = {}
        self._meters: dict[str, Meter] = {}
        self._room = Room()
        # When a target left the config, Unix ns: what its engine served before is counted already.
        self._left = {target: state["left_ns"] for target, state in self._saved.targets.items() if _LEFT in state}
        self._gone: set[str] = set()  # targets that left, and the ledger does not know it
        self._forgotten: set[str] = set()  # targets that left so long ago that the ledger need not know
        self.read: set[str] = set()  # read since somebody last cleared this
        self.answered: set[str] = set()  # read since this process started

    def configure(self, scopes: Mapping[str, Scope], now_ns: int) -> None:
        """The targets of a config, from that moment (Unix) on. One that leaves is forgotten: when it returns, its first
        page is a baseline, unless it is of a process that began after it left."""
        known = self._scopes.keys() | {target for target, state in self._saved.targets.items() if _LEFT not in state}
        gone = known - scopes.keys()
        self._left |= dict.fromkeys(gone, now_ns)
        self._gone = (self._gone | gone) - scopes.keys()
        self._forget(now_ns)
        self._forgotten -= scopes.keys()
        self._meters = {target: meter for target, meter in self._meters.items() if target in scopes}
        self.answered &= scopes.keys()
        forgotten_ns = self._left.get(_FORGOTTEN, 0)
        self._scopes = {
            target: replace(scope, watched_since_ns=max(scope.watched_since_ns, self._left.get(target, forgotten_ns)))
            for target, scope in scopes.items()
        }
        for target, meter in self._meters.items():
            meter.configure(meter.engine, self._scopes[target])
        for target, state in self._saved.targets.items():
            if target in scopes and _LEFT not in state:
                self._restore(target, state)
        self._saved = Saved()

    def _forget(self, now_ns: int) -> None:
        """Forget targets that left long ago or, where many did, before the others."""
        left = sorted((at, target) for target, at in self._left.items() if target != _FORGOTTEN)
        late = {target for at, target in left[-MOST_REMEMBERED:] if at >= now_ns - _REMEMBERED_NS}
        for at, target in left:
            if target not in late:
                del self._left[target]
                self._gone.discard(target)
                self._forgotten.add(target)
                self._left[_FORGOTTEN] = max(self._left.get(_FORGOTTEN, 0), at)
                self._gone.add(_FORGOTTEN)

    def _restore(self, target: str, state: State) -> None:
        scope = self._scopes[target]
        meter = self._meters[target] = Meter(table(state["engine"], scope), scope, self._room)
        owed: Owed = {}
        for place, tenant, model, token, amount in state["owed"]:
            owed.setdefault((place, model, token), {})[tenant] = amount
        baselines = self._saved.baselines.get(target, {})
        meter.restore(state.get("table", ""), baselines, state["process_start"], state["last_seen_ns"], owed)

    def measure(self, reading: Reading) -> Measured | None:
        """Work out what a reading says, for `observe` to take: this may run in a worker thread, one at a time. None
        where it cannot be had beforehand. ScrapeError when it cannot be this target's next page."""
        scope, meter = self._scopes.get(reading.target), self._meters.get(reading.target)
        if scope is None or (meter and meter.engine.name != reading.engine):
            return None
        return (meter or Meter(table(reading.engine, scope), scope, self._room)).measure(reading)

    def observe(self, reading: Reading, measured: Measured | None = None) -> bool:
        """Take one reading, with what was measured of it if that still stands; False for a target that is not (or no
        longer) in the config. ScrapeError, with nothing changed, when it cannot be this target's next page."""
        scope = self._scopes.get(reading.target)
        if scope is None:
            return False
        engine = table(reading.engine, scope)
        meter = self._meters.get(reading.target)
        if meter is None:
            first = measured.meter if measured and measured.meter.scope is scope else None
            meter = self._meters[reading.target] = first or Meter(engine, scope, self._room)
        elif meter.engine is not engine:
            meter.configure(engine, scope)
        if measured is not None and meter.is_next(measured):
            meter.accept(measured)
        else:
            meter.observe(reading)
        self.read.add(reading.target)
        self.answered.add(reading.target)
        return True

    def __contains__(self, target: str) -> bool:
        return target in self._scopes

    def take(self) -> Iterator[Taken]:
        """What each target had since the last take, in the config's order."""
        for target in self._scopes:
            if target in self._meters:
                meter = self._meters[target]
                resets, meter.resets = meter.resets, 0
                measured, meter.measured_ns = meter.measured_ns, 0
                yield Taken(target, meter.take(), resets, measured)

    def all_gauges(self) -> dict[str, Gauges]:
        """What each target's last good page said about now."""
        return {target: meter.gauges for target, meter in self._meters.items()}

    def drain(self) -> Changes:
        """What the ledger must write about targets."""
        targets: dict[str, State | None] = dict.fromkeys(self._forgotten)
        targets |= {target: {_LEFT: self._left[target]} for target in self._gone & self._left.keys()}
        baselines: dict[str, dict[str, float]] = {}
        dropped = set(self._gone)
        self._gone, self._forgotten = set(), set()
        for target, meter in self._meters.items():
            if not meter.touched:
                continue
            targets[target] = {
                "engine": meter.engine.name,
                "table": meter.table,
                "process_start": meter.process_start,
                "last_seen_ns": meter.last_seen_ns,
                "owed": [
                    [place, tenant, model, token, amount]
                    for (place, model, token), column in meter.owed.items()
                    for tenant, amount in column.items()
                ],
            }
            baselines[target] = meter.unsaved
            if meter.dropped:
                dropped.add(target)
            meter.unsaved, meter.dropped, meter.touched = {}, False, False
        return Changes(targets=targets, baselines=baselines, dropped=frozenset(dropped))

    def undrain(self, changes: Changes) -> None:
        """These changes did not reach the disk: the next drain carries them again."""
        for target, state in changes.targets.items():
            if state is None and target not in self._scopes:
                self._forgotten.add(target)
            elif state is not None and _LEFT in state:
                self._gone |= {target} - self._scopes.keys()
            elif state is not None and target in self._meters:
                meter = self._meters[target]
                lost = changes.baselines[target].keys() & meter.baselines.keys()  # of this process still
                meter.unsaved |= {key: meter.baselines[key] for key in lost}
                meter.dropped |= target in changes.dropped
                meter.touched = True
