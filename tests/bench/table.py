"""One row of the table for each thing measured, and the table itself.

A ratio is the peer's figure over ours, round by round, each round with both in it: other work on the machine disturbs
both alike. What has no peer has a goal in its own unit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

HEAD = ("what", "ours", "peer", "peer's", "ratio (spread)", "goal", "met")


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement: medians of rounds. `spread` is the lowest and the highest of the rounds' ratios, or values."""

    what: str
    unit: str
    ours: float
    spread: tuple[float, float]
    peer: str = ""
    theirs: float = 0.0
    ratio: float | None = None
    goal: float | None = None  # the least ratio; without a peer the most that ours may be; None: none is set

    @property
    def met(self) -> bool | None:
        """None where there is no goal."""
        if self.goal is None:
            return None
        return self.ours <= self.goal if self.ratio is None else self.ratio >= self.goal

    def cells(self) -> tuple[str, ...]:
        """As it stands in the table."""
        low, high = (number(value) for value in self.spread)
        verdict = {None: "", True: "yes", False: "**no**"}[self.met]
        ours = f"{number(self.ours)} {self.unit}"
        if self.ratio is None:
            goal = "" if self.goal is None else f"at most {number(self.goal)} {self.unit}"
            return self.what, f"{ours} ({low}–{high})" if low != high else ours, "", "", "", goal, verdict
        goal = "" if self.goal is None else f"{number(self.goal)}x"
        theirs = f"{number(self.theirs)} {self.unit}"
        return self.what, ours, self.peer, theirs, f"{number(self.ratio)}x ({low}–{high})", goal, verdict


def compared(
    what: str, unit: str, ours: Sequence[float], peer: str, theirs: Sequence[float], goal: float | None = None
) -> Row:
    """Ours against a peer; the two sequences hold the same rounds."""
    ratios = [them / us for us, them in zip(ours, theirs, strict=True)]
    spread = (min(ratios), max(ratios))
    return Row(what, unit, median(ours), spread, peer, median(theirs), median(ratios), goal)


def alone(what: str, unit: str, ours: Sequence[float], goal: float | None = None) -> Row:
    """Ours, which must not be above the goal."""
    return Row(what, unit, median(ours), (min(ours), max(ours)), goal=goal)


def number(value: float) -> str:
    """Three digits that count."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value >= 0.001 or value == 0 else f"{value:.1e}"


def markdown(rows: Iterable[Row]) -> str:
    """The table."""
    lines = (HEAD, tuple("---" for _ in HEAD), *(row.cells() for row in rows))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
