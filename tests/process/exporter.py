"""The real process, `python -m exporter`: started, watched from outside, and ended."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.peers.exporter import ROOT, Exporter, Page
from tests.peers.process import program
from tests.peers.waiting import eventually

COMMAND = (sys.executable, "-m", "exporter")
DEADLINE = 30.0  # seconds for anything: far more than a busy machine needs
ANY_PORT = "--web.listen-address=127.0.0.1:0"
DOLLAR_A_SECOND = 3600  # usd_per_gpu_hour
Tokens = dict[tuple[str, str, str], int]  # model, tenant, class -> tokens, as in SimEngine.truth


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that is over: its exit code and what it wrote."""

    code: int
    out: str
    err: str


async def run(*arguments: str | Path, folder: Path, **environment: str) -> Ended:
    """Run the command in `folder` to its end."""
    pipe = asyncio.subprocess.PIPE
    command = (*COMMAND, *map(str, arguments))
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=pipe,
        stderr=pipe,
    )
    try:
        async with asyncio.timeout(DEADLINE):
            out, err = await process.communicate()
    except TimeoutError:
        process.kill()
        raise
    return Ended(await process.wait(), out.decode(), err.decode())


@dataclass(frozen=True, slots=True)
class Running(Exporter):
    """A running exporter."""

    def events(self, level: str = "") -> list[dict[str, str]]:
        """The log so far, of that level only if one is given."""
        complete_lines = self.program.output().rpartition("\n")[0].splitlines()
        events = [json.loads(line) for line in complete_lines]
        return [event for event in events if level in {"", event["level"]}]

    async def get(self, path: str, accept: str = "*/*") -> tuple[int, str]:
        """Status and body."""
        async with self.http.get(f"{self.url}{path}", headers={"Accept": accept}) as answer:
            return answer.status, await answer.text()

    async def post(self, path: str) -> tuple[int, str]:
        async with self.http.post(f"{self.url}{path}") as answer:
            return answer.status, await answer.text()

    async def page_when(self, so: Callable[[Page], object], what: str) -> Page:
        """The first page on which it is so; the books close on every page before it and on that one."""

        async def look() -> Page | None:
            page = await self.look()
            if page is not None:
                assert_closed(page)
            return page

        return await eventually(look, what, until=so, deadline=DEADLINE, process=self.program)

    async def page_with(self, tokens: Tokens, pool: str = "chat") -> Page:
        """The first page on which the pool's books say exactly that."""
        return await self.page_when(lambda page: booked(page, pool) == tokens, f"the books say {tokens}")

    async def look(self) -> Page | None:
        """The page; None while there is none yet."""
        status, _ = await self.get("/metrics")
        return await self.page() if status == 200 else None


@asynccontextmanager
async def exporter(
    folder: Path, config: dict[str, Any], *flags: str, ready: bool = True, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Running]:
    """Run it on a free port, with its ledger in `folder`, until the block is left. `ready`: every target was tried."""
    write_config(folder, config)
    log = folder / f"exporter-{time.monotonic_ns()}.log"
    files = (f"--config.file={config_file(folder)}", f"--storage.path={folder / 'ledger.db'}")
    command = [*COMMAND, ANY_PORT, "--log.format=json", *files, *flags]
    timeout = aiohttp.ClientTimeout(total=DEADLINE)
    async with (
        program(command, log, folder=ROOT, environment=environment) as running,
        aiohttp.ClientSession(timeout=timeout) as http,
    ):
        starting = Running("", running, http)

        async def address() -> str | None:
            return next((event["address"] for event in starting.events() if event["msg"] == "listening"), None)

        async def is_ready() -> bool:
            return (await started.get("/-/ready"))[0] == 200

        bound = await eventually(address, "the exporter names its address", deadline=DEADLINE, process=running)
        started = Running(f"http://{bound}", running, http)
        if ready:
            await eventually(is_ready, "the exporter is ready", deadline=DEADLINE, process=running)
        yield started


def config_file(folder: Path) -> Path:
    return folder / "tokencost.yml"


def write_config(folder: Path, config: dict[str, Any]) -> None:
    """JSON is YAML. Replaced at once, as editors and Kubernetes do."""
    new = folder / "tokencost.new"
    new.write_text(json.dumps(config))
    new.replace(config_file(folder))


def config(*pools: dict[str, Any], **more: object) -> dict[str, Any]:
    return {"scrape": {"interval": "500ms", "timeout": "500ms"}, "pools": list(pools), **more}


def pool(name: str, *urls: str | dict[str, Any], price: float = DOLLAR_A_SECOND, **more: object) -> dict[str, Any]:
    """A pool of one GPU."""
    endpoints = [{"url": url} if isinstance(url, str) else url for url in urls]
    return {"name": name, "endpoints": endpoints, "gpus": {"count": 1}, "usd_per_gpu_hour": price, **more}


def booked(page: Page, pool: str) -> Tokens:
    """The pool's tokens on the page, without the zeros."""
    found = {}
    for (name, labels), value in page.samples.items():
        own = dict(labels)
        if name == "tokencost_tokens_total" and own["pool"] == pool and value:
            found[own["model_name"], own["tenant"], own["token_type"]] = int(value)
    return found


def assert_closed(page: Page) -> None:
    """Law 1, pool by pool: what was paid is what was used, idle or pending."""
    for name in {dict(labels)["pool"] for sample, labels in page.samples if sample == "tokencost_cost_usd_total"}:
        parts = ("tokencost_spend_usd_total", "tokencost_idle_cost_usd_total", "tokencost_pending_cost_usd")
        cost = page.total("tokencost_cost_usd_total", pool=name)
        assert sum(page.total(part, pool=name) for part in parts) == pytest.approx(cost, rel=1e-9), name


async def stop(running: Running, how: signal.Signals = signal.SIGTERM) -> None:
    """End it as asked; SIGKILL is the only signal that it does not end well on."""
    assert await running.program.end(how) == (-signal.SIGKILL if how is signal.SIGKILL else 0), running.program.output()


async def once(what: str, so: Callable[[], Awaitable[bool]], running: Running) -> None:
    """Wait until it is so."""
    await eventually(so, what, deadline=DEADLINE, process=running.program)
