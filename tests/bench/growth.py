"""How processor time and memory grow: with targets, with series on the page, with tenants. `make growth`: about ten
minutes, into docs/images/growth.svg; the numbers go to standard output.

Targets and tenants are the real exporter on a page server. Series are the ledger and the page alone, in a process of
their own: a tenth of the accounts moves between two ticks, the page is rendered, squeezed and saved.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from time import process_time
from typing import Any

from exporter.ledger.accounts import Family
from exporter.ledger.changes import Changes
from exporter.ledger.store import Store
from exporter.publish.writer import Exposition
from tests.bench.held import gateway_pages
from tests.bench.pages import serving
from tests.bench.plot import Plot, slope, svg
from tests.bench.process import cpu_ns, rss_mb
from tests.bench.scan import variants, vllm_page
from tests.bench.table import number
from tests.peers.exporter import ROOT, exporter
from tests.publish.world import SPEND, view

FIGURE = ROOT / "docs" / "images" / "growth.svg"
TARGETS, SERIES, TENANTS = (
    (10, 100, 300, 1_000, 2_000),
    (1_000, 10_000, 30_000, 100_000, 300_000),
    (10, 1_000, 10_000, 50_000),
)
INTERVAL, SETTLE, WATCH = 10, 2, 2  # seconds; intervals
BODIES, TICKS = 10, 7
MOST_TENANTS = 25_000  # of one gateway: four series each, and one page has 200,000 at most
PRICE = {"gpus": {"count": 8}, "usd_per_gpu_hour": 2.49}
Measured = tuple[float, float]  # CPU ms per interval, MB resident


@asynccontextmanager
async def watched(config: Mapping[str, Any], pages: Mapping[str, Sequence[bytes]]) -> AsyncIterator[int]:
    """The exporter's pid once it has settled in; ADDRESS in the config is the page server's."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with serving(folder, pages) as address:
            file = folder / "tokencost.yml"
            file.write_text(json.dumps(config).replace("ADDRESS", address))
            async with exporter(file, folder / "ledger.db", folder / "log", deadline=120.0) as running:
                await asyncio.sleep(SETTLE * INTERVAL)
                yield running.program.process.pid


async def during(pid: int) -> Measured:
    before = cpu_ns(pid)
    await asyncio.sleep(WATCH * INTERVAL)
    return (cpu_ns(pid) - before) / 1e6 / WATCH, rss_mb(pid)


async def targets(count: int) -> Measured:
    """So many engines, in pools of ten."""
    urls = [{"url": f"http://ADDRESS/vllm/{n}"} for n in range(count)]
    pools = [{"name": f"p{n}", "endpoints": urls[n : n + 10], **PRICE} for n in range(0, count, 10)]
    config = {"scrape": {"interval": f"{INTERVAL}s"}, "pools": pools}
    async with watched(config, {"vllm": variants(vllm_page(), BODIES)}) as pid:
        return await during(pid)


async def tenants(count: int) -> Measured:
    """So many tenants, a tenth of them active in an interval, of one model behind as many gateways as that needs."""
    gateways = -(-count // MOST_TENANTS)
    pages = gateway_pages(count // gateways, 1, active=0.1)
    pool = {"name": "p", "endpoints": [{"url": "http://ADDRESS/vllm/1"}], **PRICE}
    routes = [{"model": "*", "pool": "p"}]
    made = [
        {
            "name": f"g{n}", "endpoints": [{"url": f"http://ADDRESS/g{n}/metrics"}],
            "tenant_label": "team_alias", "routes": routes,
        }
        for n in range(gateways)
    ]  # fmt: skip
    scrape = {"interval": f"{INTERVAL}s", "timeout": f"{INTERVAL}s"}
    config = {"scrape": scrape, "tenants": {"limit": count + 1}, "pools": [pool], "gateways": made}
    bodies = {"vllm": variants(vllm_page(), BODIES)}
    for n in range(gateways):  # every gateway has tenants of its own
        bodies[f"g{n}"] = [page.replace(b'team_alias="t', b'team_alias="g%d-t' % n) for page in pages]
    async with watched(config, bodies) as pid:
        return await during(pid)


async def series(count: int) -> Measured:
    """So many accounts, in a process of their own."""
    command = [sys.executable, "-m", "tests.bench.growth", "series", str(count)]
    ran = await asyncio.to_thread(
        subprocess.run, command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    cpu, rss = json.loads(ran.stdout)
    return cpu, rss


def tick_series(count: int) -> Measured:
    """What `series` measures."""
    dice, books, exposition, store = Random(1), Family(SPEND), Exposition(), Store(":memory:")
    store.open()
    for row in range(count):
        books.add(
            (f"team-{row // 10:05d}", f"model-{row // 5 % 2}", "pool", f"class-{row % 5}"), dice.randrange(10**15)
        )
    took: list[float] = []
    for _ in range(TICKS):
        for row in dice.sample(range(count), count // 10):
            books.add(books.labels[row], 10**9)
        began = process_time()
        moved = sorted(books.unsaved)
        books.unsaved.clear()
        store.save(Changes(accounts=tuple((SPEND, row, books.labels[row], books.values[row]) for row in moved)))
        rendered = exposition.update(view(books))
        rendered.body("text", True)
        took.append((process_time() - began) * 1e3)
    return sorted(took)[TICKS // 2], rss_mb(os.getpid())


GROWTH: Mapping[str, tuple[Callable[[int], Awaitable[Measured]], Sequence[int]]] = {
    "targets": (targets, TARGETS),
    "series on the page": (series, SERIES),
    "tenants": (tenants, TENANTS),
}


async def measure() -> dict[str, list[tuple[int, Measured]]]:
    found: dict[str, list[tuple[int, Measured]]] = {}
    for what, (work, sizes) in GROWTH.items():
        for size in sizes:
            found.setdefault(what, []).append((size, await work(size)))
            print(
                f"{size:,} {what}: {number(found[what][-1][1][0])} CPU ms, {number(found[what][-1][1][1])} MB",
                flush=True,
            )
    return found


def main() -> None:
    found = asyncio.run(measure())
    kinds = (("CPU ms per interval", 0, "ms"), ("resident memory, MB", 1, "MB"))
    rows = [
        [Plot(title, what, [(size, both[index]) for size, both in points]) for what, points in found.items()]
        for title, index, _ in kinds
    ]
    FIGURE.write_text(svg(rows))
    for row, (_, _, unit) in zip(rows, kinds, strict=True):
        for plot in row:
            base, rise = slope(plot.points)
            print(f"{plot.title} by {plot.across}: {number(base)} {unit} + {number(rise * 1000)} {unit} per 1,000")


if __name__ == "__main__":
    if sys.argv[1:2] == ["series"]:
        print(json.dumps(tick_series(int(sys.argv[2]))))
    else:
        main()
