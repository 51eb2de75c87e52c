"""What reading eight GPUs every second costs the whole exporter: the real process and binding, on a stub of the driver.

Run: python -m tests.bench.gpus
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

from exporter.demo.engine import SimEngine
from tests.bench.process import cpu_ns, rss_mb
from tests.bench.table import Row, alone, markdown
from tests.nvml.stub import StubDriver, build
from tests.process.engines import serving
from tests.process.exporter import config, exporter, pool

GPUS, SECONDS = 8, 30.0


async def measure(seconds: float = SECONDS) -> list[Row]:
    """Watch it for that long, with its engine at work and every sample buffer filling as a driver fills it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        driver = StubDriver(build(folder), folder / "state")
        for _ in range(GPUS):
            driver.add(rate=80)
        engine = SimEngine("m", start=time.time() - 100)
        prices = {"gpus": [{"product": "*", "usd_per_hour": 2.49}], "energy": {"usd_per_kwh": 0.12}}
        async with serving(engine) as url:
            settings = config(pool("p", url, gpus={"source": "nvml"}), prices=prices, scrape={"interval": "1s"})
            del settings["pools"][0]["usd_per_gpu_hour"]
            async with exporter(folder, settings, environment=driver.environment) as running:
                pid = running.program.process.pid
                await asyncio.sleep(2)
                cpu, begun = cpu_ns(pid), time.monotonic()
                while time.monotonic() - begun < seconds:
                    stamp = int(time.time() * 1e6)
                    for gpu in range(GPUS):
                        driver.sample(gpu, [(stamp + sixth * 166_667, 80) for sixth in range(6)])
                        driver.gpus[gpu].energy += 500_000
                    engine.serve("m", prompt=1000, output=200, prefill_seconds=0.4, decode_seconds=4.0)
                    await asyncio.sleep(1)
                share = 100 * (cpu_ns(pid) - cpu) / 1e9 / (time.monotonic() - begun)
                found = await running.page()
                assert found.total("tokencost_gpus") == GPUS
                return [
                    alone(f"processor, {GPUS} GPUs by NVML and an engine at 1 s", "% of a core", [share], 2.0),
                    alone(f"resident memory, {GPUS} GPUs by NVML", "MB", [rss_mb(pid)]),
                ]


if __name__ == "__main__":
    print(markdown(asyncio.run(measure())))
