"""When money was spent, to the hour of the wall clock, whoever may ask for it later.

The spend family's rows only grow, so the hour under way is what they stand at less what they stood at when it began.
Once it is over it goes to disk, and nothing of it is kept in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from exporter.ledger.accounts import Family
from exporter.ledger.changes import Hour, Saved, Scope, Spent
from exporter.ledger.money import NS_PER_HOUR


class Stretch(NamedTuple):
    """What a scope spent in [start, end) of Unix nanoseconds, in pico-USD."""

    start_ns: int
    end_ns: int
    spent: int


class Hours:
    """The hour under way, those that wait to be saved, and the way to those on disk. `number` is of the hour under
    way."""

    def __init__(self, spend: Family, saved: Saved, hour: int, number: int) -> None:
        self.hour = hour
        self.number = number
        self._spend = spend
        self._history = saved.history
        self._began = [saved.rolled.get(row, 0) for row in range(len(spend.values))]
        self._waiting: list[Hour] = []

    def enter(self, hour: int) -> None:
        """From here on, what is spent is spent in that hour."""
        if hour == self.hour:
            return
        rolled = self._rolled()
        if rolled:
            self._waiting.append(Hour(self.number, self.hour, self._spent(rolled), rolled))
            self.number += 1
            self._began = self._spend.values.copy()
        self.hour = hour

    def of(self, asked: Iterable[tuple[Scope, int]], now_ns: int) -> Iterator[list[Stretch]]:
        """What each scope spent since that hour, in order of time; hours without spend are not there. Reads the disk;
        LedgerError when it cannot."""
        under_way = Hour(self.number, self.hour, self._spent(self._rolled()), {})
        waiting = {hour.number for hour in self._waiting}  # and perhaps on disk all the same
        for scope, since_hour in asked:
            found = [
                Stretch(hour * NS_PER_HOUR, (hour + hours) * NS_PER_HOUR, spent)
                for number, hour, hours, spent in self._history(scope, since_hour)
                if number not in waiting
            ]
            for hour in (*self._waiting, under_way):
                if hour.hour >= since_hour and (spent := _of(scope, hour.spent)):
                    start, end = hour.hour * NS_PER_HOUR, (hour.hour + 1) * NS_PER_HOUR
                    found.append(Stretch(start, max(start + 1, now_ns) if hour is under_way else end, spent))
            yield sorted(found)

    def drain(self) -> tuple[Hour, ...]:
        """Hours to be saved."""
        waiting, self._waiting = tuple(self._waiting), []
        return waiting

    def undrain(self, hours: tuple[Hour, ...]) -> None:
        """These did not reach the disk."""
        self._waiting[:0] = hours

    def _rolled(self) -> dict[int, int]:
        """Rows that moved in the hour under way, and what they stand at."""
        values, began = self._spend.values, self._began
        began += [0] * (len(values) - len(began))
        return {row: value for row, (value, before) in enumerate(zip(values, began, strict=True)) if value != before}

    def _spent(self, rolled: dict[int, int]) -> Spent:
        spent: Spent = {}
        for row, value in rolled.items():
            tenant, model, place, _ = self._spend.labels[row]
            column = spent.setdefault((model, place), {})
            column[tenant] = column.get(tenant, 0) + value - self._began[row]
        return spent


def _of(scope: Scope, spent: Spent) -> int:
    tenant, model, place = scope
    columns = (column for key, column in spent.items() if model in (None, key[0]) and place in (None, key[1]))
    return sum(sum(column.values()) if tenant is None else column.get(tenant, 0) for column in columns)
