"""The simulated fleet on real HTTP: one loopback port per engine, a task that moves the world, a config for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from aiohttp import hdrs, web

from exporter.clock import Clock
from exporter.demo.fleet import Fleet, PoolPlan, demo_fleet
from exporter.records import NS

STEP_NS = NS // 4


@asynccontextmanager
async def demo(clock: Clock, seed: int = 1, day_seconds: float = 300.0) -> AsyncIterator[str]:
    """Run the demo's world until the block ends; yields the exporter's config (YAML) for it.

    A simulated day takes `day_seconds`. An error in the world's own task is raised when the block ends.
    """
    fleet = demo_fleet(clock.now().wall_ns / NS, seed, day_seconds)
    async with serve_fleet(fleet) as urls:
        driver = asyncio.create_task(drive(fleet, clock), name="demo world")
        try:
            yield demo_config(fleet, urls)
        finally:
            driver.cancel()
            with suppress(asyncio.CancelledError):
                await driver


async def drive(fleet: Fleet, clock: Clock) -> None:
    """Move the world along with the clock, four times a second, for ever."""
    last = clock.now()
    while True:
        await clock.sleep_until(last.monotonic_ns + STEP_NS)
        now = clock.now()
        fleet.advance((now.monotonic_ns - last.monotonic_ns) / NS, now.wall_ns / NS)
        last = now


@asynccontextmanager
async def serve_fleet(fleet: Fleet) -> AsyncIterator[dict[str, str]]:
    """Serve every engine's page on its own free loopback port; yields the URLs by engine name.

    An engine that is down keeps its port and drops every connection, so that it comes back where it was.
    """
    urls: dict[str, str] = {}
    async with AsyncExitStack() as stack:
        for name in fleet.engines:
            app = web.Application()
            app.router.add_get("/metrics", _metrics(fleet, name))
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            urls[name] = f"http://127.0.0.1:{runner.addresses[0][1]}/metrics"
        yield urls


def _metrics(fleet: Fleet, name: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(request: web.Request) -> web.Response:
        if not fleet.up(name) and request.transport is not None:
            request.transport.abort()
        engine = fleet.workers[name].engine
        return web.Response(body=engine.page(), headers={hdrs.CONTENT_TYPE: engine.flavour.content_type})

    return answer


def demo_config(fleet: Fleet, urls: Mapping[str, str]) -> str:
    """The exporter's config for this fleet, as YAML text that a user could have written."""
    prices = (f'    - {{product: "{plan.product}", usd_per_hour: {plan.usd_per_gpu_hour}}}' for plan in fleet.plans)
    pools = (_pool_config(plan, fleet, urls) for plan in fleet.plans)
    return "\n".join(
        (
            "scrape: {interval: 2s, timeout: 1s}",
            "live: {windows: [1m, 5m]}",
            "prices:",
            "  gpus:",
            *prices,
            "pools:",
            *pools,
            "",
        )
    )


def _pool_config(plan: PoolPlan, fleet: Fleet, urls: Mapping[str, str]) -> str:
    endpoints = (
        f'      - {{url: "{urls[name]}", role: {worker.role}}}'
        for name, worker in fleet.workers.items()
        if worker.model == plan.name
    )
    owner = f"tenant: {plan.tenant}" if plan.tenant else f"tenant_label: {plan.tenant_label}"
    return "\n".join(
        (
            f"  - name: {plan.name}",
            "    engine: vllm",
            "    endpoints:",
            *endpoints,
            f'    gpus: {{count: {plan.gpus}, product: "{plan.product}"}}',
            f"    {owner}",
        )
    )
