"""What was read between two ticks: cut off from what is being read now, and sorted out by who pays for it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from exporter.allocation.fitting import Part
from exporter.allocation.gputime import GpuTime
from exporter.allocation.roster import Roster
from exporter.ledger.accounts import Labels
from exporter.ledger.changes import Changes
from exporter.metering.usage import Gauges, Taken, Usage
from exporter.records import Instant


@dataclass(frozen=True, slots=True)
class Collected:
    """Taken from the meters in no time; nothing of it is added up yet."""

    at: Instant
    elapsed_ns: int = 0
    taken: list[Taken] = field(default_factory=list)
    events: Mapping[tuple[str, Labels], int] = field(default_factory=dict)  # scrapes, failures, resets
    proofs: list[tuple[str, float]] = field(default_factory=list)  # (pool, an engine's process start)
    read: set[str] = field(default_factory=set)  # targets read
    answered: set[str] = field(default_factory=set)  # targets read since this process started
    gauges: dict[str, Gauges] = field(default_factory=dict)  # by target
    gpus: dict[str, GpuTime] = field(default_factory=dict)  # by pool, where a source is read for them
    targets: Changes = field(default_factory=Changes)  # what the ledger must write about targets


@dataclass(frozen=True, slots=True)
class Sorted:
    """The same by who pays for it."""

    used: dict[str, Usage] = field(default_factory=dict)  # what engines counted, by pool
    parts: dict[str, dict[str, Part]] = field(default_factory=dict)  # the same by pool and target
    reported: dict[str, Usage] = field(default_factory=dict)  # what gateways report, by pool, pools or provider


def sort_out(taken: Iterable[Taken], roster: Roster, pools: Collection[str]) -> Sorted:
    """Add up what the targets of each place counted. The usages taken become its own."""
    found = Sorted()
    for target, places, _, measured_ns in taken:
        owner = roster.owner(target)
        if owner in pools:
            found.parts.setdefault(owner, {})[target] = Part(places.get(owner) or Usage(), measured_ns)
            for place, usage in places.items():
                found.used.setdefault(place, Usage()).merge(usage)
        else:
            for place, usage in places.items():
                if place in found.reported:
                    found.reported[place].merge(usage)
                else:
                    found.reported[place] = usage
    return found
