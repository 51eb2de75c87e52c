"""The PromQL behind every number gives that number: asked of a real Prometheus that holds the same hour."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from playwright.async_api import Browser, Page

from exporter.publish.catalog import by_name
from tests.conftest import require_peer
from tests.page.browser import DASH, number, shown
from tests.page.world import Served, serving_fleet
from tests.peers.process import program
from tests.peers.waiting import eventually

# Every number: what it is called, what it is, the query. Opened one after the other, as a click would.
_FACTS = """
() => [...document.querySelectorAll("main button.n")].map((button) => {
  button.click();
  const text = (part) => document.getElementById(`query-${part}`).textContent;
  document.getElementById("query").hidePopover();
  return { name: text("name"), value: text("value"), query: text("text") };
})
"""


async def facts(page: Page) -> list[dict[str, str]]:
    found: list[dict[str, str]] = await page.evaluate(_FACTS)
    return found


def backfill(served: Served, folder: Path) -> Path:
    """Prometheus's own files, with every tick's page in them at its time."""
    lines = []
    for at, page in served.ticks:
        lines += [f"{line} {at}" for line in page.decode().splitlines() if not line.startswith("#")]
    (folder / "hour.om").write_text("\n".join([*lines, "# EOF", ""]), encoding="utf-8")
    command = ("promtool", "tsdb", "create-blocks-from", "openmetrics", "hour.om", "data")
    made = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
    return folder / "data"


@asynccontextmanager
async def prometheus(data: Path, folder: Path) -> AsyncIterator[str]:
    """A Prometheus that scrapes nobody and answers from these files."""
    (folder / "prometheus.yml").write_text("{}\n")
    command = (
        "prometheus", f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={data}",
        "--web.listen-address=127.0.0.1:0", "--log.format=json", "--storage.tsdb.retention.time=10y",
    )  # fmt: skip
    async with program(command, folder / "log", folder=folder) as running, aiohttp.ClientSession() as http:

        async def address() -> str | None:
            said = re.search(r'"address":"([\d.:]+)"[^\n]*"Listening on"', running.output())
            return said and f"http://{said[1]}"

        url = await eventually(address, "Prometheus names its address", process=running)

        async def ready() -> bool:
            async with http.get(f"{url}/-/ready") as answer:
                return answer.status == 200

        await eventually(ready, "Prometheus is ready", process=running)
        yield url


async def asked(http: aiohttp.ClientSession, url: str, query: str, at: float) -> list[float]:
    """What it answers: a value for each series."""
    async with http.get(f"{url}/api/v1/query", params={"query": query, "time": str(at)}) as answer:
        body: dict[str, Any] = await answer.json()
    assert body["status"] == "success", (query, body)
    return [float(series["value"][1]) for series in body["data"]["result"]]


def wanted(fact: dict[str, str]) -> float:
    value = {"up": 1.0}.get(fact["value"], 0.0) if fact["name"].startswith("State") else number(fact["value"])
    return value * 1e6 if "per million" in fact["value"] else value


async def test_every_number_is_what_its_query_gives(chromium: Browser, tmp_path: Path) -> None:
    require_peer(shutil.which("prometheus") and shutil.which("promtool"), "Prometheus (Debian package prometheus)")
    async with serving_fleet(time.time()) as served:
        async with shown(chromium, served.url) as page:
            found = await facts(page)
        async with prometheus(backfill(served, tmp_path), tmp_path) as url, aiohttp.ClientSession() as http:
            wrong, right = [], 0
            for fact in found:
                if "tokencost_budget_" in fact["query"] and "tokencost_budget_limit_usd" not in by_name():
                    continue
                values = [
                    value
                    for value in await asked(http, url, fact["query"], served.json["time"])
                    if math.isfinite(value)
                ]
                if fact["value"] == DASH:
                    good = not values
                else:
                    near = 1.0 if "UTC" in fact["value"] else 1e-12
                    good = values == [
                        pytest.approx(wanted(fact), rel=1e-3 if "increase" in fact["query"] else 1e-6, abs=near)
                    ]
                right += good
                wrong += [] if good else [(fact, values)]
    assert wrong == []
    assert right > 100


async def test_queries_name_only_what_the_catalog_has(chromium: Browser) -> None:
    """Metrics and labels: a renamed one would give an empty graph and no error."""
    async with serving_fleet(time.time(), tenants=3) as served:
        served.say(served.json | {"tenants": served.json["tenants"][:1]})
        async with shown(chromium, served.url) as page:
            queries = {fact["query"] for fact in await facts(page)}
    names = set()
    for query in queries:
        for name, labels in re.findall(r"(tokencost_\w+)(?:\{(.*?)\})?", query):
            names.add(name)
            if not name.startswith("tokencost_budget_"):
                assert set(re.findall(r'(\w+)="', labels)) <= set(by_name()[name].labels), query
    assert len(names) > 30
