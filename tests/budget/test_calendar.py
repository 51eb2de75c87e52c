"""Periods tile time in every zone of the tz database, and begin where people there say that they do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import get_args
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from exporter.budgets.calendar import Kind, period
from exporter.records import NS
from tests.budget.world import DAY, HOUR, at

ZONES = st.sampled_from(sorted(available_timezones()))
KINDS = st.sampled_from(get_args(Kind))
MOMENTS = st.integers(0, 4_000_000_000 * NS)  # to 2096


@given(ZONES, KINDS, MOMENTS)
@example("America/St_Johns", "day", at("2006-10-29T02:35") * NS)  # back from 00:01 to 23:01 of the day before
@example("America/Toronto", "day", (at("1999-04-04T06:00")) * NS)
@example("Pacific/Apia", "day", at("2011-12-30T10:00") * NS)
@settings(max_examples=1000, deadline=None)
def test_periods_follow_each_other_without_gap_or_overlap(zone: str, kind: Kind, moment: int) -> None:
    found = period(kind, zone, moment)
    assert moment in found
    assert found.length_ns > 0
    for inside in (found.start_ns, found.end_ns - 1, (found.start_ns + found.end_ns) // 2):
        assert period(kind, zone, inside) == found
    assert period(kind, zone, found.end_ns).start_ns == found.end_ns
    assert period(kind, zone, found.start_ns - 1).end_ns == found.start_ns


@given(ZONES, KINDS, MOMENTS)
@settings(max_examples=500, deadline=None)
def test_a_period_begins_with_the_first_second_of_its_first_day(zone: str, kind: Kind, moment: int) -> None:
    """Told without any arithmetic on time zones: by asking what day it is there, a second before and then."""
    start = period(kind, zone, moment).start_ns // NS
    before, then = (datetime.fromtimestamp(second, ZoneInfo(zone)) for second in (start - 1, start))
    assert before.date() < then.date()
    first: Callable[[date], date] = {
        "day": lambda day: day,
        "week": lambda day: day - timedelta(days=day.isoweekday() - 1),
        "month": lambda day: date(day.year, day.month, 1),
        "quarter": lambda day: date(day.year, 1 + 3 * ((day.month - 1) // 3), 1),
        "year": lambda day: date(day.year, 1, 1),
    }[kind]
    # Where a zone skipped the first day altogether (Samoa, 30 December 2011), it begins with the next one.
    assert first(then.date()) != first(before.date())


@pytest.mark.parametrize(
    ("kind", "zone", "moment", "start", "hours"),
    [
        ("day", "UTC", "2026-03-29T12:00", "2026-03-29T00:00", 24),
        ("day", "Europe/Berlin", "2026-03-29T12:00", "2026-03-29T00:00", 23),
        ("day", "Europe/Berlin", "2026-10-25T12:00", "2026-10-25T00:00", 25),
        ("day", "Australia/Lord_Howe", "2026-04-05T12:00", "2026-04-05T00:00", 24.5),  # half an hour of DST
        ("day", "Asia/Kathmandu", "2026-04-05T12:00", "2026-04-05T00:00", 24),  # +05:45
        ("day", "America/Sao_Paulo", "2018-11-04T12:00", "2018-11-04T01:00", 23),  # had no midnight
        ("day", "America/Sao_Paulo", "2018-02-17T12:00", "2018-02-17T00:00", 25),
        ("day", "Pacific/Apia", "2011-12-29T12:00", "2011-12-29T00:00", 24),  # the 30th was skipped
        ("day", "Pacific/Apia", "2011-12-31T12:00", "2011-12-31T00:00", 24),
        ("week", "Europe/Berlin", "2026-03-29T12:00", "2026-03-23T00:00", 7 * 24 - 1),
        ("month", "America/New_York", "2026-11-30T12:00", "2026-11-01T00:00", 30 * 24 + 1),
        ("month", "Pacific/Apia", "2011-12-05T12:00", "2011-12-01T00:00", 30 * 24),
        ("month", "UTC", "2028-02-29T23:59", "2028-02-01T00:00", 29 * 24),
        ("quarter", "UTC", "2026-12-31T23:59", "2026-10-01T00:00", 92 * 24),
        ("year", "Asia/Kolkata", "2028-06-01T00:00", "2028-01-01T00:00", 366 * 24),
    ],
)
def test_a_period_has_its_true_length(kind: Kind, zone: str, moment: str, start: str, hours: float) -> None:
    found = period(kind, zone, at(moment, zone) * NS)
    assert found.start_ns == at(start, zone) * NS
    assert found.length_ns == hours * HOUR * NS


def test_the_minute_before_clocks_go_back_over_midnight_and_the_hour_after_are_of_the_same_day() -> None:
    """Newfoundland went from 00:01 back to 23:01 of the day before: that day does not begin again."""
    midnight = at("2006-10-29T00:00", "America/St_Johns")
    again = midnight + 30 * 60
    assert datetime.fromtimestamp(again, ZoneInfo("America/St_Johns")).date() == date(2006, 10, 28)
    assert period("day", "America/St_Johns", again * NS).start_ns == midnight * NS


def test_a_midnight_that_clocks_jumped_over() -> None:
    """Toronto went from 23:30 to 00:30 in 1919; no zone does today, any may tomorrow."""
    jump = int(datetime(1919, 3, 31, 4, 30, tzinfo=UTC).timestamp())
    found = period("day", "America/Toronto", (jump + DAY // 2) * NS)
    assert found.start_ns == jump * NS
