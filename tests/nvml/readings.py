"""What the tests of NVML ask of a source."""

from __future__ import annotations

import asyncio
import logging

import pytest

from exporter.errors import ScrapeError
from exporter.records import NS, Gpu, Instant
from exporter.sources.nvml import Nvml

# nvmlReturn_t
NOT_SUPPORTED, NO_PERMISSION, NOT_FOUND, NO_DRIVER = 3, 4, 6, 9
NO_FUNCTION, LOST, RESET_REQUIRED, MISMATCH, UNKNOWN = 13, 15, 16, 18, 999


def moment(seconds: float = 0) -> Instant:
    """So many seconds into the test."""
    ns = 1000 * NS + round(seconds * NS)
    return Instant(ns, 1_800_000_000 * NS + ns)


async def gpus(nvml: Nvml, seconds: float = 0) -> dict[str, Gpu]:
    """A reading, by name."""
    reading = await nvml.read(moment(seconds))
    assert (reading.target, reading.engine, reading.at) == ("nvml://localhost", "nvml", moment(seconds))
    found = {gpu.name: gpu for gpu in reading.gpus}
    assert len(found) == len(reading.gpus), "names are unique"
    return found


async def refusal(nvml: Nvml) -> ScrapeError:
    with pytest.raises(ScrapeError) as error:
        await nvml.read(moment())
    assert str(error.value).startswith("nvml://localhost: ")
    return error.value


async def recovered(nvml: Nvml) -> dict[str, Gpu]:
    """The first reading that is good again."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await gpus(nvml)
            except ScrapeError:
                await asyncio.sleep(0.005)


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    """(level, text) of what was logged since the last look, which is forgotten."""
    found = [(record.levelno, record.getMessage()) for record in caplog.records]
    caplog.clear()
    caplog.set_level(logging.INFO)
    return found
