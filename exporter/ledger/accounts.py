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
    """One counter metric: columns of equal length, one row per account. Rows stay where they are but for `drop`."""

    name: str
    labels: list[Labels] = field(default_factory=list)
    values: list[int] = field(default_factory=list)
    rows: dict[Labels, int] = field(default_factory=dict)
    unsaved: set[int] = field(default_factory=set)
    unrendered: set[int] = field(default_factory=set)
    relabelled: set[int] = field(default_factory=set)  # rows of which the ledger knows other labels
    fewest: int | None = None  # rows there were since the ledger took them, where some were dropped

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

    def drop(self, accounts: Iterable[Labels]) -> None:
        """Close these accounts. The last row takes the place of a dropped one; whoever holds `labels` from before, as
        the JSON of an earlier tick does, goes on holding what they were."""
        self.labels = self.labels.copy()
        for labels in accounts:
            row = self.rows.pop(labels)
            moved, value = self.labels.pop(), self.values.pop()
            if row < len(self.values):
                self.labels[row], self.values[row], self.rows[moved] = moved, value, row
                for rows in (self.relabelled, self.unsaved, self.unrendered):
                    rows.add(row)
        left = len(self.values)
        self.fewest = left if self.fewest is None else min(self.fewest, left)
        for rows in (self.relabelled, self.unsaved, self.unrendered):
            rows.difference_update([row for row in rows if row >= left])

    def touch(self, moved: Iterable[int]) -> None:
        """These rows moved: they are to be saved and rendered again."""
        rows = list(moved)
        self.unsaved.update(rows)
        self.unrendered.update(rows)

    def get(self, labels: Labels) -> int:
        """The account's value; 0 when it was never opened."""
        row = self.rows.get(labels)
        return 0 if row is None else self.values[row]
