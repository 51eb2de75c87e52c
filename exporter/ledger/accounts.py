"""The books in memory: every counter this program has ever published, as an integer that only grows.

A family is a counter metric; an account is one of its label sets. Units are the smallest that can occur, so that
nothing is ever rounded away: tokens and requests count by one, money in pico-USD, time in nanoseconds, energy in
microjoules. Accounts change only inside a tick; between ticks they stand still, so that saving and rendering can
read them from a worker thread.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

Labels = tuple[str, ...]


@dataclass(slots=True)
class Family:
    """One counter metric: columns of equal length, one row per account, rows never removed or moved."""

    name: str
    labels: list[Labels] = field(default_factory=list)
    values: list[int] = field(default_factory=list)
    rows: dict[Labels, int] = field(default_factory=dict)
    unsaved: set[int] = field(default_factory=set)
    unrendered: set[int] = field(default_factory=set)

    def open(self, labels: Labels) -> int:
        """The row of that account, opened at 0 if it is new."""
        row = self.rows.get(labels)
        if row is None:
            row = self.rows[labels] = len(self.values)
            self.labels.append(labels)
            self.values.append(0)
            self.unsaved.add(row)
            self.unrendered.add(row)
        return row

    def add(self, labels: Labels, amount: int) -> None:
        """Book `amount` (>= 0; a counter never falls) to that account."""
        if amount < 0:
            raise ValueError(f"{self.name}{labels}: {amount} would make a counter fall")
        row = self.open(labels)
        if amount:
            self.values[row] += amount
            self.unsaved.add(row)
            self.unrendered.add(row)

    def touch(self, moved: Iterable[int]) -> None:
        """These rows moved: they are to be saved and rendered again."""
        rows = list(moved)
        self.unsaved.update(rows)
        self.unrendered.update(rows)

    def get(self, labels: Labels) -> int:
        """The account's value; 0 when it was never opened."""
        row = self.rows.get(labels)
        return 0 if row is None else self.values[row]
