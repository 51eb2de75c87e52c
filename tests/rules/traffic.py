"""Spend by the minute in months that go to plan, for budgets of different shapes. The same figures every time.

A month spends 99.9 % of its limit. Around its shape it varies at random: by hour (gamma, 16 % standard deviation) and
by five minutes (41 %), which in a flat month makes the busiest hour twice the plan, and the busiest day 1.2 times.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

Minutes = npt.NDArray[np.float64]  # USD per minute, where 1 is on plan; a row is a month

HOUR, DAY, WEEK = 60, 24 * 60, 7 * 24 * 60
BEFORE, MONTH = 9 * DAY, 30 * DAY  # minutes of history before the month: baselines look back eight days
SEED = 11


def _hours(minute: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    return minute % DAY / HOUR


def _office(minute: npt.NDArray[np.int64]) -> Minutes:
    hour, day = _hours(minute), minute // DAY % 7
    return np.where((hour >= 9) & (hour < 17) & (day < 5), 168 / 40, 0.0)


def _weekly(minute: npt.NDArray[np.int64]) -> Minutes:
    hour, day = _hours(minute), minute // DAY % 7
    return np.where((hour >= 2) & (hour < 10) & (day == 6), 21.0, 0.0)


SHAPES: Mapping[str, Callable[[npt.NDArray[np.int64]], Minutes]] = {
    "flat": lambda minute: np.ones(len(minute)),
    "day and night": lambda minute: 1 + 0.6 * np.sin((_hours(minute) - 9) / 24 * 2 * np.pi),
    "office hours": _office,
    "nightly batch, 2 h": lambda minute: np.where((_hours(minute) >= 2) & (_hours(minute) < 4), 12.0, 0.0),
    "weekly batch, 8 h": _weekly,
}
# Spent in bursts: such budgets are to be left out of the burn-rate alerts (`except`).
BATCH = ("nightly batch, 2 h", "weekly batch, 8 h")


def months(shape: str, count: int = 100) -> Minutes:
    """So many months, each with BEFORE minutes of what came before it. They begin on every day of the week."""
    random = np.random.default_rng((SEED, list(SHAPES).index(shape)))
    week = SHAPES[shape](np.arange(WEEK))
    length = BEFORE + MONTH
    found = np.empty((count, length))
    for row in range(count):
        usual = np.resize(np.roll(week, -DAY * int(random.integers(7))), length)
        by_hour = np.repeat(random.gamma(40, 1 / 40, length // 60), 60)
        by_five = np.repeat(random.gamma(6, 1 / 6, length // 5), 5)
        found[row] = usual * by_hour * by_five
    plan: Minutes = found[:, BEFORE:].mean(axis=1, keepdims=True)
    return found / plan * 0.999


def steady() -> Minutes:
    """One month that spends the same in every minute."""
    return np.ones((1, BEFORE + MONTH))


def stepped(months: Minutes, factor: float, seed: int = SEED) -> tuple[Minutes, npt.NDArray[np.int64]]:
    """The same months with all spend times `factor` from some minute on, and that minute of each: one in which money
    is spent, on a day from the second to the twentieth."""
    random = np.random.default_rng(seed)
    spending = (np.flatnonzero(month[BEFORE : BEFORE + 20 * DAY]) for month in months)
    starts = np.array([random.choice(minute[minute >= DAY]) for minute in spending])
    after = np.arange(months.shape[1]) >= BEFORE + starts[:, None]
    return np.where(after, months * factor, months), starts
