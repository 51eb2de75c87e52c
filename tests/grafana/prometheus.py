"""A real Prometheus over blocks that promtool made of a history."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tests.grafana.history import END
from tests.peers.process import program
from tests.peers.waiting import eventually

HOUR = 3600
Answer = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A running one."""

    url: str
    http: aiohttp.ClientSession

    async def get(self, path: str, **params: str) -> Any:
        """The data of an answer of its API; AssertionError with its words when it refuses."""
        async with self.http.post(f"{self.url}/api/v1/{path}", data=params) as answer:
            said = await answer.json()
        assert said["status"] == "success", f"{said['error']}\n{params.get('query')}"
        return said["data"]

    async def now(self, query: str) -> Answer:
        """An instant query at the end of the history."""
        found = (await self.get("query", query=query, time=str(END)))["result"]
        assert isinstance(found, list), f"not a vector: {query}"
        return found

    async def lately(self, query: str) -> Answer:
        """A range query over the last hour of the history."""
        found = await self.get("query_range", query=query, start=str(END - HOUR), end=str(END), step="300")
        return list(found["result"])

    async def number(self, query: str) -> float:
        """The value of a query that has exactly one."""
        (only,) = await self.now(query)
        return float(only["value"][1])

    async def numbers(self, query: str, label: str) -> Mapping[str, float]:
        """Value by that label."""
        return {found["metric"].get(label, ""): float(found["value"][1]) for found in await self.now(query)}

    async def over_time(self, query: str) -> Mapping[float, float]:
        """The sum of a range query's lines, by time."""
        sums: Counter[float] = Counter()
        for row in await self.lately(query):
            sums.update({at: float(value) for at, value in row["values"]})
        return sums


@asynccontextmanager
async def prometheus(history: Path, folder: Path) -> AsyncIterator[Prometheus]:
    """Run it on a free port over that OpenMetrics file, until the block is left."""
    data, config = folder / "data", folder / "prometheus.yml"
    importing = ["promtool", "tsdb", "create-blocks-from", "--max-block-duration=1458h", "openmetrics"]
    async with program([*importing, str(history), str(data)], folder / "promtool.log") as made:
        code = await made.process.wait()
        assert code == 0, made.output()
    config.write_text("global: {}\n")
    command = [
        "prometheus", f"--config.file={config}", f"--storage.tsdb.path={data}", "--storage.tsdb.retention.time=10y",
        "--web.listen-address=127.0.0.1:0",
    ]  # fmt: skip
    async with (
        program(command, folder / "prometheus.log") as running,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as http,
    ):

        async def address() -> str | None:
            found = re.search(r'Listening on"? address=(127\.0\.0\.1:\d+)', running.output())
            return found and found[1]

        async def ready() -> bool:
            async with http.get(f"{url}/-/ready") as answer:
                return answer.status == 200

        url = f"http://{await eventually(address, 'Prometheus names its address', process=running)}"
        await eventually(ready, "Prometheus is ready", process=running)
        yield Prometheus(url, http)
