"""The mean of what the driver sampled between two readings: nothing twice, nothing missed, nothing absurd."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.records import NS
from exporter.sources.nvml import Nvml
from exporter.sources.nvml.samples import LONGEST, PATIENCE, Utilization, mean
from tests.nvml.readings import NOT_FOUND, NOT_SUPPORTED, gpus
from tests.nvml.stub import PERIOD, SAMPLES, StubDriver

START = 1_800_000_000_000_000  # microseconds


def second(number: int, percents: list[int]) -> list[tuple[int, int]]:
    """Six samples in that second of the test."""
    return [(START + number * 1_000_000 + (place + 1) * PERIOD, percent) for place, percent in enumerate(percents)]


async def busy(nvml: Nvml, seconds: float) -> float | None:
    return (await gpus(nvml, seconds))["0"].utilization


async def test_a_burst_between_two_readings_is_seen(driver: StubDriver, nvml: Nvml) -> None:
    driver.add(rate=0)
    driver.sample(0, second(0, [0] * 6))
    await busy(nvml, 1)
    driver.sample(0, second(1, [0, 100, 100, 50, 0, 0]))
    driver.sample(0, second(2, [0, 0, 0, 0, 0, 0]))
    assert await busy(nvml, 3) == pytest.approx(250 / 1200, rel=1e-4)
    driver.sample(0, second(3, [100, 0, 0, 0, 0, 0]))
    assert await busy(nvml, 4) == pytest.approx(100 / 600, rel=1e-4), "what was seen does not count again"
    assert driver.gpus[0].asked_since == second(2, [0] * 6)[-1][0], "and is not even asked for"


async def test_what_was_sampled_before_the_first_reading_does_not_count(driver: StubDriver, nvml: Nvml) -> None:
    driver.add(rate=7)
    driver.sample(0, second(0, [100] * 6))
    assert await busy(nvml, 1) == 0.07
    driver.sample(0, second(1, [50] * 6))
    assert await busy(nvml, 2) == pytest.approx(0.5)


async def test_a_buffer_that_overran_says_what_it_still_holds(driver: StubDriver, nvml: Nvml) -> None:
    driver.add()
    driver.sample(0, second(0, [0] * 6))
    await busy(nvml, 1)
    for number in range(1, 61):
        driver.sample(0, second(number, [100, 0, 0, 0, 0, 0] if number > 50 else [100] * 6))
    # Ten seconds of one sample in six, and before them the forty samples that are left of a busy time.
    assert await busy(nvml, 61) == pytest.approx((SAMPLES - 60 + 10) / SAMPLES, rel=0.001)


async def test_without_new_samples_the_rates_stand_in(driver: StubDriver, nvml: Nvml) -> None:
    driver.add(rate=40)
    assert await busy(nvml, 0) == 0.4, "empty"
    driver.sample(0, second(1, [100] * 6))
    await busy(nvml, 2)
    assert await busy(nvml, 3) == 0.4, "nothing new"
    driver.sample(0, second(3, [100] * 6))
    assert await busy(nvml, 4) == 1.0


@pytest.mark.parametrize("code", [NOT_SUPPORTED, NOT_FOUND])
async def test_a_driver_without_samples(driver: StubDriver, nvml: Nvml, code: int) -> None:
    driver.add(rate=40)
    driver.fail(code, "nvmlDeviceGetSamples")
    assert [await busy(nvml, number) for number in range(3)] == [0.4] * 3
    assert driver.calls("nvmlDeviceGetSamples") == (1 if code == NOT_SUPPORTED else 3)


async def test_a_driver_without_either(driver: StubDriver, nvml: Nvml) -> None:
    driver.add()
    driver.fail(NOT_SUPPORTED, "nvmlDeviceGetSamples")
    driver.fail(NOT_SUPPORTED, "nvmlDeviceGetUtilizationRates")
    assert await busy(nvml, 0) is None
    assert await busy(nvml, 1) is None


@pytest.mark.parametrize(("kind", "value"), [(1, 50), (3, 50), (4, 50), (5, 50), (6, 50), (0, 0x4049_0000_0000_0000)])
async def test_a_sample_is_read_as_the_type_it_has(driver: StubDriver, nvml: Nvml, kind: int, value: int) -> None:
    driver.add(sample_type=kind)
    driver.sample(0, [(START, value)])
    await busy(nvml, 0)
    driver.sample(0, [(START + PERIOD, value)])
    assert await busy(nvml, 1) == 0.5


async def test_when_the_clock_was_set_back_samples_are_found_again(driver: StubDriver, nvml: Nvml) -> None:
    gpu = driver.add(rate=1)
    driver.sample(0, second(7200, [100] * 6))
    await busy(nvml, 0)
    gpu.sample_count = 0
    late = PATIENCE // NS + 1
    driver.sample(0, second(0, [100] * 6))
    assert await busy(nvml, late) == 0.01, "older than the newest"
    assert await busy(nvml, late + 1) == 0.01, "a new beginning"
    driver.sample(0, second(1, [60] * 6))
    assert await busy(nvml, late + 2) == pytest.approx(0.6)


def test_each_sample_counts_for_the_time_from_the_one_before() -> None:
    assert mean(1000, {1100: 100, 1400: 0}) == pytest.approx(0.25)
    assert mean(1000, {1400: 0, 1100: 100}) == pytest.approx(0.25), "in whatever order they come"


def test_a_sample_after_a_hole_counts_as_much_as_a_usual_one() -> None:
    hole = 10 * LONGEST
    assert mean(hole, {2 * hole: 100, 2 * hole + 1000: 0, 2 * hole + 2000: 0}) == pytest.approx(1 / 3)
    assert mean(0, {hole: 60, 3 * hole: 40}) == pytest.approx(0.5), "nothing but holes"


@pytest.mark.parametrize("absurd", [-1, 101, 4_000_000_000, float("nan"), float("inf")])
def test_an_absurd_sample_is_left_out_with_its_time(absurd: float) -> None:
    assert mean(0, {}) is None
    assert mean(1000, {2000: absurd}) is None
    assert mean(1000, {1500: 50, 2000: absurd, 2500: 100}) == pytest.approx(0.75)


STAMPS = st.integers(0, 2**64 - 1)
PERCENTS = st.integers(0, 2**64 - 1) | st.integers(0, 100) | st.floats()


@given(st.lists(st.lists(st.tuples(STAMPS, PERCENTS), max_size=20), max_size=10))
def test_whatever_the_buffer_holds_it_is_a_share_or_nothing(readings: list[list[tuple[int, float]]]) -> None:
    """Unordered, twice, from the future, out of range."""
    utilization = Utilization()
    for now, samples in enumerate(readings):
        share = utilization.take(samples, now * 10 * NS)
        assert share is None or 0 <= share <= 1
        assert utilization.since >= 0


@given(st.lists(st.tuples(st.integers(1, LONGEST), st.integers(0, 100)), min_size=2, max_size=60), st.data())
def test_however_the_readings_fall_the_busy_time_is_the_same(
    samples: list[tuple[int, int]], data: st.DataObject
) -> None:
    """The integral: shares times the times they are for add up to what was sampled."""
    stamp, buffer = START, []
    for gap, percent in samples:
        stamp += gap
        buffer.append((stamp, percent))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(buffer) - 1))))
    utilization, total = Utilization(), 0.0
    utilization.take([(START, 0)], 0)
    for start, end in pairwise((0, *cuts, len(buffer))):
        before = utilization.since
        share = utilization.take(buffer[:end], 0)
        assert share is not None
        assert utilization.since == buffer[end - 1][0]
        total += share * (utilization.since - before)
        assert start < end
    assert total == pytest.approx(sum(gap * percent / 100 for gap, percent in samples))
