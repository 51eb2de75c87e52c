"""What clients do wrong is said, once in a while; a bug is said once."""

from __future__ import annotations

from typing import Any

import pytest

from exporter.publish.complaints import MOST_BUGS, QUIET_SECONDS, Complaints


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[str, Any]]:
    """What, and how many of its kind were not said before it."""
    return [(record.getMessage(), vars(record).get("before")) for record in caplog.records]


def test_each_kind_once_a_minute_with_the_number_of_those_in_between(caplog: pytest.LogCaptureFixture) -> None:
    complaints = Complaints()
    for second in range(0, int(QUIET_SECONDS) + 1, 10):
        complaints.refused("a request", "BadHttpMessage", "10.0.0.1", 1000.0 + second)
    complaints.refused("a login", "another password", "10.0.0.1", 1000.0)
    assert said(caplog) == [("refused a request", 0), ("refused a request", 5), ("refused a login", 0)]
    complaints.refused("a request", "BadHttpMessage", "10.0.0.1", 1000.0 + 2 * QUIET_SECONDS)
    assert said(caplog)[-1] == ("refused a request", 0)


def test_each_bug_once_and_not_without_an_end(caplog: pytest.LogCaptureFixture) -> None:
    complaints = Complaints()
    for _ in range(3):
        for number in range(2 * MOST_BUGS):
            complaints.bug(ValueError(number))
    assert len(caplog.records) == MOST_BUGS
    assert all(record.levelname == "ERROR" and record.exc_info for record in caplog.records)
