"""A hundred thousand series over HTTP: the CPU that a request for the page costs us and those who serve as many.

Ours is the exporter's own server and page, in a process of its own. `rendered afresh`: all values were changed and the
page rendered for that one request, which is counted too; `from the tick's page`: as a second scraper finds it. The
peers are Prometheus, which serves at /federate what it scraped of that page, and node_exporter's textfile collector,
which parses it and renders it with Go's client library at each request. Run: python -m tests.bench.served
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import aiohttp

from exporter.ledger.accounts import Family
from exporter.publish.server import Server, Site
from exporter.publish.writer import Exposition
from tests.bench.process import MISSING, cpu_ns, free_port, version
from tests.bench.render import SERIES, accounts
from tests.bench.table import Row, compared, markdown
from tests.peers.exporter import ROOT
from tests.peers.process import program
from tests.peers.waiting import eventually
from tests.publish.world import SPEND, view

ROUNDS = 5
NODE, PROMETHEUS = "prometheus-node-exporter", "prometheus"
GOALS = {NODE: {"rendered afresh": 15.0, "from the tick's page": 100.0}}
ENCODINGS = {"plain": "identity", "gzip": "gzip"}


async def serve() -> None:
    """Our side: prints its port; POST /-/reload changes every value and renders."""
    labels, books, dice, site, exposition = accounts(), Family(SPEND), Random(1), Site(), Exposition()
    for own in labels:
        books.add(own, round(10 ** dice.uniform(6, 16)))

    def tick() -> None:
        values = books.values
        for row in range(SERIES):
            values[row] += 1_234_567
        books.unrendered.update(range(SERIES))
        site.rendered = exposition.update(view(books))

    async def again() -> None:
        await asyncio.to_thread(tick)

    tick()
    address = await Server(site, reload=again).start("127.0.0.1:0")
    print(address, flush=True)
    await asyncio.Event().wait()


@dataclass(slots=True)
class Served:
    """A process that serves the series, how to ask it, and what its answers cost in ms of CPU, by encoding."""

    name: str
    pid: int
    url: str
    again: Callable[[], Awaitable[object]] | None = None  # done for each request and counted
    cpu: dict[str, list[float]] = field(default_factory=lambda: {encoding: [] for encoding in ENCODINGS})

    async def ask(self, http: aiohttp.ClientSession, encoding: str) -> None:
        """One request, measured."""
        before = cpu_ns(self.pid)
        if self.again:
            await self.again()
        async with http.get(self.url, headers={"Accept-Encoding": ENCODINGS[encoding]}) as answer:
            size = len(await answer.read())
        assert answer.status == 200
        assert size > SERIES, f"{self.name} serves {size} bytes"
        self.cpu[encoding].append((cpu_ns(self.pid) - before) / 1e6)


@asynccontextmanager
async def ours(folder: Path) -> AsyncIterator[tuple[int, str]]:
    """(pid, address) of our side."""
    command = [sys.executable, "-m", "tests.bench.served", "serve"]
    async with program(command, folder / "ours.log", folder=ROOT) as running:

        async def address() -> str:
            return running.output().partition("\n")[0]

        yield running.process.pid, await eventually(address, "our side listens", process=running, deadline=60)


@asynccontextmanager
async def peer(name: str, folder: Path, address: str, http: aiohttp.ClientSession) -> AsyncIterator[Served]:
    """One of the peers, with the series."""
    port = free_port()
    if name == NODE:
        (folder / "text").mkdir()
        async with http.get(f"http://{address}/metrics") as answer:
            (folder / "text" / "series.prom").write_bytes(await answer.read())
        flags = ["--collector.disable-defaults", "--collector.textfile", "--log.level=error"]
        flags += [f"--collector.textfile.directory={folder / 'text'}", f"--web.listen-address=127.0.0.1:{port}"]
        url = f"http://127.0.0.1:{port}/metrics"
    else:
        job = {"job_name": "series", "static_configs": [{"targets": [address]}]}
        config = {"global": {"scrape_interval": "50s", "scrape_timeout": "20s"}, "scrape_configs": [job]}
        (folder / "prometheus.json").write_text(json.dumps(config))
        flags = [f"--config.file={folder / 'prometheus.json'}", f"--storage.tsdb.path={folder / 'data'}"]
        flags += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]
        url = f"http://127.0.0.1:{port}/federate?match[]={{__name__=~'tokencost_.*'}}"
    async with program([name, *flags], folder / f"{name}.log") as running:

        async def full() -> bool:
            async with http.get(url) as answer:
                return len(await answer.read()) > SERIES

        await eventually(full, f"{name} serves the series", process=running, deadline=90)
        yield Served(name, running.process.pid, url)


async def measure(rounds: int = ROUNDS) -> list[Served]:
    """Ours in both ways, then the peers; all asked in turn, after a first request that is not counted."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with AsyncExitStack() as stack:
            http = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(60)))
            pid, address = await stack.enter_async_context(ours(folder))

            async def again() -> None:
                async with http.post(f"http://{address}/-/reload") as answer:
                    assert answer.status == 200

            url = f"http://{address}/metrics"
            found = [Served("rendered afresh", pid, url, again), Served("from the tick's page", pid, url)]
            for them in (NODE, PROMETHEUS):
                if not MISSING.lacks(them):
                    found.append(await stack.enter_async_context(peer(them, folder, address, http)))  # noqa: PERF401
            for number in range(-1, rounds):
                for encoding in ENCODINGS:
                    for one in found:
                        await one.ask(http, encoding)
                        if number < 0:
                            one.cpu[encoding].clear()
            return found


def rows(rounds: int = ROUNDS) -> list[Row]:
    afresh, ready, *peers = asyncio.run(measure(rounds))
    title = f"serve {SERIES:,} series over HTTP"
    return [
        compared(
            f"{title}, {encoding}, {us.name}", "CPU ms", us.cpu[encoding],
            version(them.name) + ("" if them.name == NODE else " /federate"), them.cpu[encoding],
            GOALS.get(them.name, {}).get(us.name),
        )
        for encoding in ENCODINGS
        for us in (afresh, ready)
        for them in peers
    ]  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        with suppress(KeyboardInterrupt):
            asyncio.run(serve())
    else:
        print(markdown(rows()))
