"""What must hold of any bytes whatsoever, target by target. Each takes bytes and fails by raising."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from ipaddress import ip_address
from math import isfinite
from pathlib import Path
from urllib.parse import urlsplit

from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as text
from yarl import URL

from exporter.books import Books
from exporter.config.load import load
from exporter.config.schema import Config
from exporter.config.url import check_url, is_metadata, parse_address, target_of
from exporter.errors import ConfigError, Reason, ScrapeError
from exporter.ledger.changes import Saved
from exporter.publish.negotiation import format_for, gzip_for
from exporter.publish.otlp_link import LONGEST_WAIT, seconds
from exporter.publish.snapshot import Snapshot
from exporter.publish.view import View
from exporter.publish.writer import Exposition
from exporter.records import NS, Instant, Samples
from exporter.sources.exposition import Scanner
from exporter.sources.gpu_page import GpuPage
from exporter.sources.gpus import GPUS
from exporter.sources.limits import LIMITS
from exporter.sources.reader import Reader
from exporter.sources.registry import ENGINES, GATEWAYS
from exporter.sources.sample import parse_line

START = 1_795_348_800 * NS
PAGE = b"# TYPE g gauge\ng 1\n"
URLS = {name: f"http://{name}:1/metrics" for name in ("pool", "gateway")}
CONFIG = Config.model_validate({
    "pools": [{
        "name": "chat", "gpus": {"count": Decimal(1)}, "usd_per_gpu_hour": Decimal("3.6"), "tenant_label": "lora_name",
        "endpoints": [{"url": URLS["pool"]}],
    }],
    "gateways": [{
        "name": "edge", "endpoints": [{"url": URLS["gateway"]}], "tenant_label": ["team_alias", "team", "user"],
        "routes": [{"model": "llama*", "pool": "chat"}, {"model": "*", "provider": "openai"}],
    }],
    "budgets": [{"name": "all", "limit_usd": Decimal(1), "period": "day"}],
})  # fmt: skip
NAMES = frozenset().union(*(engine.names for engine in (*ENGINES.values(), *GATEWAYS.values())), {"g"})


def _printable(*texts: str) -> None:
    assert texts
    assert all(text.isprintable() for text in texts), texts


def _honest(error: ScrapeError) -> Reason:
    """A failure that is the page's own, in a line that can be shown."""
    _printable(str(error))
    assert len(str(error)) < 1000
    assert error.reason is not Reason.INTERNAL
    return error.reason


def _scanned(scanner: Scanner, body: bytes) -> dict[str, float] | Reason:
    try:
        samples = scanner.scan(body)
    except ScrapeError as error:
        return _honest(error)
    _sound(samples)
    return {series.key: value for series, value in samples.items()}


def _sound(samples: Samples) -> None:
    """Finite, bounded, and each series known by one text that reads back as itself."""
    for series, value in samples.items():
        assert isfinite(value)
        assert 0 <= value < LIMITS.value
        assert series.name in NAMES
    assert len({series.key for series in samples}) == len(samples)
    for series in list(samples)[:20]:
        line = parse_line(f"{series.key} 1".encode())
        assert line is not None
        assert line.name == series.name
        if "\\x" not in series.key:
            assert line.series(line.key()).labels == series.labels


def scan(body: bytes) -> None:
    """A scanner that knows other pages says the same as a new one, and goes on reading good ones."""
    warm = Scanner(NAMES)
    assert _scanned(warm, PAGE) == {"g": 1}
    again = _scanned(Scanner(NAMES), body)
    for _ in range(3):
        assert _scanned(warm, body) == again
    assert _scanned(warm, PAGE) == {"g": 1}


def books(body: bytes) -> None:
    """From the bytes of an engine's or gateway's page to a page of ours that Prometheus can read, twice over."""
    accounts = Books(CONFIG, Saved(), Instant(0, START))
    readers = {"pool": Reader("auto"), "gateway": Reader("auto", GATEWAYS)}
    page = Exposition()
    for step in range(1, 4):
        now = Instant(step * 15 * NS, START + step * 15 * NS)
        for name, reader in readers.items():
            try:
                accounts.observe(reader.read(URLS[name], body if step % 2 else body.replace(b" 1", b" 21"), now))
            except ScrapeError as error:
                accounts.failed(URLS[name], _honest(error))
        accounts.tick(now)
        accounts.drain()
        view = View(now, Instant(0, START), accounts.accounts, accounts.gauges(now))
        rendered = page.update(view)
        for fmt, parse in (("text", text), ("openmetrics", openmetrics)):
            shown = rendered.body(fmt).decode()  # type: ignore[arg-type]
            families = list(parse(shown))
            samples = [sample for family in families for sample in family.samples]
            assert all(sample.name.startswith("tokencost_") and isfinite(sample.value) for sample in samples)
            lines = [line for line in shown.split("\n") if line and not line.startswith("#")]
            assert len(lines) == len(samples)
        Snapshot(view).body()


def gpus(body: bytes) -> None:
    """Every exporter of GPUs gives GPUs that can be, or says why not."""
    for exporter in GPUS.values():
        page = GpuPage(exporter)
        for _ in range(2):
            try:
                reading = page.read("http://gpus:1/metrics", body, Instant(0, START))
            except ScrapeError as error:
                _honest(error)
                continue
            assert reading.gpus
            assert len({gpu.uuid for gpu in reading.gpus}) == len(reading.gpus)
            for gpu in reading.gpus:
                assert gpu.utilization is None or 0 <= gpu.utilization <= 1
                numbers = (gpu.power, gpu.energy, gpu.temperature, gpu.memory_used, gpu.memory_total)
                assert all(value is None or (isfinite(value) and value >= 0) for value in numbers)


def config(body: bytes) -> None:
    """A config, or mistakes that can be printed."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:  # noqa: S108
        path = Path(folder) / "tokencost.yml"
        path.write_bytes(body)
        try:
            load(path, today=date(2026, 11, 22))
        except ConfigError as error:
            _printable(*map(str, error.problems))


def address(body: bytes) -> None:
    """Who checks an address and who connects to it read the same host in it, and it is no metadata service."""
    url = body.decode(errors="replace")
    wrong = list(check_url(url))
    if wrong:
        _printable(*(part for pair in wrong for part in pair))
        return
    checked, used = urlsplit(url), URL(url)
    assert used.scheme in {"http", "https"}
    assert used.user is None
    assert used.password is None
    host = used.raw_host or ""
    assert host.partition("%")[0] == (checked.hostname or "").lower().partition("%")[0]
    assert used.port == (checked.port or {"http": 80, "https": 443}[checked.scheme])
    assert not is_metadata(host, parse_address(host))
    shown = target_of(url)
    assert shown.isprintable()
    assert "?" not in shown
    if parse_address(host) is not None and ":" in host:
        ip_address(host)


def headers(body: bytes) -> None:
    """What clients and receivers put into headers is nothing to us, or what we expect."""
    value = body.decode("latin-1")
    assert format_for(value) in {"text", "openmetrics"}
    assert gzip_for(value) in {True, False}
    assert 0 <= seconds(value, START) <= LONGEST_WAIT


TARGETS: Mapping[str, Callable[[bytes], None]] = {
    target.__name__: target for target in (scan, books, gpus, config, address, headers)
}
