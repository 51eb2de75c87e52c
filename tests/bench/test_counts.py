"""The hot paths do no more work than when somebody last looked: a guard that no busy machine disturbs."""

from __future__ import annotations

import pytest

from tests.bench.counts import Counts, baseline, calls, measure, opcodes, version

SLACK = 0.05  # what may be noise
KNOWN = baseline().get(version())


def test_the_hot_paths_do_what_they_did() -> None:
    """More work is a regression; much less is good news, and `make counts` makes it the new measure."""
    if KNOWN is None:
        pytest.skip(f"no baseline for Python {version()}: `make counts` makes one")
    found = measure()
    assert found.keys() == KNOWN.keys()
    off = [
        f"{step}: {found[step][unit]} {unit}, were {count}"
        for step, counts in KNOWN.items()
        for unit, count in counts.items()
        if abs(found[step][unit] - count) > SLACK * count + 20
    ]
    assert not off, "\n".join(["if it is meant, run `make counts`", *off])


def test_more_work_is_seen() -> None:
    def work(times: int) -> Counts:
        numbers = list(range(times))
        return {
            "opcodes": opcodes(lambda: [number + 1 for number in numbers]),
            "calls": calls(lambda: [abs(number) for number in numbers]),
        }

    once, twice = work(1000), work(2000)
    assert twice["calls"] - once["calls"] == 1000
    assert twice["opcodes"] - once["opcodes"] >= 3000
    assert work(1000) == once
