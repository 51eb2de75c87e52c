"""One source of GPUs: what each did between ticks; what is lost is still paid for, what is unknown is not made up."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.metering.gpus import GpuMeter
from exporter.metering.labels import safe
from exporter.records import NS, Gpu, GpuReading, Instant

GPU = Gpu("GPU-a", "0", "H100", utilization=0.5, power=300.0, energy=1000.0)


class Source:
    """A source whose clock moves a second at a time."""

    def __init__(self, meter: GpuMeter | None = None) -> None:
        self.meter = meter or GpuMeter()
        self.now = 1000

    def read(self, *gpus: Gpu, after: int = 1) -> bool:
        self.now += after
        return self.meter.observe(GpuReading("nvml://localhost", "nvml", Instant(self.now * NS, self.now * NS), gpus))

    def restarted(self) -> Source:
        again = Source(GpuMeter(json.loads(json.dumps(self.meter.state()))))
        again.now = self.now
        return again

    def did(self, uuid: str = "GPU-a") -> tuple[float, float, float]:
        """(busy seconds, seconds covered, joules) since the last call."""
        use = self.meter.take()[uuid]
        return use.busy_ns / NS, use.covered_ns / NS, use.microjoules / 1e6


@pytest.fixture
def source() -> Source:
    source = Source()
    source.read(GPU)
    return source


def test_the_first_reading_is_a_baseline(source: Source) -> None:
    assert source.did() == (0, 0, 0)


def test_utilization_counts_over_the_time_between_readings_and_energy_by_its_counter(source: Source) -> None:
    source.read(replace(GPU, utilization=1.0, energy=1300.5))
    source.read(replace(GPU, utilization=0.25, energy=1400.0), after=4)
    assert source.did() == (2, 5, 400)
    assert source.did() == (0, 0, 0), "taken once"


def test_a_field_that_is_not_said_is_not_made_up(source: Source) -> None:
    source.read(replace(GPU, utilization=None, energy=None))
    source.read(replace(GPU, utilization=None, energy=None, power=None))
    assert source.did() == (0, 0, 0)
    source.read(replace(GPU, energy=1900.0))
    assert source.did() == (0.5, 1, 900), "the counter knows what was drawn meanwhile"


def test_without_an_energy_counter_power_is_integrated() -> None:
    source, plain = Source(), replace(GPU, energy=None)
    source.read(plain)
    source.read(replace(plain, power=500.0), after=2)
    assert source.did()[2] == 800


def test_power_is_not_integrated_over_a_time_in_which_the_gpu_was_away() -> None:
    source, plain = Source(), replace(GPU, energy=None)
    source.read(plain)
    source.read()
    source.read(plain)
    assert source.did()[2] == 0


def test_a_driver_that_was_reloaded_counts_from_zero(source: Source) -> None:
    source.read(replace(GPU, energy=40.0))
    assert source.did()[2] == 40


def test_a_counter_that_dips_is_read_again_and_not_from_zero(source: Source) -> None:
    source.read(replace(GPU, energy=998.0))
    source.read(replace(GPU, energy=1003.0))
    assert source.did()[2] == 3


@pytest.mark.parametrize("jump", [1e14, 1000.0 + 50_000])
def test_a_counter_that_jumps_beyond_what_a_gpu_can_draw_is_a_new_baseline(source: Source, jump: float) -> None:
    source.read(replace(GPU, energy=jump))
    source.read(replace(GPU, energy=jump + 10))
    assert source.did()[2] == 10


def test_a_gpu_that_vanishes_stays_and_comes_back(source: Source) -> None:
    other = replace(GPU, uuid="GPU-b", name="1")
    assert source.read(GPU, other), "a layout that changed"
    assert not source.read(GPU)
    assert set(source.meter.uses) == {"GPU-a", "GPU-b"}
    assert not source.meter.take()["GPU-b"].fresh
    assert not source.read(GPU, other, after=10)
    assert source.did("GPU-b") == (0, 0, 0), "nobody saw what it did meanwhile"


def test_an_instance_that_is_gone_while_its_gpu_answers_was_destroyed(source: Source) -> None:
    instance = replace(GPU, uuid="MIG-1", name="0:1", parent="GPU-a", slices=3, energy=None)
    source.read(GPU, instance)
    assert source.read(GPU)
    assert set(source.meter.uses) == {"GPU-a"}
    source.read(GPU, instance)
    assert not source.read(), "lost with its GPU: both stay"


def test_after_a_restart_the_first_reading_decides_what_is_there(source: Source) -> None:
    source.read(GPU, replace(GPU, uuid="GPU-b", name="1"))
    again = source.restarted()
    assert set(again.meter.uses) == {"GPU-a", "GPU-b"}, "until then all of it is paid for"
    assert again.read(replace(GPU, energy=1500.0), after=60)
    assert set(again.meter.uses) == {"GPU-a"}
    assert again.did() == (0, 0, 500), "energy drawn while the exporter was down is counted, busy time is not known"


@given(
    texts=st.lists(st.text(max_size=300), min_size=3, max_size=3),
    ratio=st.one_of(st.none(), st.floats(allow_nan=True)),
    energies=st.lists(st.one_of(st.none(), st.floats()), max_size=8),
)
def test_whatever_a_source_says_time_and_energy_stay_sane(
    texts: list[str], ratio: Any, energies: list[float | None]
) -> None:
    source = Source()
    for energy in energies:
        uuid, name, product = texts
        source.read(Gpu(uuid, name, product, utilization=ratio, energy=energy, power=energy))
    for use in source.meter.take().values():
        assert use.gpu.name == safe(use.gpu.name)
        assert 0 <= use.busy_ns <= use.covered_ns <= len(energies) * NS
        assert 0 <= use.microjoules <= len(energies) * 40_000 * 10**6
    assert json.loads(json.dumps(source.meter.state()))
