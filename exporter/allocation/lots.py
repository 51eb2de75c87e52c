"""Lots: cost that has accrued and waits to learn whether anybody used it.

A stretch of time whose use is not known yet (an engine that does not answer; requests that run but count their tokens
when they finish) is queued. Use, when it shows, takes all that is queued; a quiet page shows that nobody used it; and
what is older than the horizon is taken to be unused. What is queued is the pool's `pending`, so the books always close.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, fields
from enum import Enum, auto
from operator import attrgetter

_STEPS = 60  # what is queued is kept in at most so many steps of the horizon, however short the ticks are


class Seen(Enum):
    """What was seen of a pool in one tick."""

    USED = auto()  # tokens moved
    BUSY = auto()  # requests run, no tokens yet
    QUIET = auto()  # every target answered; no tokens, no requests
    UNKNOWN = auto()  # some target did not answer, and no tokens moved elsewhere


@dataclass(frozen=True, slots=True)
class Lot:
    """The cost of one tick."""

    at_ns: int  # on the pool's own clock, which only runs while the exporter does
    cost: int  # pico-USD
    gpu_ns: int
    priced: bool
    # Of the cost and the GPU time: for how much a source of GPUs said whether it was at work, and how much of that was.
    known: int = 0
    busy: int = 0
    known_ns: int = 0
    busy_ns: int = 0

    def __add__(self, other: Lot) -> Lot:
        return Lot(
            other.at_ns,
            self.cost + other.cost,
            self.gpu_ns + other.gpu_ns,
            self.priced or other.priced,
            self.known + other.known,
            self.busy + other.busy,
            self.known_ns + other.known_ns,
            self.busy_ns + other.busy_ns,
        )


NOTHING = Lot(0, 0, 0, priced=False)
as_row = attrgetter(*(each.name for each in fields(Lot)))


@dataclass(frozen=True, slots=True)
class Settled:
    """What a tick decided: cost that was used, and cost that nobody used."""

    active: Lot = NOTHING
    idle: Lot = NOTHING


class Lots:
    """The queue of one pool."""

    def __init__(self, horizon_ns: int, lots: deque[Lot] | None = None) -> None:
        self.horizon_ns = horizon_ns
        self.queue: deque[Lot] = lots or deque()

    @property
    def pending(self) -> int:
        """pico-USD queued."""
        return sum(lot.cost for lot in self.queue)

    def settle(self, lot: Lot, seen: Seen) -> Settled:
        """Queue this tick's lot, then decide what can be decided."""
        step = max(1, self.horizon_ns // _STEPS)
        if self.queue and self.queue[-1].at_ns // step == lot.at_ns // step:
            self.queue[-1] += lot
        else:
            self.queue.append(lot)
        if seen is Seen.USED:
            return Settled(active=self.flush())
        if seen is Seen.QUIET:
            return Settled(idle=self.flush())
        expired = NOTHING
        while self.queue and self.queue[0].at_ns <= lot.at_ns - self.horizon_ns:
            expired += self.queue.popleft()
        return Settled(idle=expired)

    def flush(self) -> Lot:
        """Everything queued, as one lot; the queue is empty after."""
        total = sum(self.queue, NOTHING)
        self.queue.clear()
        return total
