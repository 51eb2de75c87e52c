"""How long the exporter's event loop is held: by a thousand engines, a gateway with 10,000 tenants on three models, a
Prometheus and a page that scrape it, and a config that is swapped. It is read from what the exporter says itself.

Run: python -m tests.bench.held
"""

from __future__ import annotations

import asyncio
import json
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

from exporter.demo.gateway import SimGateway
from exporter.loop import BOUNDS
from tests.bench.pages import serving
from tests.bench.scan import variants, vllm_page
from tests.bench.table import Row, alone
from tests.peers.exporter import Exporter, exporter

TARGETS, TENANTS, MODELS, BODIES = 1_000, 10_000, 3, 7
INTERVAL, INTERVALS = 15, 5
MOST_MS = 20.0
LAG = "tokencost_event_loop_lag_seconds"
START = 1_795_348_800.0
Counts = dict[float, float]  # turns no longer than so many seconds


def gateway_pages(tenants: int = TENANTS, models: int = MODELS, active: float = 0.5) -> list[bytes]:
    """Successive pages of one gateway, on each of which that share of the series has moved."""
    gateway, dice, pages = SimGateway(START), Random(1), []
    for number in range(BODIES):
        for tenant in range(tenants):
            for model in range(models):
                if number == 0 or dice.random() < active:
                    gateway.report(f"t{tenant}", f"m{model}", prompt=dice.randint(2, 2000), cached=1, output=50)
        pages.append(gateway.page())
    return pages


def config(address: str, targets: int = TARGETS) -> dict[str, Any]:
    """Pools of ten engines; one gateway, of which each model goes to a pool of its own."""
    urls = [{"url": f"http://{address}/vllm/{n}"} for n in range(targets)]
    price = {"gpus": {"count": 8}, "usd_per_gpu_hour": 2.49}
    pools = [{"name": f"p{n // 10}", "endpoints": urls[n : n + 10], **price} for n in range(0, targets, 10)]
    gateway = {
        "name": "edge",
        "endpoints": [{"url": f"http://{address}/gateway/metrics"}],
        "tenant_label": "team_alias",
        "routes": [{"model": f"m{n}", "pool": f"p{n}"} for n in range(MODELS)],
    }
    scrape = {"interval": f"{INTERVAL}s", "timeout": "10s"}
    return {"scrape": scrape, "tenants": {"limit": 2 * TENANTS}, "pools": pools, "gateways": [gateway]}


@asynccontextmanager
async def fleet(folder: Path) -> AsyncIterator[tuple[Exporter, Path]]:
    """The whole of it at work, and the file of its config."""
    bodies = {"vllm": variants(vllm_page(), BODIES), "gateway": gateway_pages()}
    async with serving(folder, bodies) as address:
        file = folder / "tokencost.yml"
        file.write_text(json.dumps(config(address)))
        async with exporter(file, folder / "ledger.db", folder / "log", deadline=120.0) as running:
            yield running, file


async def turns(running: Exporter) -> Counts:
    """The histogram, as a Prometheus would ask for it."""
    async with running.http.get(f"{running.url}/metrics", headers={"Accept-Encoding": "gzip"}) as answer:
        text = await answer.text()
    lines = (line for line in text.splitlines() if line.startswith(f"{LAG}_bucket"))
    return {float(line.split('"')[1]): float(line.split()[-1]) for line in lines}


def longest(before: Counts, after: Counts) -> float:
    """The bound in ms of the longest turn between the two."""
    grown = {bound: after[bound] - before[bound] for bound in after}
    return 1e3 * min(bound for bound in (*BOUNDS, float("inf")) if grown[bound] == grown[float("inf")])


async def measure() -> dict[str, list[float]]:
    """Bounds of the longest turn of each interval, in ms."""
    found: dict[str, list[float]] = {"at work": [], "while its config is swapped": []}
    with tempfile.TemporaryDirectory() as name:
        async with fleet(Path(name)) as (running, file):
            await asyncio.sleep(2 * INTERVAL)
            for number in range(INTERVALS + 2):
                before = await turns(running)
                await running.http.get(f"{running.url}/api/v1/snapshot")
                if number >= INTERVALS:
                    changed = json.loads(file.read_text())
                    changed["pools"][-1]["usd_per_gpu_hour"] = 3 + number
                    file.write_text(json.dumps(changed))
                    running.program.process.send_signal(signal.SIGHUP)
                await asyncio.sleep(INTERVAL)
                after = await turns(running)
                found["at work" if number < INTERVALS else "while its config is swapped"].append(longest(before, after))
    return found


def rows() -> list[Row]:
    title = f"{TARGETS:,} engines, {TENANTS:,} tenants x {MODELS} models: the longest turn of the event loop"
    return [
        alone(f"{title}, {when}, is shorter than", "ms", values, MOST_MS)
        for when, values in asyncio.run(measure()).items()
    ]


if __name__ == "__main__":
    from tests.bench.table import markdown

    print(markdown(rows()))
