"""Prometheus, Alertmanager, VictoriaMetrics and vmalert, as their Debian packages have them, each on loopback."""

from __future__ import annotations

import json
import re
import shutil
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from tests.conftest import require_peer
from tests.peers.process import Program, program
from tests.peers.waiting import eventually

DEADLINE = 60.0
LISTENING = re.compile(r"Listening on\"? address=(127\.0\.0\.1:\d+)")


def require(*commands: str) -> None:
    """Go on only if these are installed."""
    for command in commands:
        require_peer(shutil.which(command), f"{command} (Debian packages prometheus-alertmanager, victoria-metrics)")


@asynccontextmanager
async def alertmanager(folder: Path, config: Mapping[str, Any]) -> AsyncIterator[str]:
    """Yields its address."""
    path = folder / "alertmanager.yml"
    path.write_text(yaml.safe_dump(dict(config)))
    command = [
        "prometheus-alertmanager", f"--config.file={path}", f"--storage.path={folder / 'alertmanager'}",
        "--web.listen-address=127.0.0.1:0", "--cluster.listen-address=",
    ]  # fmt: skip
    async with program(command, folder / "alertmanager.log") as running:
        yield await _listening(running, "/-/ready")


@asynccontextmanager
async def prometheus(folder: Path, exporter: str, rules: Sequence[Path], alerts_to: str) -> AsyncIterator[str]:
    """It scrapes the exporter and evaluates the rules once a second. Yields its address."""
    path = folder / "prometheus.yml"
    path.write_text(
        yaml.safe_dump(
            {
                "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
                "rule_files": [str(file) for file in rules],
                "scrape_configs": _scraping(exporter),
                "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alerts_to.removeprefix("http://")]}]}]},
            }
        )
    )
    command = [
        "prometheus", f"--config.file={path}", f"--storage.tsdb.path={folder / 'prometheus'}",
        "--web.listen-address=127.0.0.1:0",
    ]  # fmt: skip
    async with program(command, folder / "prometheus.log") as running:
        yield await _listening(running, "/-/ready")


@asynccontextmanager
async def victoria(folder: Path, exporter: str, rules: Sequence[Path], alerts_to: str) -> AsyncIterator[str]:
    """VictoriaMetrics that scrapes the exporter, and vmalert with the rules. Yields vmalert's address."""
    path = folder / "scrape.yml"
    path.write_text(yaml.safe_dump({"scrape_configs": [_scraping(exporter)[0] | {"scrape_interval": "1s"}]}))
    storage, alerts = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    database = [
        "victoria-metrics", f"-promscrape.config={path}", f"-storageDataPath={folder / 'victoria'}",
        f"-httpListenAddr={storage}", "-search.latencyOffset=1s",
    ]  # fmt: skip
    evaluator = [
        "vmalert", *(f"-rule={file}" for file in rules), f"-datasource.url=http://{storage}",
        f"-remoteWrite.url=http://{storage}", f"-remoteRead.url=http://{storage}", f"-notifier.url={alerts_to}",
        f"-httpListenAddr={alerts}", "-evaluationInterval=1s", "-datasource.lookback=5s",
    ]  # fmt: skip
    async with program(database, folder / "victoria.log") as first:
        await _answers(f"http://{storage}", "/health", first)
        async with program(evaluator, folder / "vmalert.log") as second:
            await _answers(f"http://{alerts}", "/health", second)
            yield f"http://{alerts}"


async def get(url: str) -> Any:
    """The JSON there."""
    async with aiohttp.ClientSession() as http, http.get(url) as answer:
        assert answer.status == 200, await answer.text()
        return json.loads(await answer.text())


def free_port() -> int:
    """A port that is free now, for programs that cannot name the one they took."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _scraping(exporter: str) -> list[dict[str, Any]]:
    return [{"job_name": "tokencost", "static_configs": [{"targets": [exporter.removeprefix("http://")]}]}]


async def _listening(running: Program, ready: str) -> str:
    async def address() -> str | None:
        found = LISTENING.search(running.output())
        return found and found[1]

    url = f"http://{await eventually(address, 'it names its address', deadline=DEADLINE, process=running)}"
    await _answers(url, ready, running)
    return url


async def _answers(url: str, path: str, running: Program) -> None:
    async def ready() -> bool:
        async with aiohttp.ClientSession() as http, http.get(f"{url}{path}") as answer:
            return answer.status == 200

    await eventually(ready, f"{url} is ready", deadline=DEADLINE, process=running)
