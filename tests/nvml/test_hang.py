"""A call that hangs in the driver costs readings until it is back, and nothing else. Not even exit waits for it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading

import pytest

from exporter.errors import Reason
from exporter.sources.nvml import Nvml
from exporter.sources.nvml.worker import LateError, Worker
from tests.nvml.readings import gpus, moment, recovered, refusal
from tests.nvml.stub import StubDriver
from tests.peers.exporter import ROOT

SOON = 0.05  # seconds


def threads(name: str) -> int:
    return sum(thread.name == name for thread in threading.enumerate())


async def reached(driver: StubDriver, function: str) -> None:
    """That function has been called."""
    async with asyncio.timeout(20):
        while not driver.calls(function):  # noqa: ASYNC110 - the driver has no event for this
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("function", ["nvmlInitWithFlags", "nvmlDeviceGetPowerUsage"])
async def test_a_call_that_hangs(driver: StubDriver, function: str) -> None:
    driver.add()
    nvml = Nvml(timeout=SOON)
    driver.hang(function)
    first = await refusal(nvml)
    assert first.reason is Reason.TIMEOUT
    assert "did not answer within 0.05 s" in str(first)
    await reached(driver, function)
    made = driver.calls()
    for _ in range(5):
        error = await refusal(nvml)
        assert error.reason is Reason.TIMEOUT
        assert "has not returned" in str(error)
    assert driver.calls() == made, "nothing was asked while it hung"
    assert threads("nvml") == 1
    driver.heal()
    assert list(await recovered(nvml)) == ["0"]
    assert driver.calls("nvmlInitWithFlags") == 1
    await nvml.close()


async def test_closing_does_not_wait_for_a_call_that_hangs(driver: StubDriver) -> None:
    driver.add()
    nvml = Nvml(timeout=SOON)
    driver.hang("nvmlDeviceGetPowerUsage")
    await refusal(nvml)
    await nvml.close()
    assert driver.calls("nvmlShutdown") == 0


EXITS = """
import asyncio, sys
from exporter.errors import ScrapeError
from exporter.records import Instant
from exporter.sources.nvml import Nvml

async def main():
    nvml = Nvml(timeout=0.05)
    try:
        await nvml.read(Instant(0, 0))
    except ScrapeError as error:
        print(error.reason, flush=True)
    if "close" in sys.argv:
        await nvml.close()

asyncio.run(main())
"""


@pytest.mark.parametrize("how", ["close", "just end"])
def test_the_process_ends_while_a_call_hangs(driver: StubDriver, how: str) -> None:
    driver.add()
    driver.hang("nvmlDeviceGetUUID")
    done = subprocess.run(
        (sys.executable, "-c", EXITS, how),
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)} | driver.environment,
        capture_output=True, text=True, timeout=20, check=True,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("timeout\n", "")


async def test_a_reading_that_was_cancelled_is_waited_for(driver: StubDriver, nvml: Nvml) -> None:
    """A reload cancels a poller and starts another: the driver is slow, not stuck."""
    driver.add()
    driver.hang("nvmlDeviceGetPowerUsage")
    reading = asyncio.create_task(gpus(nvml))
    await reached(driver, "nvmlDeviceGetPowerUsage")
    reading.cancel()
    next_one = asyncio.create_task(gpus(nvml, 1))
    await asyncio.sleep(0)
    driver.heal()
    assert list(await next_one) == ["0"]
    assert reading.cancelled()


async def test_a_reading_that_was_cancelled_and_hangs(driver: StubDriver) -> None:
    driver.add()
    nvml = Nvml(timeout=0.5)
    driver.hang("nvmlDeviceGetPowerUsage")
    reading = asyncio.create_task(nvml.read(moment()))
    await reached(driver, "nvmlDeviceGetPowerUsage")
    reading.cancel()
    assert "did not answer" in str(await refusal(nvml))
    for _ in range(3):
        assert "has not returned" in str(await refusal(nvml))
    driver.heal()
    assert list(await recovered(nvml)) == ["0"]
    await nvml.close()


async def test_what_the_work_raises_is_raised() -> None:
    worker = Worker("test", 10)
    with pytest.raises(ZeroDivisionError):
        await worker.run(lambda: 1 // 0)
    assert await worker.run(lambda: 1) == 1
    worker.stop()


async def test_work_that_was_cancelled_before_it_began_is_not_done() -> None:
    worker, gate, done = Worker("test", 10), threading.Event(), list[str]()
    first = asyncio.create_task(worker.run(gate.wait))
    await asyncio.sleep(0)
    second = asyncio.create_task(worker.run(lambda: done.append("second")))
    await asyncio.sleep(0)
    second.cancel()
    gate.set()
    await first
    await worker.run(lambda: done.append("third"))
    assert done == ["third"]
    worker.stop()


async def test_a_thread_that_is_stopped_ends() -> None:
    worker = Worker("stopped", 10)
    assert threads("stopped") == 0
    await worker.run(lambda: None)
    assert threads("stopped") == 1
    worker.stop()
    async with asyncio.timeout(20):
        while threads("stopped"):  # noqa: ASYNC110 - a thread has no event for this
            await asyncio.sleep(0.001)


async def test_late_work_is_thrown_away() -> None:
    worker, gate = Worker("late", 0.3), threading.Event()
    with pytest.raises(LateError, match="did not answer"):
        await worker.run(lambda: gate.wait(20) and "late")
    with pytest.raises(LateError, match="has not returned"):
        await worker.run(lambda: "never")
    gate.set()
    async with asyncio.timeout(20):
        while True:
            try:
                assert await worker.run(lambda: "new") == "new"
                break
            except LateError:
                await asyncio.sleep(0.001)
    gate.clear()
    cancelled = asyncio.create_task(worker.run(lambda: gate.wait(20)))
    await asyncio.sleep(0)
    cancelled.cancel()
    waiting = asyncio.create_task(worker.run(lambda: "in time"))
    await asyncio.sleep(0)
    gate.set()
    assert await waiting == "in time", "that once there was something late is forgotten"
    worker.stop()
