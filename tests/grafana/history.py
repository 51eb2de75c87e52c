"""Two weeks of a fleet as Prometheus would have scraped them: the demo's world, the real pages, books and exposition.

Half an hour apart at first, five minutes in the last day, one minute in the last hour. What a dashboard can show
happens: crashes, a price that changes, a reload that fails, a GPU that two pools want, a model without a price.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import date
from pathlib import Path

from exporter import __version__
from exporter.books import Books
from exporter.books import Published as Gauges
from exporter.config.load import load
from exporter.config.schema import Config
from exporter.demo.fleet import Fleet
from exporter.demo.serve import GATEWAY
from exporter.errors import Reason, ScrapeError
from exporter.health import Health
from exporter.ledger import families as f
from exporter.ledger.changes import Saved
from exporter.pricing.catalog import Catalog
from exporter.publish.runtime import Runtime
from exporter.publish.view import View
from exporter.publish.writer import Exposition
from exporter.records import NS, Instant
from exporter.sources.dcgm import DCGM
from exporter.sources.gpu_page import GpuPage
from exporter.sources.reader import Reader
from exporter.sources.registry import GATEWAYS
from exporter.sources.target import targets
from tests.grafana.beside import BESIDE

DAY = 86_400
END = 1_795_307_400  # 2026-11-22T00:30:00Z, half an hour after a price changed
START = END - 15 * DAY
STEPS = ((END - DAY - 5400, 1800), (END - 5400, 300), (END, 60))  # until when, seconds between two scrapes
LIFE = 15  # seconds that the world lives before each scrape; what lies between is a pause
SCRAPED = b'job="tokencost",instance="exporter:9742"'  # what Prometheus adds
OTHER = b'job="tokencost",instance="other:9742"'  # a second exporter, which died an hour ago
GPUS = "http://dcgm:9400/metrics"
CONFIG = """
scrape: {{interval: 15s, timeout: 5s}}
prices:
  gpus:
    - {{product: "NVIDIA H100*", usd_per_hour: 2.99, until: 2026-11-22}}
    - {{product: "NVIDIA H100*", usd_per_hour: 2.49}}
    - {{product: "NVIDIA A100*", usd_per_hour: 1.49}}
  models:
    - {{model: gpt-4o, input_usd_per_mtok: 2.50, cache_read_usd_per_mtok: 1.25, output_usd_per_mtok: 10}}
  energy: {{usd_per_kwh: 0.12, pue: 1.2}}
pools:
  - name: chat-70b
    endpoints: [{{url: "http://chat-70b-any-0:8000/metrics"}}, {{url: "http://chat-70b-any-1:8000/metrics"}}]
    gpus: {{source: dcgm, url: "{gpus}", match: {{gpu: "[0-3]"}}}}
  - name: code-32b
    endpoints:
      - {{url: "http://code-32b-prefill-0:8000/metrics", role: prefill}}
      - {{url: "http://code-32b-decode-1:8000/metrics", role: decode}}
    gpus: {{count: 2, product: "NVIDIA A100-SXM4-80GB"}}
    overhead_usd_per_hour: 0.40
    tenant: research
  - name: lab
    engine: vllm
    endpoints: [{{url: "http://lab:8000/metrics"}}]
    gpus: {{source: dcgm, url: "{gpus}", match: {{gpu: "[34]"}}}}
gateways:
  - name: edge
    endpoints: [{{url: "http://edge:8000/metrics"}}]
    tenant_label: team_alias
    routes: [{{model: "chat-70b*", pool: chat-70b}}, {{model: "*", provider: openai}}]
tenants: {{limit: 16}}
budgets:
  - {{name: everything, limit_usd: 40000, period: month}}
  - {{name: acme, tenant: acme, limit_usd: 600, period: month}}
"""


def url(name: str) -> str:
    return f"http://{name}:8000/metrics"


class History:
    """The world, the exporter that watches it, and every line that it ever published."""

    def __init__(self, folder: Path) -> None:
        path = folder / "tokencost.yml"
        path.write_text(CONFIG.format(gpus=GPUS))
        self.config: Config = load(path, today=date(2026, 11, 7))
        catalog = Catalog()
        catalog.load()
        self.fleet: Fleet = Fleet(random.Random(11), START, day_seconds=DAY, mean_life=DAY)
        self.books = Books(self.config, Saved(), Instant(0, START * NS), catalog)
        self.series: dict[tuple[bytes, bytes], list[bytes]] = {}  # (scraped, series) -> its samples
        self._health = Health()
        self._health.configure(targets(self.config))
        self._exposition = Exposition(Runtime().block)
        self._engines = {url(name): Reader("auto") for name in self.fleet.engines}
        self._edge, self._dcgm = Reader("auto", GATEWAYS), GpuPage(DCGM)
        self._reloaded = (True, float(START))
        self._random = random.Random(5)

    def live(self) -> None:
        """All of it."""
        now = START
        for until, step in STEPS:
            while now < until:
                now += step
                self._events(now)
                self.fleet.advance(LIFE, now)
                self._scrape(Instant((now - START) * NS, now * NS))

    def _events(self, now: int) -> None:
        """What the demo's world does not have."""
        for number in range(20):  # more tenants than a graph has lines for, and than the limit allows
            self.fleet.gateway.report(f"team-{number:02}", "chat-70b", prompt=300 + number, output=40)
        self.fleet.gateway.report("soylent", "in-house-1", prompt=40_000, output=50)  # nobody knows its price
        for family, labels, amount in (  # no engine of the demo counts these
            (f.SPECULATIVE, ("chat-70b", "chat-70b", "drafted"), 100),
            (f.SPECULATIVE, ("chat-70b", "chat-70b", "accepted"), 70),
            (f.ABORTED, ("chat-70b", "chat-70b"), 2),
        ):
            self.books.accounts[family].add(labels, amount)
        if now == END - 1800:
            self._reloaded = (False, self._reloaded[1])
            self.books.save_failed()
        if now == END - 1200:
            self._reloaded = (True, float(now))

    def _scrape(self, at: Instant) -> None:
        now = at.wall_ns / NS
        for name, engine in self.fleet.engines.items():
            silent = now > END - 120 if name == "code-32b-decode-1" else self._random.random() < 0.02 and now < END
            if self.fleet.up(name) and not silent:
                self.books.observe(self._engines[url(name)].read(url(name), engine.page(), at))
                self._health.good(url(name), "vllm", at, 0.01)
            else:
                reason = Reason.TIMEOUT if self.fleet.up(name) else Reason.CONNECT
                self._fail(url(name), reason)
        self._fail(url("lab"), Reason.CONNECT)
        self.books.observe(self._edge.read(url(GATEWAY), self.fleet.gateway.page(), at))
        self._health.good(url(GATEWAY), "litellm", at, 0.02)
        self.books.observe_gpus(self._dcgm.read(GPUS, dcgm_page(now), at))
        self._health.good(GPUS, "dcgm", at, 0.03)
        self.books.tick(at)
        self.books.drain()
        gauges = self.books.gauges(at) | self._health.gauges() | self._own(now)
        view = View(at, Instant(0, START * NS), self.books.accounts, gauges, self._health.statuses())
        self._keep(self._exposition.update(view).body("openmetrics").splitlines(), now)
        self._keep(BESIDE, now)
        died = now > END - 3600
        self._keep([b"up 0"] if died else [b"up 1", b'tokencost_build_info{version="0.0.9"} 1'], now, OTHER)

    def _fail(self, target: str, reason: Reason) -> None:
        self.books.failed(target, reason)
        self._health.failed(target, 0.05, ScrapeError(reason, target))

    def _own(self, now: float) -> Gauges:
        """What the process itself adds to its page."""
        return {
            "tokencost_ledger_last_save_timestamp_seconds": {(): now},
            "tokencost_config_last_reload_successful": {(): float(self._reloaded[0])},
            "tokencost_config_last_reload_success_timestamp_seconds": {(): self._reloaded[1]},
            "tokencost_build_info": {(__version__, "0123abc", "3.11.0"): 1.0},
        }

    def _keep(self, lines: Iterable[bytes], now: float, scraped: bytes = SCRAPED) -> None:
        end = f" {now:.0f}\n".encode()
        for line in lines:
            if not line.startswith(b"#"):
                series, _, value = line.rpartition(b" ")
                self.series.setdefault((scraped, series), []).append(value + end)

    def grew(self, metric: str, since: float, **labels: str) -> float:
        """What the counters with these labels grew by, from their first sample at or after `since` to the last."""
        growth = 0.0
        wanted = [f'{name}="{value}"'.encode() for name, value in labels.items()]
        for (_, series), samples in self.series.items():
            if series.startswith(f"{metric}{{".encode()) and all(label in series for label in wanted):
                values = [float(value) for value, at in map(bytes.split, samples) if float(at) >= since]
                growth += values[-1] - values[0]
        return growth

    def write(self, path: Path) -> None:
        """As OpenMetrics with the labels and the timestamps of Prometheus, each series in the order of time."""
        with path.open("wb") as out:
            for (scraped, series), samples in self.series.items():
                name, _, labels = series.rstrip(b"}").partition(b"{")
                start = name + b"{" + (labels + b"," if labels else b"") + scraped + b"} "
                out.writelines(start + sample for sample in samples)
            out.write(b"# EOF\n")


def dcgm_page(now: float) -> bytes:
    """Five GPUs: four of the chat pool, of which the lab wants one, and one of a kind without a price."""
    lines = []
    for gpu in range(5):
        product = "NVIDIA H100 80GB HBM3" if gpu < 4 else "NVIDIA Unheard-of"
        labels = f'{{gpu="{gpu}",UUID="GPU-{gpu}",modelName="{product}",Hostname="n1"}}'
        power = 300 + 10 * gpu
        lines += [
            f"DCGM_FI_DEV_GPU_UTIL{labels} {60 + gpu}",
            f"DCGM_FI_DEV_FB_USED{labels} 60000",
            f"DCGM_FI_DEV_FB_FREE{labels} 20000",
            f"DCGM_FI_DEV_POWER_USAGE{labels} {power}",
            f"DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{labels} {power * (now - START) * 1000:.0f}",
            f"DCGM_FI_DEV_GPU_TEMP{labels} 55",
        ]
    return "\n".join([*lines, ""]).encode()
