"""Any layout, any values, anything failing: what is read is sound, and what could be read is there."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.errors import ScrapeError
from exporter.records import GpuReading
from exporter.sources.nvml import Nvml
from tests.nvml.readings import LOST, NO_FUNCTION, NO_PERMISSION, NOT_SUPPORTED, UNKNOWN, moment
from tests.nvml.stub import StubDriver

U32 = st.sampled_from([0, 1, 100, 101, 70_000, 2**31, 2**32 - 1]) | st.integers(0, 2**32 - 1)
U64 = st.sampled_from([0, 1, 2**40, 2**63, 2**64 - 1]) | st.integers(0, 2**64 - 1)
NAME = st.binary(max_size=90).map(lambda name: name.replace(b"\0", b""))
FIELDS = ("PowerUsage", "TotalEnergyConsumption", "Temperature", "MemoryInfo_v2", "UtilizationRates", "Samples", "Name")
FAILURE = st.tuples(st.sampled_from(FIELDS), st.sampled_from([NOT_SUPPORTED, NO_PERMISSION, NO_FUNCTION, UNKNOWN]))
INSTANCE = st.fixed_dictionaries({"total": U64, "used": U64, "busy": st.floats(), "name": NAME, "slices": U32})
GPU = st.fixed_dictionaries(
    {
        "values": st.fixed_dictionaries(
            dict.fromkeys(("power", "temperature", "rate"), U32)
            | dict.fromkeys(("total", "used", "energy"), U64)
            | {"name": NAME, "slices": st.sampled_from([0, 4, 7]), "gpm": st.integers(0, 1)}
        ),
        "samples": st.lists(st.tuples(U64, U64), max_size=5),
        "failures": st.lists(FAILURE, max_size=2),
        "lost": st.booleans(),
        "instances": st.dictionaries(
            st.tuples(st.integers(0, 3), st.integers(0, 2)), st.tuples(st.integers(0, 6), INSTANCE), max_size=5
        ),
    }
)


@settings(max_examples=60, deadline=None)
@given(layout=st.lists(GPU, max_size=5))
def test_any_layout(library: Path, loaded: Path, layout: list[dict[str, Any]]) -> None:
    driver = StubDriver(library, loaded)
    expected = [place_in(driver, index, gpu) for index, gpu in enumerate(layout)]
    readings = asyncio.run(three(driver))
    whole = [index for index, gpu in enumerate(layout) if not gpu["lost"]]
    assert (not readings) == (not whole)
    for reading in readings:
        assert [gpu.name for gpu in reading.gpus if not gpu.parent] == [str(index) for index in whole]
        assert_sound(reading)
        for index in whole:
            assert sum(gpu.name.startswith(f"{index}:") for gpu in reading.gpus) == expected[index]
    assert driver.gpm_samples == 0


def place_in(driver: StubDriver, index: int, gpu: dict[str, Any]) -> int:
    """How many instances it has."""
    driver.add(**gpu["values"])
    slots = {}
    for ids, (slot, instance) in gpu["instances"].items():
        slots[slot] = ids
        driver.cut(index, slot, ids=ids, **(instance | {"slices": 1}))
        driver.gpus[index].instances[slot].slices = instance["slices"]
    driver.sample(index, gpu["samples"])
    if gpu["lost"]:
        driver.fail(LOST, gpu=index)
    for function, code in gpu["failures"]:
        driver.fail(code, f"nvmlDeviceGet{function}", gpu=index)
    return len(slots)


async def three(driver: StubDriver) -> list[GpuReading]:
    """Three readings, or none; the driver says the same, a second later each time."""
    nvml = Nvml(timeout=20)
    try:
        return [await nvml.read(moment(seconds)) for seconds in range(3)]
    except ScrapeError:
        return []
    finally:
        await nvml.close()


def assert_sound(reading: GpuReading) -> None:
    names, uuids = [{getattr(gpu, key) for gpu in reading.gpus} for key in ("name", "uuid")]
    assert len(names) == len(uuids) == len(reading.gpus)
    for gpu in reading.gpus:
        assert all(text.isprintable() or "\ufffd" in text for text in (gpu.uuid, gpu.product, gpu.mig_profile))
        assert gpu.utilization is None or 0 <= gpu.utilization <= 1
        assert gpu.power is None or 0 <= gpu.power < 100_000
        assert gpu.energy is None or 0 <= gpu.energy < 2**63
        assert gpu.temperature is None or abs(gpu.temperature) < 1000
        assert gpu.memory_total is None or gpu.memory_total > 0
        assert gpu.memory_used is None or (gpu.memory_total and 0 <= gpu.memory_used <= gpu.memory_total)
        assert 0 <= gpu.slices <= gpu.of_slices <= 7
        assert (gpu.parent == "") == (":" not in gpu.name)
        if gpu.parent:
            assert gpu.parent in uuids
            assert (gpu.energy, gpu.power, gpu.temperature) == (None, None, None)
