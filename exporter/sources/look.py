"""How each kind of source is looked at: its page is fetched and read, or the driver of this machine is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import cache
from importlib import import_module
from typing import Protocol

from exporter.clock import Clock
from exporter.errors import Reason, ScrapeError
from exporter.records import NS, GpuReading, Instant, Reading
from exporter.sources.dcgm import DcgmReader
from exporter.sources.reader import Reader
from exporter.sources.registry import ENGINES, GATEWAYS
from exporter.sources.target import NVML, Target

LARGE = 1 << 20  # bytes of a page that are not read on the loop: a first look at so many takes a while

Look = Callable[[], Awaitable[Reading | GpuReading]]  # raises ScrapeError


class Pages(Protocol):
    """Where bodies come from: a Fetcher."""

    async def get(self, target: Target) -> bytes: ...


class PageReader(Protocol):
    """What makes a reading of a body: a Reader, a DcgmReader."""

    def read(self, target: str, body: bytes, at: Instant) -> Reading | GpuReading: ...


class Gpus(Protocol):
    """The GPUs of this machine: Nvml."""

    async def read(self, at: Instant) -> GpuReading: ...


def open_nvml() -> Gpus:
    """Imported by those who use it."""
    nvml: Gpus = import_module("exporter.sources.nvml").Nvml()
    return nvml


def look_at(target: Target, pages: Pages, clock: Clock, driver: Callable[[], Gpus] = open_nvml) -> Look:
    """What a poller calls at each of its slots. Whatever it has to remember between two of them is kept in it."""
    if target.name == NVML:
        return _asking(driver, target, clock)
    among = GATEWAYS if target.kind == "gateway" else ENGINES
    reader = DcgmReader() if target.kind == "gpus" else Reader(target.engine, among)
    return _reading_pages(target, pages, clock, reader)


def _reading_pages(target: Target, pages: Pages, clock: Clock, reader: PageReader) -> Look:
    async def look() -> Reading | GpuReading:
        body = await pages.get(target)
        at = clock.now()
        if len(body) > LARGE:
            return await asyncio.to_thread(reader.read, target.name, body, at)
        return reader.read(target.name, body, at)

    return look


def _asking(driver: Callable[[], Gpus], target: Target, clock: Clock) -> Look:
    opened = cache(driver)  # at the first look and not before, so that a failure is a failed scrape

    async def look() -> GpuReading:
        try:
            async with asyncio.timeout(target.timeout_ns / NS):
                return await opened().read(clock.now())
        except TimeoutError:
            what = f"no complete answer within {target.timeout_ns / NS:g} s"
            raise ScrapeError(Reason.TIMEOUT, f"{target.name}: {what}") from None

    return look
