"""Windows over a sum, held against every amount and its time."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.budgets.trail import LEVELS, Trail
from exporter.config.types import DAY, HOUR, MINUTE, SECOND

WINDOWS = (5 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 6 * HOUR, DAY, 7 * DAY)
STEPS = st.lists(
    st.tuples(
        st.sampled_from([1, SECOND, 15 * SECOND, 61 * SECOND, 7 * MINUTE, 3 * HOUR, 2 * DAY]), st.integers(0, 99)
    ),
    max_size=200,
)


class Told:
    """A trail, and the truth: (time, sum) of every tick."""

    def __init__(self) -> None:
        self.now = 0
        self.trail = Trail(0, [(HOUR, 0, 0)])
        self.truth = [(0, 0)]

    def tick(self, step: int, amount: int) -> None:
        before = (self.now, self.trail.total)
        self.now += step
        self.trail.total += amount
        self.trail.remember(before, self.now)
        self.truth.append((self.now, self.trail.total))

    def then(self, when: int) -> Fraction:
        """The sum at that time, spent evenly between ticks."""
        if when <= 0:
            return Fraction(0)
        later = next(i for i, (at, _) in enumerate(self.truth) if at >= when)
        (at, known), (after, more) = self.truth[later - 1], self.truth[later]
        return known + Fraction((more - known) * (when - at), after - at)

    def between(self, window: int, blur: int) -> tuple[Fraction, Fraction]:
        """What a window may say whose edge may be off by `blur`."""
        start = self.now - window
        least, most = (self.trail.total - self.then(min(self.now, start + by)) for by in (blur, -blur))
        return least, most


@given(STEPS)
@settings(max_examples=150, deadline=None)
def test_a_window_is_right_to_one_step_of_its_level(steps: list[tuple[int, int]]) -> None:
    told = Told()
    for step, amount in steps:
        told.tick(step, amount)
    for window in WINDOWS:
        width = next(width for width, span in LEVELS.items() if span >= window)
        # Moments stand one to a step, so that two of them may be nearly two steps apart.
        least, most = told.between(window, 2 * width)
        assert least - 1 <= told.trail.spent(window, told.now) <= most + 1


@pytest.mark.parametrize("window", WINDOWS)
def test_steady_spend_is_told_exactly(window: int) -> None:
    told = Told()
    for _ in range(2 * 7 * 24 * 60):
        told.tick(MINUTE, 6)
    assert told.trail.spent(window, told.now) == 6 * window // MINUTE
    assert all(told.now - told.trail.oldest(width) <= span + 2 * width for width, span in LEVELS.items())


def test_what_was_spent_while_nobody_looked_is_no_burst() -> None:
    """Three hours down; then a gateway reports what it served meanwhile, all at once."""
    told = Told()
    for _ in range(8 * 60):
        told.tick(MINUTE, 10)
    told.tick(3 * HOUR, 1800)
    assert told.trail.spent(5 * MINUTE, told.now) == 50
    assert told.trail.spent(HOUR, told.now) == 600
    assert told.trail.spent(6 * HOUR, told.now) == 3600


def test_the_last_minutes_before_a_silence_stay_where_they_were() -> None:
    told = Told()
    for _ in range(60):
        told.tick(MINUTE, 0)
    told.tick(50 * SECOND, 1000)
    told.tick(3 * HOUR, 0)
    assert told.trail.spent(2 * HOUR + 30 * MINUTE, told.now) == 0


def test_a_window_that_is_older_than_the_ledger_saw_nothing_before_it() -> None:
    told = Told()
    told.tick(15 * SECOND, 100)
    assert [told.trail.spent(window, told.now) for window in WINDOWS] == [100] * len(WINDOWS)


@given(STEPS)
@settings(max_examples=100, deadline=None)
def test_what_is_restored_says_the_same_and_stays_small(steps: list[tuple[int, int]]) -> None:
    told = Told()
    kept = {(HOUR, 0): 0}
    for step, amount in steps:
        told.tick(step, amount)
        kept.update({moment[:2]: moment[2] for moment in told.trail.unsaved})
        for width in {moment[0] for moment in told.trail.unsaved}:
            kept = {key: v for key, v in kept.items() if key[0] != width or key[1] >= told.trail.oldest(width)}
        told.trail.unsaved = []
    again = Trail(told.trail.total, [(*key, value) for key, value in kept.items()])
    assert [again.spent(w, told.now) for w in WINDOWS] == [told.trail.spent(w, told.now) for w in WINDOWS]
    assert len(kept) <= sum(span // width + 2 for width, span in LEVELS.items())
