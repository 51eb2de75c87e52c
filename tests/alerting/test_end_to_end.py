"""The demo's fleet, the exporter, Prometheus with our rules, Alertmanager, a webhook: the tenant that runs away pages
and no other; what the page says anyway stays quiet; and when the budget is raised, the end is told.

Durations of the rules are a sixtieth of their own, so that all of it fits into a minute or two; the burn rates are the
exporter's, in true time, of budgets that are small enough.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from exporter.clock import SystemClock
from exporter.demo.fleet import PLANS, Fleet
from exporter.demo.serve import demo_config, drive, serve_fleet
from tests.alerting.programs import alertmanager, get, prometheus, require, victoria
from tests.peers.exporter import Page
from tests.peers.waiting import eventually
from tests.process.exporter import Running, exporter, run, write_config

pytestmark = pytest.mark.peer
SCALE = 1 / 60
RUNAWAY_AFTER = 12.0  # seconds
FAST, SLOW = "TokencostBudgetBurnRateFast", "TokencostBudgetBurnRateSlow"
# US dollars a month. The first is spent at its plan's rate by an agent that asks little, the others are plenty.
BUDGETS = {"hooli": 0.25, "acme": 50_000, "globex": 50_000, "initech": 50_000}


@dataclass
class Webhook:
    """What Alertmanager told it: (seconds since the start, status, alert, budget)."""

    url: str = ""
    began: float = field(default_factory=time.monotonic)
    told: list[tuple[float, str, str, str]] = field(default_factory=list)

    def take(self, body: bytes) -> None:
        for alert in yaml.safe_load(body)["alerts"]:
            labels = alert["labels"]
            when = time.monotonic() - self.began
            self.told.append((when, alert["status"], labels["alertname"], labels.get("budget", "")))

    def when(self, status: str, alert: str, budget: str) -> float | None:
        return next((at for at, *what in self.told if what == [status, alert, budget]), None)


@asynccontextmanager
async def webhook() -> AsyncIterator[Webhook]:
    found = Webhook()

    async def take(request: web.Request) -> web.Response:
        found.take(await request.read())
        return web.Response()

    app = web.Application()
    app.router.add_post("/", take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        found.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        yield found
    finally:
        await runner.cleanup()


@asynccontextmanager
async def fleet() -> AsyncIterator[dict[str, Any]]:
    """The demo's world, whose tenant runs away sooner and for good; yields the exporter's config for it."""
    chat = PLANS[0]
    sources = tuple(
        replace(source, span=(RUNAWAY_AFTER, 1e9)) if source.span[0] > 0 else source for source in chat.sources
    )
    clock = SystemClock()
    plans = (replace(chat, sources=sources), *PLANS[1:])
    world = Fleet(random.Random(7), time.time(), plans, mean_life=1e9)
    async with serve_fleet(world) as urls:
        driver = asyncio.create_task(drive(world, clock))
        try:
            config: dict[str, Any] = yaml.safe_load(demo_config(world, urls))
            yield config | {"scrape": {"interval": "1s", "timeout": "1s"}, "budgets": budgets(BUDGETS)}
        finally:
            driver.cancel()
            with suppress(asyncio.CancelledError):
                await driver


def budgets(limits: dict[str, float]) -> list[dict[str, Any]]:
    return [{"name": name, "tenant": name, "limit_usd": usd, "period": "month"} for name, usd in limits.items()]


async def rules(folder: Path, *flags: str) -> list[Path]:
    """The rules as the command makes them, in small time."""
    ended = await run("generate", "rules", "--out", str(folder), f"--time-scale={SCALE}", *flags, folder=folder.parent)
    assert ended.code == 0, ended.err
    return sorted(path for path in folder.glob("*.yml") if "alertmanager" not in path.name)  # noqa: ASYNC240


def routing(folder: Path, url: str) -> dict[str, Any]:
    """The Alertmanager config that comes with the rules, all of it to one webhook and without waiting."""
    config: dict[str, Any] = yaml.safe_load((folder / "rules" / "alertmanager.yml").read_text())
    route = {"receiver": "webhook", "group_by": ["..."], "group_wait": "0s", "group_interval": "1s"}
    receivers = [{"name": "webhook", "webhook_configs": [{"url": url}]}]
    return {"route": route, "receivers": receivers, "inhibit_rules": config["inhibit_rules"]}


def burn(page: Page, window: str) -> float:
    return page.total("tokencost_budget_burn_rate", budget="hooli", window=window)


async def firing(url: str, alert: str, budget: str) -> bool:
    """Whether that alert is firing in Prometheus or vmalert: both have the same API."""
    alerts = (await get(f"{url}/api/v1/alerts"))["data"]["alerts"] or ()  # vmalert says null
    wanted = (alert, budget, "firing")
    return any((one["labels"].get("alertname"), one["labels"].get("budget"), one["state"]) == wanted for one in alerts)


async def inhibited(manager: str) -> bool:
    """Whether Alertmanager holds the slow alert of the budget whose fast one fires."""
    alerts = await get(f"{manager}/api/v2/alerts")
    return any(
        alert["labels"]["alertname"] == SLOW and alert["labels"]["budget"] == "hooli" and alert["status"]["inhibitedBy"]
        for alert in alerts
    )


async def raise_the_budget(running: Running, folder: Path, config: dict[str, Any]) -> None:
    """What somebody who was paged may do."""
    write_config(folder, config | {"budgets": budgets(BUDGETS | {"hooli": 50_000})})
    assert (await running.post("/-/reload"))[0] == 200


async def test_the_tenant_that_runs_away_pages_and_no_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    require("prometheus", "prometheus-alertmanager", "victoria-metrics", "vmalert")
    files = await rules(tmp_path / "rules")
    older = await rules(tmp_path / "older", "--set=*.keep_firing_for=0s")  # Debian's vmalert does not know it yet
    async with (
        fleet() as config,
        webhook() as told,
        exporter(tmp_path, config, "--web.enable-lifecycle") as running,
        alertmanager(tmp_path, routing(tmp_path, told.url)) as manager,
        prometheus(tmp_path, running.url, files, manager) as server,
        victoria(tmp_path, running.url, older, manager) as other,
    ):
        await running.page_when(lambda page: burn(page, "1h") > 14.4, "it burns too fast")
        burnt = time.monotonic() - told.began

        async def paged() -> float | None:
            return told.when("firing", FAST, "hooli")

        page = await eventually(paged, "the webhook is told", deadline=90)
        await eventually(lambda: firing(server, FAST, "hooli"), "Prometheus fires it", deadline=30)
        await eventually(lambda: firing(other, FAST, "hooli"), "vmalert fires it too", deadline=60)
        await eventually(lambda: firing(server, SLOW, "hooli"), "the slow one follows", deadline=90)
        await eventually(lambda: inhibited(manager), "and is inhibited", deadline=30)
        assert told.when("firing", SLOW, "hooli") is None, "one page, not two"
        assert {budget for _, _, alert, budget in told.told if alert == FAST} == {"hooli"}

        await raise_the_budget(running, tmp_path, config)

        async def resolved() -> float | None:
            return told.when("resolved", FAST, "hooli")

        end = await eventually(resolved, "the end is told", deadline=90)
    with capsys.disabled():
        theory = 120 * SCALE + 1 + 1 + 1  # `for`, a scrape, an evaluation, Alertmanager's flush
        print(
            f"\nrunaway -> webhook: its burn rate passed 14.4 after {burnt - RUNAWAY_AFTER:.0f} s; told "
            f"{page - burnt:.1f} s later (in theory at most {theory:.0f} s); resolved after {end:.0f} s"
        )
