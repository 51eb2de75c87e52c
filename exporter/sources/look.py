"""How each kind of source is looked at: its page is fetched and read, or the driver of this machine is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from exporter.clock import Clock
from exporter.records import NVML, GpuReading, Instant, Reading
from exporter.sources.gpu_page import GpuPage
from exporter.sources.gpus import GPUS
from exporter.sources.limits import Room
from exporter.sources.reader import Reader
from exporter.sources.registry import ENGINES, GATEWAYS
from exporter.sources.target import Target
from exporter.waiting import Turns

LARGE = 1 << 20  # bytes of a page that are not read on the loop: a first look at so many takes a while

Look = Callable[[], Awaitable[Reading | GpuReading]]  # raises ScrapeError


class Pages(Protocol):
    """Where bodies come from: a Fetcher."""

    async def get(self, target: Target) -> bytes: ...


class PageReader(Protocol):
    """What makes a reading of a body: a Reader, a GpuPage."""

    def read(self, target: str, body: bytes, at: Instant) -> Reading | GpuReading: ...


class Gpus(Protocol):
    """The GPUs of this machine: Nvml."""

    async def read(self, at: Instant) -> GpuReading: ...


def look_at(target: Target, pages: Pages, clock: Clock, driver: Callable[[], Gpus], room: Room, turns: Turns) -> Look:
    """What a poller calls at each of its slots. Whatever it has to remember between two of them is kept in it.

    `driver` gives the one way into the driver of this machine: at the first look and not before, so that a failure is a
    failed scrape. `room` is for the series of all targets, and `turns` for their work on the loop.
    """
    if target.name == NVML:
        return _asking(driver, clock)
    if target.kind == "gpus":
        return _reading_pages(target, pages, clock, GpuPage(GPUS[target.engine], room), turns)
    among = GATEWAYS if target.kind == "gateway" else ENGINES
    return _reading_pages(target, pages, clock, Reader(target.custom or target.engine, among, room), turns)


def _reading_pages(target: Target, pages: Pages, clock: Clock, reader: PageReader, turns: Turns) -> Look:
    async def look() -> Reading | GpuReading:
        body = await pages.get(target)
        at = clock.now()
        if len(body) > LARGE:
            return await asyncio.to_thread(reader.read, target.name, body, at)
        await turns.mine()
        return reader.read(target.name, body, at)

    return look


def _asking(driver: Callable[[], Gpus], clock: Clock) -> Look:
    async def look() -> GpuReading:
        return await driver().read(clock.now())

    return look
