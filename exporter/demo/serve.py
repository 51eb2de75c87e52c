"""The simulated fleet on real HTTP: one loopback port for each engine and for the gateway, a task that moves the
world, a config for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from aiohttp import hdrs, web

from exporter.clock import Clock
from exporter.demo.fleet import BUDGETS, ApiPlan, Fleet, PoolPlan, demo_fleet
from exporter.records import NS

STEP_NS = NS // 4
GATEWAY = "edge"
_TEXT = "text/plain; version=1.0.0; charset=utf-8"  # as LiteLLM's prometheus_client says


Handler = Callable[[web.Request], Awaitable[web.Response]]


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
    """Serve every engine's page and the gateway's on a free loopback port of its own; yields the URLs by the names of
    the engines and GATEWAY.

    An engine that is down keeps its port and drops every connection, so that it comes back where it was.
    """
    urls: dict[str, str] = {}
    pages = {name: {"/metrics": _engine(fleet, name)} for name in fleet.engines}
    async with AsyncExitStack() as stack:
        for name, routes in (pages | {GATEWAY: {"/metrics": _moved, "/metrics/": _gateway(fleet)}}).items():
            app = web.Application()
            app.add_routes(web.get(path, handler) for path, handler in routes.items())
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            urls[name] = f"http://127.0.0.1:{runner.addresses[0][1]}/metrics"
        yield urls


async def _moved(request: web.Request) -> web.Response:
    """LiteLLM mounts its page at /metrics/ and says so, with the whole address."""
    raise web.HTTPTemporaryRedirect(request.url.with_path("/metrics/"))


def _gateway(fleet: Fleet) -> Handler:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=fleet.gateway.page(), headers={hdrs.CONTENT_TYPE: _TEXT})

    return answer


def _engine(fleet: Fleet, name: str) -> Handler:
    async def answer(request: web.Request) -> web.Response:
        if not fleet.up(name) and request.transport is not None:
            request.transport.abort()
        engine = fleet.workers[name].engine
        return web.Response(body=engine.page(), headers={hdrs.CONTENT_TYPE: engine.flavour.content_type})

    return answer


def demo_config(fleet: Fleet, urls: Mapping[str, str]) -> str:
    """The exporter's config for this fleet, as YAML text that a user could have written. Without a URL for GATEWAY
    nobody is asked whose the use of its pools was, and there are no budgets."""
    prices = (f'    - {{product: "{plan.product}", usd_per_hour: {plan.usd_per_gpu_hour}}}' for plan in fleet.plans)
    pools = (_pool_config(plan, fleet, urls) for plan in fleet.plans)
    tenants = (*_gateway_config(fleet, urls[GATEWAY]), *_budget_config()) if GATEWAY in urls else ()
    return "\n".join(
        (
            "scrape: {interval: 2s, timeout: 1s}",
            "live: {windows: [1m, 5m]}",
            "prices:",
            "  gpus:",
            *prices,
            "  models:",
            f"    - {_model_price(fleet.api)}",
            "  catalog: none",
            "pools:",
            *pools,
            *tenants,
            "",
        )
    )


def _pool_config(plan: PoolPlan, fleet: Fleet, urls: Mapping[str, str]) -> str:
    endpoints = (
        f'      - {{url: "{urls[name]}", role: {worker.role}}}'
        for name, worker in fleet.workers.items()
        if worker.model == plan.name
    )
    # A demo shows soon what went past the gateway; its longest requests take about that long.
    owner = f"tenant: {plan.tenant}" if plan.tenant else "claim_within: 30s"
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


def _model_price(api: ApiPlan) -> str:
    kinds = ("input", "cache_read", "output")
    prices = (f"{kind}_usd_per_mtok: {usd:.2f}" for kind, usd in zip(kinds, api.usd_per_mtok, strict=True))
    return f"{{model: {api.model}, provider: {api.provider}, {', '.join(prices)}}}"


def _gateway_config(fleet: Fleet, url: str) -> tuple[str, ...]:
    routes = (f'      - {{model: "{plan.name}*", pool: {plan.name}}}' for plan in fleet.plans if not plan.tenant)
    return (
        "gateways:",
        f"  - name: {GATEWAY}",
        "    engine: litellm",
        f'    endpoints: [{{url: "{url}"}}]',
        "    tenant_label: team_alias",
        "    routes:",
        *routes,
        f'      - {{model: "*", provider: {fleet.api.provider}}}',
    )


def _budget_config() -> tuple[str, ...]:
    rows = (f"{{name: {name}, limit_usd: {usd}, period: month{narrowed}}}" for name, usd, narrowed in BUDGETS)
    return "budgets:", *(f"  - {row}" for row in rows)
