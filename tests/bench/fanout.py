"""Whole scrapers on the same targets at the same time: what a scrape costs each of them, and what they weigh.

All run beside each other at the same interval and with the same keep-list, each on paths of its own of one page
server, and CPU is read of all of them at the ends of the same windows. Ours is the whole exporter: fetch, scan, meter,
allocate, ledger, publish, and a Prometheus-like scrape of its page in every window. Run: python -m tests.bench.fanout
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from exporter.sources.litellm import LITELLM
from exporter.sources.reader import PROCESS_START
from exporter.sources.vllm import VLLM
from tests.bench.pages import serving
from tests.bench.process import MISSING, cpu_ns, free_port, rss_mb, version
from tests.bench.scan import litellm_page, variants, vllm_page
from tests.bench.table import Row, alone, compared, markdown
from tests.peers.exporter import Exporter, exporter
from tests.peers.process import program
from tests.peers.waiting import eventually

ROUNDS = 5
BODIES = 12  # of each page: more than anybody reads of one path
NAMES = {"vllm": VLLM.names | {PROCESS_START}, "litellm": LITELLM.names | {PROCESS_START}}
OURS = "tokencost-exporter"
# Beside each other; the last column is the part of their CPU that ours may be, of a scene of a thousand targets.
PEERS = {"prometheus": 3.0, "victoria-metrics": None, "vmagent": 2.0}


@dataclass(frozen=True, slots=True)
class Scene:
    """So many targets that answer with that page, read every so many seconds."""

    page: str
    targets: int
    interval: int
    goals: bool = False


SCENES = (Scene("vllm", 100, 5), Scene("litellm", 4, 5), Scene("vllm", 1000, 15, goals=True))


@dataclass(slots=True)
class Scraper:
    """One of them, running, and what its windows found."""

    name: str
    pid: int
    cpu: list[int] = field(default_factory=list)  # ns, at the ends of the windows
    rss: list[float] = field(default_factory=list)

    def windows(self) -> list[float]:
        """CPU seconds of each."""
        return [(after - before) / 1e9 for before, after in zip(self.cpu, self.cpu[1:], strict=False)]


def ours(scene: Scene, address: str) -> dict[str, Any]:
    """Our config for it: pools of ten engines, or one gateway to a provider and an engine beside it."""
    urls = [{"url": f"http://{address}/{scene.page}/ours/{n}"} for n in range(scene.targets)]
    price = {"gpus": {"count": 8}, "usd_per_gpu_hour": 2.49}
    scrape = {"interval": f"{scene.interval}s", "timeout": f"{min(10, scene.interval)}s"}
    if scene.page == "vllm":
        pools = [{"name": f"p{n}", "endpoints": urls[n : n + 10], **price} for n in range(0, len(urls), 10)]
        return {"scrape": scrape, "pools": pools}
    one = {"name": "p", "endpoints": [{"url": f"http://{address}/vllm/ours/engine"}], **price}
    routes = [{"model": "*", "provider": "openai"}]
    gateway = {"name": "edge", "endpoints": urls, "tenant_label": ["team"], "routes": routes}
    return {"scrape": scrape, "prices": {"catalog": "none"}, "pools": [one], "gateways": [gateway]}


def theirs(scene: Scene, address: str, name: str) -> dict[str, Any]:
    """A Prometheus config for it."""
    paths = (f"/{scene.page}/{name}/{n}" for n in range(scene.targets))
    keep = {"source_labels": ["__name__"], "regex": "|".join(sorted(NAMES[scene.page])), "action": "keep"}
    job = {
        "job_name": "bench",
        "static_configs": [
            {"targets": [address], "labels": {"__metrics_path__": path, "n": path}} for path in paths
        ],
        "metric_relabel_configs": [keep],
    }  # fmt: skip
    interval = f"{scene.interval}s"
    every = {"scrape_interval": interval, "scrape_timeout": f"{min(10, scene.interval)}s"}
    return {"global": every, "scrape_configs": [job]}


def command(name: str, folder: Path, config: Path, port: int, sink: str) -> list[str]:
    """How each of them is started."""
    listen = f"127.0.0.1:{port}"
    if name == "prometheus":
        files = [f"--config.file={config}", f"--storage.tsdb.path={folder / name}"]
        return [name, *files, f"--web.listen-address={listen}", "--log.level=error"]
    own = (
        [f"-remoteWrite.url=http://{sink}/write", f"-remoteWrite.tmpDataPath={folder / name}"]
        if name == "vmagent"
        else [f"-storageDataPath={folder / name}"]
    )
    return [name, f"-promscrape.config={config}", f"-httpListenAddr={listen}", "-loggerLevel=ERROR", *own]


@asynccontextmanager
async def peer(scene: Scene, name: str, folder: Path, address: str) -> AsyncIterator[Scraper]:
    """One of the peers at work."""
    config, port = folder / f"{name}.json", free_port()
    config.write_text(json.dumps(theirs(scene, address, name)))
    line = command(name, folder, config, port, address)
    async with program(line, folder / f"{name}.log") as running, aiohttp.ClientSession() as http:

        async def answers() -> bool:
            async with http.get(f"http://127.0.0.1:{port}/metrics") as answer:
                return answer.status == 200

        await eventually(answers, f"{name} answers", process=running)
        yield Scraper(name, running.process.pid)


async def measure(scene: Scene, rounds: int = ROUNDS, also: Sequence[Callable[[Path], Any]] = ()) -> list[Scraper]:
    """All scrapers over that many windows of one interval each, after three intervals to settle in."""
    page = vllm_page() if scene.page == "vllm" else litellm_page()
    bodies = {scene.page: variants(page, BODIES), "vllm": variants(vllm_page(), BODIES)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with AsyncExitStack() as stack:
            address = await stack.enter_async_context(serving(folder, bodies))
            config = folder / "tokencost.yml"
            config.write_text(json.dumps(ours(scene, address)))
            scrapers = [
                await stack.enter_async_context(peer(scene, name, folder, address))
                for name in PEERS
                if not MISSING.lacks(name)
            ]
            mine = exporter(config, folder / "ledger.db", folder / "log", deadline=120.0)
            running = await stack.enter_async_context(mine)
            scrapers.insert(0, Scraper(OURS, running.program.process.pid))
            await _watch(scene, running, scrapers, rounds)
            return scrapers


async def _watch(scene: Scene, running: Exporter, scrapers: list[Scraper], rounds: int) -> None:
    due = time.monotonic()
    for window in range(-3, rounds + 1):
        async with running.http.get(f"{running.url}/metrics", headers={"Accept-Encoding": "gzip"}) as answer:
            body = await answer.text()
        for scraper in scrapers if window >= 0 else ():
            scraper.cpu.append(cpu_ns(scraper.pid))
            scraper.rss.append(rss_mb(scraper.pid))
        if window == rounds:
            up = sum(line.startswith("tokencost_target_up{") and line.endswith(" 1.0") for line in body.splitlines())
            assert up >= scene.targets, f"only {up} targets are up"
        due += scene.interval
        await asyncio.sleep(max(0.0, due - time.monotonic()) if window < rounds else 0)


def rows(scenes: Sequence[Scene] = SCENES, rounds: int = ROUNDS) -> list[Row]:
    """CPU for a thousand scrapes, and resident memory."""
    found: list[Row] = []
    for scene in scenes:
        us, *them = asyncio.run(measure(scene, rounds))
        title = f"{scene.targets:,} targets, {'162 KB vLLM' if scene.page == 'vllm' else '3.6 MB LiteLLM'} pages"
        per = 1000 / scene.targets
        mine = [seconds * per for seconds in us.windows()]
        for peer in them:
            goal = PEERS[peer.name] if scene.goals else None
            cpu = [seconds * per for seconds in peer.windows()]
            found.append(compared(f"{title}: 1,000 scrapes", "CPU s", mine, version(peer.name), cpu, goal))
        memory = f"{title}: resident memory"
        found += [compared(memory, "MB", us.rss, version(peer.name), peer.rss) for peer in them]
        if scene.goals:
            found.append(alone(memory, "MB", us.rss, goal=120.0))
    return found


if __name__ == "__main__":
    picked = [int(arg) for arg in sys.argv[1:]] or range(len(SCENES))
    print(markdown(rows([SCENES[n] for n in picked])))
