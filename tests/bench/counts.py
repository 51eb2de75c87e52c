"""How much work the hot paths do, in what does not depend on the machine: instructions, calls and bytes.

`opcodes` are the interpreter's instructions (sys.settrace) and `calls` those of C functions (sys.setprofile) in one
round for which everything is warmed up; `bytes` are what stays allocated for one more engine (tracemalloc). They are
the same in every run of one version of Python, but for what its own caches and the order of sets make. counts.json
holds what they were when somebody last meant to change them: `make counts` writes it, test_counts.py compares.
"""

from __future__ import annotations

import gc
import json
import platform
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from types import FrameType
from typing import Any

from exporter.books import Books
from exporter.config.schema import Config
from exporter.ledger.accounts import Family
from exporter.ledger.changes import Saved
from exporter.ledger.store import Store
from exporter.publish.writer import Exposition
from exporter.records import NS, Instant
from exporter.sources.reader import Reader
from exporter.sources.registry import ENGINES, GATEWAYS
from tests.bench.held import gateway_pages
from tests.bench.scan import litellm_page, variants, vllm_page
from tests.publish.world import SPEND, view

BASELINE = Path(__file__).parent / "counts.json"
START_NS = 1_795_348_800 * NS
WARM = 4  # rounds until scanners know what moves and all routes are known
POOLS, TENANTS, SERIES = 2, 200, 2_000
Counts = dict[str, int]


def opcodes(work: Callable[[], object]) -> int:
    """Instructions of the interpreter in `work`."""
    found = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal found
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        found += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return found


def calls(work: Callable[[], object]) -> int:
    """C functions that Python code called in `work`."""
    found = 0

    def profile(_: FrameType, event: str, __: Any) -> None:
        nonlocal found
        found += event == "c_call"

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(before)
    return found


class World:
    """Pools of ten engines, one gateway before the first of them."""

    def __init__(self, pools: int = POOLS) -> None:
        price = {"gpus": {"count": Decimal(8)}, "usd_per_gpu_hour": Decimal("2.49")}
        urls = [{"url": f"http://e{n}:8000/metrics"} for n in range(10 * pools)]
        made = [{"name": f"p{n}", "endpoints": urls[10 * n : 10 * n + 10], **price} for n in range(pools)]
        end = {"url": "http://g:4000/metrics"}
        routes = [{"model": "*", "pool": "p0"}]
        gateway = {"name": "edge", "endpoints": [end], "tenant_label": "team_alias", "routes": routes}
        self.config = Config.model_validate({"pools": made, "gateways": [gateway]})
        self.books = Books(self.config, Saved(), Instant(0, START_NS))
        self.store = Store(":memory:")
        self.store.open()
        self.engines = {end.target: Reader("auto") for pool in self.config.pools for end in pool.endpoints}
        self.edge = Reader("auto", GATEWAYS)

    def steps(self, engine: bytes, gateway: bytes, at: Instant) -> Iterator[tuple[str, Callable[[], object]]]:
        """One interval: what happens in it, in order."""
        first = next(iter(self.engines))
        readings = [reader.read(name, bytes(bytearray(engine)), at) for name, reader in self.engines.items()][1:]
        yield "scan a vLLM page", lambda: readings.append(self.engines[first].read(first, engine, at))
        yield "meter it", lambda: self.books.observe(readings[-1])
        for reading in readings[:-1]:
            self.books.observe(reading)
        reported = self.edge.read("http://g:4000/metrics", gateway, at)
        yield f"meter a gateway's page of {TENANTS} tenants", lambda: self.books.observe(reported)
        yield "collect", lambda: self.__dict__.update(found=self.books.collect(at))
        yield f"book {len(self.engines)} engines and {TENANTS} tenants", lambda: self.books.book(self.__dict__["found"])
        yield "drain and save", lambda: self.store.save(self.books.drain())
        yield "gauges", lambda: self.books.gauges(at)


def work() -> Iterator[tuple[str, Callable[[], object]]]:
    """Each step of a warm interval; to be done once before the next is asked for."""
    world, pages, reports = World(), variants(vllm_page(), WARM + 1), gateway_pages(TENANTS, 1)
    for number, (page, report) in enumerate(zip(pages, reports, strict=False)):
        at = Instant(number * 15 * NS, START_NS + number * 15 * NS)
        for name, step in world.steps(page, report, at):
            if number < WARM:
                step()
            else:
                yield name, step
    world.store.close()
    edge = Reader("auto", ENGINES | GATEWAYS)
    *before, last = variants(litellm_page(), WARM)
    for page in before:
        edge.read("t", page, Instant(0, 0))
    yield "scan a LiteLLM page", lambda: edge.read("t", last, Instant(0, 0))
    yield from _rendering()


def _rendering() -> Iterator[tuple[str, Callable[[], object]]]:
    family, exposition = Family(SPEND), Exposition()
    for number in range(SERIES):
        family.add((f"team-{number}", "m", "p", "input"), number)
    exposition.update(view(family)).body("text")
    for share in (1, 100):
        family.touch(range(0, SERIES, share))
        yield (
            f"render {SERIES} series, 1 of {share} changed",
            lambda: exposition.update(view(family)).body("text", True),
        )


def bytes_per_engine() -> int:
    """What stays allocated for one more engine, of those that share a version."""
    pages = variants(vllm_page(), WARM)

    def allocated(pools: int) -> int:
        gc.collect()
        tracemalloc.start()
        world = World(pools)
        for number, page in enumerate(pages):
            at = Instant(number * 15 * NS, START_NS + number * 15 * NS)
            for name, reader in world.engines.items():
                world.books.observe(reader.read(name, bytes(bytearray(page)), at))
            world.books.tick(at)
            world.store.save(world.books.drain())
        gc.collect()
        found = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        world.store.close()
        return found

    allocated(1)  # what is kept for all of them
    return (allocated(3) - allocated(1)) // 20


def measure() -> dict[str, Counts]:
    """Step -> what it takes."""
    found: dict[str, Counts] = {name: {"opcodes": opcodes(step)} for name, step in work()}
    for name, step in work():
        found[name]["calls"] = calls(step)
    found["an engine"] = {"bytes": bytes_per_engine()}
    return found


def version() -> str:
    """The version of Python, as far as its instructions go."""
    return ".".join(platform.python_version_tuple()[:2])


def baseline() -> dict[str, dict[str, Counts]]:
    """Version of Python -> step -> counts."""
    known: dict[str, dict[str, Counts]] = json.loads(BASELINE.read_text())
    return known


if __name__ == "__main__":
    BASELINE.write_text(json.dumps({**baseline(), version(): measure()}, indent=2) + "\n")
