"""The real exporter: its own process, its own ledger, its own HTTP."""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import orjson
from prometheus_client.parser import text_string_to_metric_families

from tests.peers.process import Program, program
from tests.peers.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]
Labels = frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Page:
    """One exposition, as Prometheus' own parser reads it. A counter's name ends in `_total`."""

    samples: dict[tuple[str, Labels], float] = field(repr=False)
    counters: frozenset[str] = field(repr=False)

    def total(self, name: str, **labels: str) -> float:
        """Sum over the series of that name that carry those labels; 0.0 for none."""
        wanted = frozenset(labels.items())
        return sum(value for (sample, had), value in self.samples.items() if sample == name and wanted <= had)

    def fell_from(self, before: Page) -> list[str]:
        """The counters of `before` that are lower here or gone: a law is broken if there are any."""
        return [
            f"{name}{sorted(labels)}: {value} -> {self.samples.get((name, labels))}"
            for (name, labels), value in before.samples.items()
            if name in before.counters and self.samples.get((name, labels), -1.0) < value
        ]


@dataclass(frozen=True, slots=True)
class Exporter:
    """A running exporter that has tried every target."""

    url: str
    program: Program
    http: aiohttp.ClientSession

    async def page(self) -> Page:
        async with self.http.get(f"{self.url}/metrics") as answer:
            assert answer.status == 200, await answer.text()
            families = list(text_string_to_metric_families(await answer.text()))
        samples = [sample for family in families for sample in family.samples]
        return Page(
            {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples},
            frozenset(sample.name for sample in samples if re.fullmatch(r"tokencost_.*_total", sample.name)),
        )


@asynccontextmanager
async def exporter(config: Path, ledger: Path, log: Path, deadline: float = 30.0) -> AsyncIterator[Exporter]:
    """Run it on a free port until the block is left; it is ready when the block is entered, after `deadline` seconds
    at most."""
    flags = {
        "config.file": config,
        "storage.path": ledger,
        "web.listen-address": "127.0.0.1:0",
        "log.format": "json",
    }
    command = [sys.executable, "-m", "exporter", *(f"--{flag}={value}" for flag, value in flags.items())]
    async with program(command, log, folder=ROOT) as running, aiohttp.ClientSession() as http:

        async def address() -> str | None:
            complete_lines = running.output().rpartition("\n")[0].splitlines()
            events = [orjson.loads(line) for line in complete_lines if line.startswith("{")]
            return next((event["address"] for event in events if event["msg"] == "listening"), None)

        async def ready() -> bool:
            async with http.get(f"{url}/-/ready") as answer:
                return answer.status == 200

        url = f"http://{await eventually(address, 'the exporter names its address', process=running)}"
        await eventually(ready, "the exporter is ready", deadline=deadline, process=running)
        yield Exporter(url, running, http)
