"""Every field of a GPU, each failing alone; devices that come, go, and say impossible things."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest

from exporter.records import Gpu
from exporter.sources.nvml import Nvml
from tests.nvml.readings import (
    LOST,
    NO_FUNCTION,
    NO_PERMISSION,
    NOT_SUPPORTED,
    RESET_REQUIRED,
    UNKNOWN,
    gpus,
    lines,
    refusal,
)  # fmt: skip
from tests.nvml.stub import GIB, StubDriver

WHOLE = Gpu(
    uuid="GPU-00000000-0000-0000-0000-000000000000", name="0", product="NVIDIA H100 80GB HBM3", utilization=0.25,
    memory_used=GIB, memory_total=80 * GIB, power=70.0, energy=1000.0, temperature=35.0,
)  # fmt: skip


async def test_every_field_of_a_gpu(driver: StubDriver, nvml: Nvml) -> None:
    driver.add(rate=25)
    driver.add(
        name=b"NVIDIA A100-SXM4-40GB", uuid=b"GPU-a", total=40 * GIB, used=3, power=412_345, energy=98_765_432_101,
        temperature=0, rate=100, mig_capable=0,
    )  # fmt: skip
    assert await gpus(nvml) == {
        "0": WHOLE,
        "1": Gpu(
            uuid="GPU-a", name="1", product="NVIDIA A100-SXM4-40GB", utilization=1.0, memory_used=3,
            memory_total=40 * GIB, power=412.345, energy=98_765_432.101, temperature=0.0,
        ),
    }  # fmt: skip


async def test_what_changes_is_seen_at_the_next_reading(driver: StubDriver, nvml: Nvml) -> None:
    gpu = driver.add(rate=25)
    await gpus(nvml)
    gpu.used, gpu.power, gpu.energy, gpu.temperature, gpu.rate = 2 * GIB, 700_000, 900_000, 80, 99
    changed = replace(WHOLE, memory_used=2 * GIB, power=700.0, energy=900.0, temperature=80.0, utilization=0.99)
    assert await gpus(nvml, 1) == {"0": changed}


# Function -> what is absent without it, and how often a reading asks it of a GPU that has it.
MISSING: dict[str, tuple[dict[str, Any], int]] = {
    "nvmlDeviceGetPowerUsage": ({"power": None}, 1),
    "nvmlDeviceGetTotalEnergyConsumption": ({"energy": None}, 1),
    "nvmlDeviceGetUtilizationRates": ({"utilization": None}, 1),
    "nvmlDeviceGetMigMode": ({}, 1),
    "nvmlDeviceGetSamples": ({}, 2),  # the rates stand in
    "nvmlDeviceGetTemperature": ({}, 1),  # TemperatureV does
    "nvmlDeviceGetMemoryInfo": ({}, 0),  # v2 is asked first
    "nvmlDeviceGetName": ({"product": ""}, 0),  # at the first reading only
}


@pytest.mark.parametrize("code", [NOT_SUPPORTED, NO_PERMISSION, NO_FUNCTION])
@pytest.mark.parametrize("function", MISSING)
async def test_a_field_that_is_refused_is_absent_and_not_asked_for_again(
    driver: StubDriver, nvml: Nvml, function: str, code: int
) -> None:
    absent, asked = MISSING[function]
    driver.add(rate=25)
    driver.add()
    driver.fail(code, function, gpu=0)
    assert (await gpus(nvml))["0"] == replace(WHOLE, **absent)
    driver.heal()
    before = driver.calls(function)
    both = await gpus(nvml, 1)
    assert both["0"] == replace(WHOLE, **absent)
    assert both["1"].power == 70.0, "the other GPU is not touched by it"
    assert driver.calls(function) == before + asked, "only the other GPU was asked"


@pytest.mark.parametrize("function", ["nvmlDeviceGetPowerUsage", "nvmlDeviceGetTotalEnergyConsumption"])
async def test_a_field_that_fails_once_is_asked_for_again(driver: StubDriver, nvml: Nvml, function: str) -> None:
    driver.add(rate=25)
    driver.fail(UNKNOWN, function)
    assert (await gpus(nvml))["0"] == replace(WHOLE, **MISSING[function][0])
    driver.heal()
    assert await gpus(nvml, 1) == {"0": WHOLE}


async def test_what_was_refused_is_asked_for_again_after_the_driver_restarts(driver: StubDriver, nvml: Nvml) -> None:
    driver.add(rate=25)
    driver.fail(NOT_SUPPORTED, "nvmlDeviceGetPowerUsage")
    assert (await gpus(nvml))["0"].power is None
    driver.heal()
    driver.restart()
    await refusal(nvml)
    assert await gpus(nvml) == {"0": WHOLE}


async def test_an_old_driver_has_memory_of_version_one_and_a_new_one_temperature_of_version_one(
    driver: StubDriver, nvml: Nvml
) -> None:
    driver.add(rate=25)
    driver.fail(NO_FUNCTION, "nvmlDeviceGetMemoryInfo_v2")
    driver.fail(NO_FUNCTION, "nvmlDeviceGetTemperature")
    for second in range(3):
        assert await gpus(nvml, second) == {"0": replace(WHOLE, memory_used=2 * GIB)}, "used counts the reserved"
    assert driver.calls("nvmlDeviceGetMemoryInfo_v2") == driver.calls("nvmlDeviceGetTemperature") == 1
    assert driver.calls("nvmlDeviceGetTemperatureV") == 3


ABSURD: dict[str, tuple[dict[str, int], dict[str, Any]]] = {
    "power not available": ({"power": 0xFFFFFFFF}, {"power": None}),
    "power of a town": ({"power": 100_000_000}, {"power": None}),
    "energy not available": ({"energy": 2**64 - 1}, {"energy": None}),
    "energy huge": ({"energy": 2**63 - 1}, {"energy": (2**63 - 1) / 1000}),
    "utilization of billions": ({"rate": 4_000_000_000}, {"utilization": None}),
    "utilization of 101 %": ({"rate": 101}, {"utilization": None}),
    "temperature not available": ({"temperature": 0xFFFFFFFF}, {"temperature": None}),
    "no memory": ({"total": 0}, {"memory_total": None, "memory_used": None}),
    "memory not available": ({"total": 2**64 - 1}, {"memory_total": None, "memory_used": None}),
    "more used than there is": ({"used": 80 * GIB + 1}, {"memory_used": None}),
}


@pytest.mark.parametrize("what", ABSURD)
async def test_a_value_that_cannot_be_is_absent(driver: StubDriver, nvml: Nvml, what: str) -> None:
    said, read = ABSURD[what]
    driver.add(**({"rate": 25} | said))
    driver.fail(NO_FUNCTION, "nvmlDeviceGetTemperatureV")
    assert await gpus(nvml) == {"0": replace(WHOLE, **read)}


async def test_text_from_the_driver_is_made_safe(driver: StubDriver, nvml: Nvml) -> None:
    driver.add(name=b"NVIDIA\n\x1b[31mH100", uuid=b"GPU-\x01")
    driver.add(name=b"\xff\xfe")
    found = await gpus(nvml)
    assert (found["0"].product, found["0"].uuid) == ("NVIDIA\ufffd\ufffd[31mH100", "GPU-\ufffd")
    assert found["1"].product == ""


@pytest.mark.parametrize("code", [LOST, RESET_REQUIRED])
@pytest.mark.parametrize("function", ["", "nvmlDeviceGetPowerUsage"])
async def test_a_lost_gpu_is_left_out_with_one_line_and_comes_back_with_one(
    driver: StubDriver, nvml: Nvml, caplog: pytest.LogCaptureFixture, code: int, function: str
) -> None:
    for _ in range(3):
        driver.add(rate=25)
    lines(caplog)
    assert list(await gpus(nvml)) == ["0", "1", "2"]
    driver.fail(code, function, gpu=1)
    for second in range(1, 5):
        assert list(await gpus(nvml, second)) == ["0", "2"]
    (line,) = lines(caplog)
    assert line[0] == logging.WARNING
    assert line[1].startswith("nvml: GPU 1 is left out: ")
    driver.heal()
    for second in range(5, 9):
        assert list(await gpus(nvml, second)) == ["0", "1", "2"]
    assert lines(caplog) == [(logging.INFO, "nvml: GPU 1 is back")]
    assert driver.calls("nvmlInitWithFlags") == 1, "the others were not begun anew"


@pytest.mark.parametrize("function", ["nvmlDeviceGetHandleByIndex_v2", "nvmlDeviceGetUUID"])
async def test_a_gpu_that_is_forbidden_is_left_out_with_one_line(
    driver: StubDriver, nvml: Nvml, caplog: pytest.LogCaptureFixture, function: str
) -> None:
    driver.add()
    driver.add()
    driver.fail(NO_PERMISSION, function, gpu=0)
    lines(caplog)
    for second in range(3):
        assert list(await gpus(nvml, second)) == ["1"]
    ((_, line),) = lines(caplog)
    assert line == f"nvml: GPU 0 is left out: {function.removesuffix('_v2')} failed: NoPermission (4)"


async def test_a_uuid_that_is_no_text_leaves_its_gpu_out(driver: StubDriver, nvml: Nvml) -> None:
    driver.add(uuid=b"GPU-\xff")
    driver.add()
    assert list(await gpus(nvml)) == ["1"]


async def test_when_there_are_more_or_fewer_gpus_each_place_is_looked_at_anew(driver: StubDriver, nvml: Nvml) -> None:
    driver.add(uuid=b"GPU-a")
    driver.add(uuid=b"GPU-b")
    await gpus(nvml)
    driver.gpus[0].uuid = b"GPU-b"
    driver.shrink(1)
    assert {name: gpu.uuid for name, gpu in (await gpus(nvml, 1)).items()} == {"0": "GPU-b"}
    driver.add(uuid=b"GPU-c")
    assert {name: gpu.uuid for name, gpu in (await gpus(nvml, 2)).items()} == {"0": "GPU-b", "1": "GPU-c"}


async def test_a_reading_of_eight_gpus_is_cheap(driver: StubDriver, nvml: Nvml) -> None:
    """What never changes is asked once: each call may cost a millisecond with a real driver."""
    for _ in range(8):
        driver.add()
    await gpus(nvml)
    before = driver.calls()
    await gpus(nvml, 1)
    # The count; MIG mode, memory, power, energy, temperature, samples (how many, then which), rates.
    assert driver.calls() - before == 1 + 8 * 8
