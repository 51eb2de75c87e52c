"""The whole program among pods that come and go, with the clock in our hands: a day passes in minutes.

HTTP, reloads, the ledger and the page are the real ones. Each pod has an address of its own; the town is one server
that answers for all that exist, and refuses for those that do not.
"""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import sys
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import aiohttp
from aiohttp import web

from exporter.app import App, Options
from exporter.config.load import load
from exporter.demo.engine import SimEngine
from exporter.demo.gateway import SimGateway
from exporter.records import NS
from tests.clock import ManualClock

NOON = 1_795_348_800
PODS = 8  # of each of two pools
TENANTS = ("acme", "globex", "initech")
GATEWAY = 1  # the number of the gateway's address
FOREIGN = {"aiohttp", "asyncio", "selectors", "concurrent", "logging"}
# Not those of the history of spend, which grows by the hour for a hundred days.
TABLES = ("account", "target", "baseline", "pool", "family")


class Town:
    """All pods there are, by number; every number is used once."""

    def __init__(self) -> None:
        # Each connection is for one scrape. The program keeps what it knows of idle ones for two minutes of real time,
        # in which hours pass here: it would look as if memory grew.
        self.closing = False
        self.born = GATEWAY
        self.pods: dict[int, SimEngine] = {}
        self.gateway = SimGateway(NOON - 100.0)
        self.served = 0  # tokens, of all pods that there ever were
        self.port = 0
        self._links: dict[int, set[asyncio.Transport]] = {}  # connections to each pod

    def bear(self, now: float) -> int:
        self.born += 1
        self.pods[self.born] = SimEngine(
            "llama", start=now, tenant_label="lora_name" if self.born % 2 else "", tenants=TENANTS[:1]
        )
        return self.born

    def bury(self, number: int) -> None:
        """The pod is no more, and its connections with it."""
        del self.pods[number]
        for link in self._links.pop(number, ()):
            link.close()

    def url(self, number: int) -> str:
        """Its address: on Linux all of 127.0.0.0/8 is this machine's; elsewhere pods differ by path."""
        host = ".".join(map(str, (127, number >> 16 & 255, number >> 8 & 255, number & 255)))
        host, path = (host, "") if sys.platform == "linux" else ("127.0.0.1", f"/{number}")
        return f"http://{host}:{self.port}{path}/metrics"

    async def answer(self, request: web.Request) -> web.Response:
        number = int(request.match_info.get("number", 0))
        if not number:
            _, *parts = map(int, (request.url.host or "").split("."))
            number = parts[0] << 16 | parts[1] << 8 | parts[2]
        if number == GATEWAY:
            return web.Response(body=self.gateway.page(), content_type="text/plain")
        if number not in self.pods:
            if request.transport:
                request.transport.abort()
            raise web.HTTPNotFound
        if isinstance(request.transport, asyncio.Transport):
            self._links.setdefault(number, set()).add(request.transport)
        page = web.Response(body=self.pods[number].page(), content_type="text/plain")
        if self.closing:
            page.force_close()
        return page

    def serve(self, turn: int) -> None:
        """Everybody asks for something, of every pod."""
        for number, pod in self.pods.items():
            tenant = TENANTS[(turn + number) % len(TENANTS)]
            prompt = 100 + turn % 7
            pod.serve("llama", tenant=tenant, prompt=prompt, cached=20, output=30, decode_seconds=0.5)
            self.served += prompt + 30
            if not number % 2:
                self.gateway.report(tenant, "llama", prompt=prompt, output=30)


class Soak:
    """The program in its town. `turn` lets one interval pass."""

    def __init__(self, folder: Path, interval: int) -> None:
        self.folder = folder
        self.interval = interval
        self.town = Town()
        self.clock = ManualClock(NOON * NS)
        self.turns = 0
        self.pages: dict[str, str] = {}  # as they were last
        self._config = folder / "tokencost.yml"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve until the block ends."""
        server = web.Application()
        paths = ("/metrics", "/{number:[0-9]+}/metrics")
        server.add_routes([web.get(path, self.town.answer) for path in paths])
        runner = web.AppRunner(server, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "0.0.0.0" if sys.platform == "linux" else "127.0.0.1", 0).start()  # noqa: S104
        self.town.port = runner.addresses[0][1]
        for _ in range(2 * PODS):
            self.town.bear(NOON)
        self._write()
        options = Options(
            self._config,
            listen_address="127.0.0.1:0",
            storage_path=str(self.folder / "ledger.db"),
            enable_lifecycle=True,
        )
        self.app = App(options, load(self._config, today=date(2026, 11, 22)), self.clock)
        listening: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self.app.run(on_listening=listening.set_result))
        self._origin = f"http://{await listening}"
        async with aiohttp.ClientSession() as self._session:
            try:
                await self.clock.settled(self._sleepers)
                yield
            finally:
                self.app.stop()
                await task
                await runner.cleanup()

    @property
    def _sleepers(self) -> int:
        return len(self.town.pods) + 3  # the pods' pollers, the gateway's, that of one who is not there, and the tick

    def _write(self) -> None:
        urls = {odd: [self.town.url(n) for n in self.town.pods if n % 2 == odd] for odd in (0, 1)}
        urls[1].append(self.town.url(self.town.born + 500_000))  # in the config, and not there
        ends = {odd: "[" + ", ".join(f'{{url: "{url}"}}' for url in found) + "]" for odd, found in urls.items()}
        self._config.write_text(f"""
scrape: {{interval: {self.interval}s, timeout: 5s}}
pools:
  - {{name: chat, endpoints: {ends[1]}, gpus: {{count: 8}}, usd_per_gpu_hour: 2, tenant_label: lora_name}}
  - {{name: code, endpoints: {ends[0]}, gpus: {{count: 4}}, usd_per_gpu_hour: 3}}
gateways:
  - name: edge
    endpoints: [{{url: "{self.town.url(GATEWAY)}"}}]
    tenant_label: team_alias
    routes: [{{model: "*", pool: code}}]
budgets: [{{name: all, limit_usd: 5000, period: month}}]
""")

    async def turn(self, leaving: int = 0, *, quiet: bool = False) -> None:
        """One interval, in which so many pods make way for new ones; what is published is asked for now and then."""
        self.turns += 1
        if leaving:
            for number in list(self.town.pods)[:leaving]:
                self.town.bury(number)
                if self.town.born % 2 == number % 2:  # each pool keeps its size
                    self.town.born += 1
                self.town.bear(self.clock.now().wall_ns / NS)
            self._write()
            async with self._session.post(f"{self._origin}/-/reload") as answer:
                assert answer.status == 200, await answer.text()
            await self.clock.settled(self._sleepers)
        if not quiet:
            self.town.serve(self.turns)
        self.clock.advance(self.interval * NS)
        await self.clock.settled(self._sleepers)
        if self.turns % 4 == 0:
            for path in ("/metrics", "/api/v1/snapshot", "/api/v1/history"):
                async with self._session.get(f"{self._origin}{path}") as answer:
                    assert answer.status == 200
                    self.pages[path] = await answer.text()

    def held(self) -> Counter[str]:
        """Entries of all that the program holds, by type: what grows for ever shows here, wherever it is. What its
        HTTP client keeps open for two minutes, in real time, is left out."""
        gc.collect()
        counted: Counter[str] = Counter()
        seen: set[int] = {id(self), id(self.clock), id(self.town)}
        left: list[Any] = [self.app]
        while left:
            one = left.pop()
            foreign = type(one).__module__.partition(".")[0].strip("_") in FOREIGN
            if id(one) in seen or foreign or isinstance(one, type | ModuleType | FunctionType):
                continue
            seen.add(id(one))
            if isinstance(one, dict | list | set | frozenset | tuple | deque):
                counted[type(one).__name__] += len(one)
            elif type(one).__module__.startswith("exporter."):
                counted[type(one).__name__] += 1
            left += gc.get_referents(one)
        return counted

    def rows(self) -> dict[str, int]:
        """Rows of the ledger's tables."""
        with sqlite3.connect(f"file:{self.folder / 'ledger.db'}?mode=ro", uri=True) as db:
            found = {name: db.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in TABLES}  # noqa: S608
        db.close()
        return found
