"""No library, no driver, no permission, a driver that restarts: said clearly, and over when it is over."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from exporter.errors import Reason
from exporter.sources.nvml import Nvml
from tests.nvml.readings import LOST, MISMATCH, NO_DRIVER, NO_PERMISSION, UNKNOWN, gpus, refusal
from tests.nvml.stub import StubDriver
from tests.peers.exporter import ROOT

READS = """
import asyncio, json, sys
from exporter.errors import ScrapeError
from exporter.records import Instant
from exporter.sources.nvml import Nvml

def say(**what):
    print(json.dumps({"pynvml": "pynvml" in sys.modules, **what}), flush=True)

async def main():
    nvml = Nvml(timeout=10)
    say()
    for _ in sys.stdin:
        try:
            reading = await nvml.read(Instant(0, 0))
            say(gpus=[gpu.uuid for gpu in reading.gpus])
        except ScrapeError as error:
            say(reason=error.reason, text=str(error))
    await nvml.close()

asyncio.run(main())
"""


def child(environment: dict[str, str]) -> subprocess.Popen[str]:
    """A program that reads once for each line it is given."""
    pipe = subprocess.PIPE
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)} | environment
    return subprocess.Popen((sys.executable, "-c", READS), env=environment, stdin=pipe, stdout=pipe, text=True)


def answer(program: subprocess.Popen[str]) -> dict[str, object]:
    assert program.stdout is not None
    line: dict[str, object] = json.loads(program.stdout.readline())
    return line


def asked(program: subprocess.Popen[str]) -> dict[str, object]:
    assert program.stdin is not None
    program.stdin.write("\n")
    program.stdin.flush()
    return answer(program)


def test_a_library_that_is_missing_is_said_and_one_that_appears_is_found(
    driver: StubDriver, library: Path, tmp_path: Path
) -> None:
    driver.add(uuid=b"GPU-a")
    with child(driver.environment | {"LD_LIBRARY_PATH": str(tmp_path)}) as program:
        assert answer(program) == {"pynvml": False}, "who reads no GPU does not pay for it"
        for _ in range(2):
            refused = asked(program)
            assert refused["reason"] == "no_library"
            assert "NVIDIA_DRIVER_CAPABILITIES=utility" in str(refused["text"])
        (tmp_path / library.name).write_bytes(b"not a library")
        assert asked(program)["reason"] == "no_library"
        shutil.copy(library, tmp_path / "new")
        (tmp_path / "new").replace(tmp_path / library.name)
        assert asked(program) == {"pynvml": True, "gpus": ["GPU-a"]}
        program.communicate(timeout=20)
    assert program.returncode == 0


def test_a_child_process_finds_the_library_by_its_path(driver: StubDriver) -> None:
    """As the whole exporter does in other tests."""
    driver.add(uuid=b"GPU-a")
    with child(driver.environment) as program:
        answer(program)
        assert asked(program)["gpus"] == ["GPU-a"]
        driver.gpus[0].uuid = b"GPU-b"
        driver.restart()
        assert asked(program)["reason"] == "driver"
        assert asked(program)["gpus"] == ["GPU-b"]
        program.communicate(timeout=20)


async def test_a_driver_that_is_not_loaded_and_then_is(driver: StubDriver, nvml: Nvml) -> None:
    driver.add()
    driver.unload()
    for _ in range(3):
        error = await refusal(nvml)
        assert error.reason is Reason.NO_DRIVER
        assert "nvidia-smi" in str(error)
    assert driver.calls("nvmlShutdown") == 0
    driver.restart()
    assert list(await gpus(nvml)) == ["0"]


@pytest.mark.parametrize(
    ("code", "reason", "advice"),
    [
        (NO_DRIVER, Reason.NO_DRIVER, "not loaded"),
        (NO_PERMISSION, Reason.PERMISSION, "/dev/nvidiactl"),
        (MISMATCH, Reason.DRIVER, "restart this program"),
        (UNKNOWN, Reason.DRIVER, "nvmlInitWithFlags failed: Unknown (999)"),
        (77, Reason.DRIVER, "(77)"),
    ],
)
async def test_why_nvml_cannot_be_initialised(
    driver: StubDriver, nvml: Nvml, code: int, reason: Reason, advice: str
) -> None:
    driver.add()
    driver.fail(code, "nvmlInitWithFlags")
    error = await refusal(nvml)
    assert error.reason is reason
    assert advice in str(error)
    driver.heal()
    assert list(await gpus(nvml)) == ["0"], "it is tried again at every reading"


async def test_a_driver_that_restarts_costs_one_reading(driver: StubDriver, nvml: Nvml) -> None:
    gpu = driver.add(energy=5_000)
    driver.cut(0, 0, ids=(1, 0))
    assert (await gpus(nvml))["0"].energy == 5.0
    driver.restart()
    gpu.energy, gpu.mig = 1_000, 0
    assert (await refusal(nvml)).reason is Reason.DRIVER
    found = await gpus(nvml, 1)
    assert list(found) == ["0"]
    assert found["0"].energy == 1.0, "the counter went down, and that is for the reader to see"
    assert driver.calls("nvmlInitWithFlags") == 2


@pytest.mark.parametrize("function", ["nvmlDeviceGetCount_v2", "nvmlDeviceGetPowerUsage", "nvmlDeviceGetUUID"])
@pytest.mark.parametrize("code", [NO_DRIVER, MISMATCH])
@pytest.mark.parametrize("gpu", [-1, 0])
async def test_whatever_call_it_is_that_says_so_nvml_is_begun_anew(
    driver: StubDriver, nvml: Nvml, function: str, code: int, gpu: int
) -> None:
    driver.add()
    driver.add()
    driver.fail(code, function, gpu=-1 if "Count" in function else gpu)
    assert (await refusal(nvml)).reason in {Reason.NO_DRIVER, Reason.DRIVER}
    driver.heal()
    assert list(await gpus(nvml)) == ["0", "1"]
    assert driver.calls("nvmlInitWithFlags") == 2
    assert driver.calls("nvmlShutdown") == 1


async def test_when_every_gpu_is_lost_nvml_is_begun_anew(driver: StubDriver, nvml: Nvml) -> None:
    driver.add()
    driver.add()
    await gpus(nvml)
    driver.fail(LOST, "nvmlDeviceGetPowerUsage")
    for _ in range(2):
        error = await refusal(nvml)
        assert error.reason is Reason.DRIVER
        assert "GpuIsLost" in str(error)
    driver.heal()
    assert list(await gpus(nvml)) == ["0", "1"]
    assert driver.calls("nvmlInitWithFlags") == 3


async def test_when_every_gpu_is_forbidden_it_is_a_matter_of_permission(driver: StubDriver, nvml: Nvml) -> None:
    driver.add()
    driver.fail(NO_PERMISSION, "nvmlDeviceGetHandleByIndex_v2")
    assert (await refusal(nvml)).reason is Reason.PERMISSION


async def test_no_gpu_at_all(driver: StubDriver, nvml: Nvml) -> None:
    error = await refusal(nvml)
    assert error.reason is Reason.EMPTY
    assert "NVIDIA_VISIBLE_DEVICES" in str(error)
    driver.add()
    assert list(await gpus(nvml)) == ["0"]
    assert driver.calls("nvmlInitWithFlags") == 2, "it may have seen none because it was initialised too early"


async def test_a_source_that_was_never_read_closes(driver: StubDriver) -> None:
    await Nvml(timeout=1).close()
    assert driver.calls() == 0


async def test_closing_shuts_nvml_down(driver: StubDriver) -> None:
    driver.add()
    nvml = Nvml(timeout=10)
    await gpus(nvml)
    await nvml.close()
    assert driver.calls("nvmlShutdown") == 1
