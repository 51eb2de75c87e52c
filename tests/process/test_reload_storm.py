"""A hundred reloads asked for in a second, for as long as RELOAD_SECONDS says, under scrapes and traffic."""

from __future__ import annotations

import asyncio
import os
from itertools import count
from pathlib import Path
from typing import Any

from exporter.demo.engine import SimEngine
from tests.process.engines import LABEL, dice, traffic, truth, vllm
from tests.process.exporter import Running, Tokens, config, exporter, pool, stop, write_config
from tests.sources.servers import http, serve

SECONDS = float(os.environ.get("RELOAD_SECONDS", "3"))
ENGINES, POOLS = 100, 10
GROWN_MIB = 8.0  # the allocator's own noise; what a leak adds in a minute is many times that


async def test_nothing_falls_nothing_is_lost_and_nothing_stays_behind(tmp_path: Path) -> None:
    engines = [vllm() for _ in range(ENGINES)]

    async def answer(request: bytes, writer: asyncio.StreamWriter) -> None:
        number = int(request.split(b"/")[1])
        writer.write(http(engines[number].page(), "Connection: close"))

    async with serve(answer) as (origin, _):
        urls = [f"{origin}/{number}/metrics" for number in range(ENGINES)]

        def variant(number: int) -> dict[str, Any]:
            """Prices change each time, and every other time a pool is there that leaves again."""
            share = ENGINES // POOLS
            pools = [
                pool(f"p{at}", *urls[at * share : (at + 1) * share], price=3600 + number % 7, tenant_label=LABEL)
                for at in range(POOLS)
            ]
            guests = [pool("guest", f"{origin}/0/other")] if number % 2 else []
            return config(*pools, *guests)

        async with exporter(tmp_path, variant(0), "--web.enable-lifecycle") as running:
            asked = await storm(running, tmp_path, variant, engines, SECONDS / 3)  # what the first ones make is made
            before = weight(running)
            asked += await storm(running, tmp_path, variant, engines, SECONDS)
            after = weight(running)
            for at in range(POOLS):
                share = ENGINES // POOLS
                await running.page_with(served(engines[at * share : (at + 1) * share]), f"p{at}")
            await stop(running)
            reloads = sum(event["msg"] == "config reloaded" for event in running.events())
            assert 2 <= reloads < asked
            assert running.events("error") == []
    assert after["threads"] <= (os.cpu_count() or 1) + 8  # the pools of threads fill up, and then no more
    assert after["files"] <= before["files"] + ENGINES  # connections to engines that happen to be open
    assert after["mib"] <= before["mib"] + GROWN_MIB


async def storm(running: Running, folder: Path, variant: Any, engines: list[SimEngine], seconds: float) -> int:
    """Ask, serve and scrape for that long; how often was asked."""
    loop = asyncio.get_running_loop()
    begin, random, last = loop.time(), dice(8), await running.page()

    async def ask() -> None:
        status, text = await running.post("/-/reload")
        assert status == 200, text

    async with asyncio.TaskGroup() as group:

        async def asking() -> int:
            for number in count():
                if (due := begin + number / 100) > begin + seconds:
                    return number
                await asyncio.sleep(due - loop.time())
                if number % 10 == 0:
                    write_config(folder, variant(number // 10))
                    traffic(random.choice(engines), random)
                group.create_task(ask())
            raise AssertionError

        asked = group.create_task(asking())
        while not asked.done():
            page = await running.page()
            assert page.fell_from(last) == []
            last = page
    write_config(folder, variant(0))
    await ask()
    assert (await running.page()).fell_from(last) == []
    return asked.result()


def served(engines: list[SimEngine]) -> Tokens:
    """What all of them served."""
    total: Tokens = {}
    for engine in engines:
        for key, tokens in truth(engine).items():
            total[key] = total.get(key, 0) + tokens
    return {key: tokens for key, tokens in total.items() if tokens}


def weight(running: Running) -> dict[str, float]:
    """What the process holds, as the kernel counts it."""
    proc = Path(f"/proc/{running.program.process.pid}")
    status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
    return {
        "files": len(list((proc / "fd").iterdir())),
        "threads": int(status["Threads"]),
        "mib": int(status["VmRSS"].split()[0]) / 1024,
    }
