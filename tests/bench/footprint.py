"""What the exporter weighs with one target at a 15 s interval: memory, processor time, time to ready.

The process is the real one, scraped every 15 s as Prometheus would, its target a recorded page whose counters move.
Run: python -m tests.bench.footprint
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

from aiohttp import web

from exporter.demo.engine import SimEngine
from tests.bench.process import cpu_ns, rss_mb
from tests.bench.table import Row, alone, markdown
from tests.peers.exporter import Exporter, exporter

INTERVAL = 15.0
SECONDS = 4 * INTERVAL
STARTS = 5
CONFIG = """
pools:
  - name: one
    endpoints: [{{url: "http://127.0.0.1:{port}/metrics"}}]
    gpus: {{count: 1}}
    usd_per_gpu_hour: 2.49
"""


async def measure(seconds: float = SECONDS, starts: int = STARTS) -> list[Row]:
    """Serve one vLLM page, start a few times, watch the last one for that long."""
    engine = SimEngine("llama-8b", start=time.time() - 100)

    async def metrics(_: web.Request) -> web.Response:
        engine.serve("llama-8b", prompt=1000, cached=300, output=200, prefill_seconds=0.4, decode_seconds=4.0)
        return web.Response(body=engine.page(), content_type="text/plain")

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    took: list[float] = []
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            config = folder / "tokencost.yml"
            config.write_text(CONFIG.format(port=runner.addresses[0][1]))
            for number in range(starts):
                begun = time.monotonic()
                async with exporter(config, folder / "ledger.db", folder / "log") as running:
                    took.append(time.monotonic() - begun)
                    watched = await _watch(running, seconds if number == starts - 1 else 0.0)
    finally:
        await runner.cleanup()
    return [alone("start to ready, one target", "s", took, 1.0), *watched]


async def _watch(running: Exporter, seconds: float) -> list[Row]:
    pid = running.program.process.pid
    shares: list[float] = []
    begun = time.monotonic()
    while time.monotonic() - begun < seconds:
        cpu, since = cpu_ns(pid), time.monotonic()
        await asyncio.sleep(INTERVAL)
        await running.page()
        shares.append(100 * (cpu_ns(pid) - cpu) / 1e9 / (time.monotonic() - since))
    return [
        alone("resident memory, one target at 15 s", "MB", [rss_mb(pid)], 64.0),
        *([alone("processor, one target at 15 s", "% of a core", shares, 0.5)] if shares else []),
    ]


if __name__ == "__main__":
    print(markdown(asyncio.run(measure())))
