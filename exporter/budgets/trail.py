"""What was spent in any window that ends now: a sum that only grows, remembered at moments that thin out with age.

Time here is the ledger's stopwatch, which no step of the wall clock moves. What was spent between two moments counts
as spent evenly, so that what an API served while nobody looked is not taken for a burst when somebody looks again.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from exporter.config.types import DAY, HOUR, MINUTE

# How far apart the moments are, and how far back they reach: the edge of a window is known to 3 % of its length, that
# of the shortest to a minute.
LEVELS: Mapping[int, int] = {MINUTE: 2 * HOUR, 10 * MINUTE: DAY, HOUR: 7 * DAY}

Moment = tuple[int, int, int]  # width of its level, ns on the stopwatch, the sum then in pico-USD


@dataclass(slots=True)
class _Level:
    width_ns: int
    span_ns: int
    at: list[int] = field(default_factory=list)
    sums: list[int] = field(default_factory=list)

    def add(self, at_ns: int, total: int) -> None:
        self.at.append(at_ns)
        self.sums.append(total)
        old = bisect_right(self.at, at_ns - self.span_ns) - 1  # the last of the old ones says how much there was then
        if old > 0:
            del self.at[:old], self.sums[:old]


class Trail:
    """The moments of one budget. `total` is the sum up to now."""

    def __init__(self, total: int, moments: Iterable[Moment]) -> None:
        self.total = total
        self.unsaved: list[Moment] = []
        self._levels = {width: _Level(width, span) for width, span in LEVELS.items()}
        for width, at, known in sorted(moments):
            self._levels[width].add(at, known)

    def remember(self, before: tuple[int, int], now_ns: int) -> None:
        """A tick is over. `before`: when the last one was, and the sum that it left."""
        for level in self._levels.values():
            last = level.at[-1] if level.at else -1
            if last >= 0 and now_ns // level.width_ns == last // level.width_ns:
                continue
            moments = [(now_ns, self.total)]
            if last < before[0] < now_ns - level.width_ns:
                moments.insert(0, before)  # where a long silence began
            for at, total in moments:
                level.add(at, total)
                self.unsaved.append((level.width_ns, at, total))

    def oldest(self, width_ns: int) -> int:
        """When the oldest moment of that level was, in ns."""
        return self._levels[width_ns].at[0]

    def spent(self, window_ns: int, now_ns: int) -> int:
        """pico-USD of the last `window_ns`; before the first moment of all nothing was spent."""
        start = now_ns - window_ns
        *finer, coarsest = self._levels.values()
        level = next((level for level in finer if level.at and level.at[0] <= start), coarsest)
        place = bisect_right(level.at, start)
        if place == 0:
            return self.total - level.sums[0]
        at, known = level.at[place - 1], level.sums[place - 1]
        later, more = (level.at[place], level.sums[place]) if place < len(level.at) else (now_ns, self.total)
        return self.total - known - (more - known) * (start - at) // max(1, later - at)
