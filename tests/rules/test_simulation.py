"""What docs/alert-simulation.md promises, asked of the simulation itself."""

from __future__ import annotations

import numpy as np
import pytest

from exporter.rules.settings import TABLE
from exporter.rules.windows import BURN
from tests.rules.simulation import World, caught, firing, held, worst
from tests.rules.traffic import BATCH, BEFORE, DAY, HOUR, MONTH, SHAPES, months, steady, stepped

PAGES = ("BudgetBurnRateFast", "BudgetExhausted")


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape not in BATCH])
def test_a_month_that_goes_to_plan_pages_nobody(shape: str) -> None:
    world = World(months(shape, 100))
    assert {TABLE[alert].severity for alert in PAGES} == {"critical"}
    assert [alert for alert in PAGES if firing(alert, world).any()] == []


def test_batch_jobs_would_page_every_month() -> None:
    """Which is why such budgets can be left out; and it shows that the simulation can find a false page."""
    for shape in BATCH:
        assert firing("BudgetBurnRateFast", World(months(shape, 10))).any(axis=1).all()


@pytest.mark.parametrize(
    ("step", "hours", "spent"),
    [(10, 4, 0.05), (20, 1, 0.025)],
)
def test_a_step_is_paged_in_time(step: int, hours: float, spent: float) -> None:
    world, since = _step(step)
    (found,) = caught("BudgetBurnRateFast", world, since)
    assert found is not None
    assert found[0] < hours
    assert found[1] < spent


@pytest.mark.parametrize("step", [3, 5])
def test_a_smaller_step_is_a_ticket_before_a_sixteenth_is_spent(step: int) -> None:
    world, since = _step(step)
    assert caught("BudgetBurnRateFast", world, since) == [None]
    (found,) = caught("BudgetBurnRateSlow", world, since)
    assert found is not None
    assert found[1] < 1 / 16


def test_a_step_is_caught_when_the_windows_say_so() -> None:
    """x10 from 1: six hours burn at 6 after 200 minutes, and the alert waits for two more."""
    world, since = _step(10)
    (found,) = caught("BudgetBurnRateFast", world, since)
    assert found is not None
    assert found[0] == pytest.approx(203 / 60, abs=0.02)
    assert found[1] == pytest.approx(10 * 203 / MONTH, rel=0.01)


def _step(factor: int) -> tuple[World, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    spend, since = stepped(steady(), factor)
    return World(spend), since


def test_burn_rates_are_means_over_their_windows() -> None:
    spend = steady()
    spend[0, BEFORE + 100 : BEFORE + 160] = 13
    world = World(spend)
    assert world.mean(HOUR)[0, [99, 129, 159, 189, 219]] == pytest.approx([1, 7, 13, 7, 1])
    assert worst(world, BURN[0]) == pytest.approx(13)
    assert world.mean(HOUR, back=30)[0, 189] == pytest.approx(13)
    assert world.consumed[0, -1] == pytest.approx((MONTH + 12 * HOUR) / MONTH)


def test_what_is_held_has_been_so_all_the_while() -> None:
    so = np.array([[True, True, True, False, True, True]])
    assert held(so, 2).tolist() == [[False, False, True, False, False, False]]


def test_the_same_months_every_time() -> None:
    assert np.array_equal(months("office hours", 2), months("office hours", 2))
    assert months("flat", 3)[:, BEFORE:].mean() == pytest.approx(0.999)
    assert len(months("flat", 1)[0]) == BEFORE + MONTH == 39 * DAY
