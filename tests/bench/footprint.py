"""What the exporter weighs with one target at a 15 s interval: memory, processor time, time to ready.

The process is the real one, scraped every 15 s as Prometheus would, its target a recorded page whose counters move.
Run: python -m tests.bench.footprint
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from pathlib import Path
from typing import TypedDict

from aiohttp import web

from exporter.demo.engine import SimEngine
from tests.peers.exporter import Exporter, exporter

SECONDS = 62.0  # four intervals
CONFIG = """
pools:
  - name: one
    endpoints: [{{url: "http://127.0.0.1:{port}/metrics"}}]
    gpus: {{count: 1}}
    usd_per_gpu_hour: 2.49
"""


class Figure(TypedDict):
    """One measurement and its goal; 0: none."""

    name: str
    value: float
    unit: str
    goal: float


def cpu_seconds(pid: int) -> float:
    """User and system time of the process and its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int, field: str) -> float:
    """A line of /proc/PID/status, in MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 1024


async def measure(seconds: float = SECONDS) -> list[Figure]:
    """Serve one vLLM page, watch it for that long."""
    engine = SimEngine("llama-8b", start=time.time() - 100)

    async def metrics(_: web.Request) -> web.Response:
        engine.serve("llama-8b", prompt=1000, cached=300, output=200, prefill_seconds=0.4, decode_seconds=4.0)
        return web.Response(body=engine.page(), content_type="text/plain")

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            config = folder / "tokencost.yml"
            config.write_text(CONFIG.format(port=runner.addresses[0][1]))
            begun = time.monotonic()
            async with exporter(config, folder / "ledger.db", folder / "log") as running:
                return await _watch(running, seconds, time.monotonic() - begun)
    finally:
        await runner.cleanup()


async def _watch(running: Exporter, seconds: float, ready: float) -> list[Figure]:
    pid = running.program.process.pid
    cpu, begun = cpu_seconds(pid), time.monotonic()
    while (left := seconds - (time.monotonic() - begun)) > 0:
        await asyncio.sleep(min(15.0, left))
        await running.page()
    share = 100 * (cpu_seconds(pid) - cpu) / (time.monotonic() - begun)
    return [
        {"name": "start to ready, one target", "value": ready, "unit": "s", "goal": 1.0},
        {"name": "resident memory, one target", "value": memory_mb(pid, "VmRSS"), "unit": "MB", "goal": 64.0},
        {"name": f"processor over {seconds:.0f} s, one target at 15 s", "value": share, "unit": "%", "goal": 0.5},
    ]


def show(figures: list[Figure]) -> None:
    """Print them."""
    for figure in figures:
        goal = f"   goal: under {figure['goal']:g}" if figure["goal"] else ""
        print(f"{figure['name']:70} {figure['value']:10.2f} {figure['unit']:2}{goal}")


if __name__ == "__main__":
    show(asyncio.run(measure()))
