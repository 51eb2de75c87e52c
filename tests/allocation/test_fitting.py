"""How much of a tick was work, by the fitted rates: over all engines of a pool, idle ones too, unknown if one is."""

from __future__ import annotations

import pytest

from exporter.allocation.fitted import Rates
from exporter.allocation.fitting import Fitting, Part
from exporter.metering.usage import Usage
from exporter.records import NS

RATES = {"m": Rates(step=0.01, context=0.0, input=0.0, cache_read=0.0, steps_per_output=1.0)}
TICK = 15 * NS


def served(model: str, steps: int) -> Part:
    return Part(Usage(tokens={(model, "output"): {"t": steps}}, measures={(model, "steps"): steps}), TICK)


@pytest.fixture
def fitting() -> Fitting:
    """A pool of two engines with a model each, both seen before."""
    fitting = Fitting()
    fitting.learn(TICK, {"a": served("m", 10), "b": served("other", 10)}, None)
    return fitting


def test_an_engine_that_stood_still_counts_as_idle_time(fitting: Fitting) -> None:
    fitting.learn(2 * TICK, {"a": served("m", 600), "b": Part(Usage(), TICK)}, None)
    assert fitting.busy(RATES) == (6 * NS, 2 * TICK)


def test_an_engine_at_work_whose_rates_nobody_knows_leaves_it_open(fitting: Fitting) -> None:
    fitting.learn(2 * TICK, {"a": served("m", 600), "b": served("other", 1)}, None)
    assert fitting.busy(RATES) is None


def test_work_is_never_more_than_the_time_there_was(fitting: Fitting) -> None:
    fitting.learn(2 * TICK, {"a": served("m", 10**6)}, None)
    assert fitting.busy(RATES) == (TICK, TICK)


def test_a_reading_that_does_not_follow_another_of_its_process_says_nothing(fitting: Fitting) -> None:
    fitting.learn(2 * TICK, {"a": Part(served("m", 600).usage, 0)}, None)
    assert fitting.busy(RATES) is None
