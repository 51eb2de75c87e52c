"""Calendar periods of a time zone: from local midnight to local midnight, however long that takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Literal
from zoneinfo import ZoneInfo

from exporter.records import NS

Kind = Literal["day", "week", "month", "quarter", "year"]

# The first day of the period that a day is in. Weeks begin on Monday (ISO 8601).
_FIRST: Mapping[Kind, Callable[[date], date]] = {
    "day": lambda day: day,
    "week": lambda day: day - timedelta(days=day.weekday()),
    "month": lambda day: day.replace(day=1),
    "quarter": lambda day: day.replace(month=day.month - (day.month - 1) % 3, day=1),
    "year": lambda day: day.replace(month=1, day=1),
}
# As many days later it is always the next period, and never the one after that.
_AFTER: Mapping[Kind, int] = {"day": 1, "week": 7, "month": 31, "quarter": 92, "year": 366}


@dataclass(frozen=True, slots=True)
class Period:
    """[start, end) in Unix nanoseconds."""

    start_ns: int
    end_ns: int

    @property
    def length_ns(self) -> int:
        """Its true length: a day of a time zone may have 23 or 25 hours."""
        return self.end_ns - self.start_ns

    def __contains__(self, wall_ns: int) -> bool:
        return self.start_ns <= wall_ns < self.end_ns


def period(kind: Kind, zone: str, wall_ns: int) -> Period:
    """The period in which that moment lies. Periods of one kind and zone follow each other without gap or overlap."""
    where: tzinfo = UTC if zone == "UTC" else ZoneInfo(zone)  # UTC needs no tz database
    first = _FIRST[kind]
    day = first(_local(wall_ns // NS, where).date())
    while True:
        after = first(day + timedelta(days=_AFTER[kind]))
        found = Period(_begins(day, where) * NS, _begins(after, where) * NS)
        if wall_ns < found.end_ns:
            return found
        day = after  # clocks went back over midnight: that hour is of the day that had begun


def _begins(day: date, where: tzinfo) -> int:
    """The first Unix second whose local date is that day, or a later one where the zone skipped it."""
    midnight = datetime.combine(day, time(), where)  # of two, the first
    seconds = int(midnight.timestamp())
    if _local(seconds, where).replace(tzinfo=None) == midnight.replace(tzinfo=None):
        return seconds
    # There is no such midnight, clocks went forward over it: that moment lies between a day before and here.
    before = seconds - 86_400
    while seconds - before > 1:
        middle = (before + seconds) // 2
        if _local(middle, where).date() < day:
            before = middle
        else:
            seconds = middle
    return seconds


def _local(seconds: int, where: tzinfo) -> datetime:
    return datetime.fromtimestamp(seconds, where)
