"""What one page says, through the same reader and the same table as in serving, and what it does not say."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from itertools import islice

from exporter.config.types import LABEL_PATTERN
from exporter.errors import ScrapeError
from exporter.metering.labels import given, safe
from exporter.metering.route import Router, Scope
from exporter.probe.versions import since
from exporter.records import Instant, Measure, Phase, Samples, Series, TokenClass
from exporter.sources.engine import Engine, Signal
from exporter.sources.exposition import Scanner
from exporter.sources.reader import PROCESS_START, Reader
from exporter.sources.registry import ENGINES, GATEWAYS
from exporter.sources.sample import NAME

# Words of labels that name who used something, the likeliest first.
TENANTS = (
    "tenant", "team_alias", "team", "customer", "organization", "org_alias", "org", "project", "department",
    "workspace", "account", "fairness", "end_user", "user", "client", "api_key_alias", "api_key", "key", "lora",
    "namespace", "service",
)  # fmt: skip
VERSIONS = ("version", "Version", "service_version")  # labels
NAMES = 100_000  # sample lines of a page that are looked at for the names of what is not counted
INFOS = 20  # metrics that are looked at for a version
OF_TOKENS = re.compile(r"^(?!.*(?:seconds|latency|time_))\S*token\S*(?:_total|_sum|_counter)$")


@dataclass(frozen=True, slots=True)
class Label:
    """One label of the token series: what it says, how often, and how likely it is a tenant's (0: not at all)."""

    name: str
    values: Counter[str]  # tokens by value
    unset: int  # series on which it says nothing
    rank: int


@dataclass(slots=True)
class Page:
    """One page."""

    target: str
    url: str  # whole: its query may be secret
    engine: Engine
    start: float | None  # Unix seconds
    starts: int = 0  # how many start times stand on the page
    tokens: dict[str, Counter[TokenClass]] = field(default_factory=dict)  # by model; "" where the page names none
    classes: set[TokenClass] = field(default_factory=set)  # those that are counted
    requests: int | None = None
    seconds: dict[Phase, float] = field(default_factory=dict)
    measures: dict[Measure, float] = field(default_factory=dict)
    running: float | None = None
    waiting: float | None = None
    kv_cache: float | None = None
    labels: list[Label] = field(default_factory=list)  # the likeliest tenants first
    versions: list[str] = field(default_factory=list)
    twice: list[tuple[str, list[str]]] = field(default_factory=list)  # counted under the first, there as the others too
    uncounted: list[str] = field(default_factory=list)  # names that speak of tokens and are not read

    @property
    def gateway(self) -> bool:
        return self.engine.name in GATEWAYS

    @property
    def models(self) -> list[str]:
        """Those with the most tokens first."""
        return sorted(self.tokens, key=lambda model: (-sum(self.tokens[model].values()), model))

    @property
    def tenant_label(self) -> str | None:
        """The label that is likeliest to name the tenant; None where none looks like one."""
        return next((label.name for label in self.labels if label.rank and label.values), None)


def printable(text: str) -> str:
    """What a terminal may be shown: nothing that moves its cursor, nor breaks or turns a line."""
    return "".join(char if char.isprintable() else "\ufffd" for char in text)


def look(target: str, url: str, engine: str, body: bytes, at: Instant) -> Page:
    """The page of that engine or gateway, or of the one whose marks it has ("auto"). ScrapeError as in serving."""
    known = ENGINES | GATEWAYS
    reading = Reader(engine, known).read(target, body, at)
    table = known[reading.engine]
    samples = reading.samples
    starts = sum(series.name == PROCESS_START for series in samples)
    page = Page(target, url, table, reading.process_start, starts)
    _count(page, samples)
    names = list(dict.fromkeys(match[1].decode() for match in islice(NAME.finditer(body), NAMES)))
    page.versions = _versions(table.name, names, body, samples)
    signals = (*table.tokens, *table.requests, *table.seconds, *table.measures)
    for alternatives in dict.fromkeys(signal.names for signal in signals):
        present = [name for name in alternatives if name in names]
        if len(present) > 1:
            page.twice.append((present[0], present[1:]))
    page.uncounted = [name for name in names if name not in table.names and OF_TOKENS.search(name)]
    return page


def _count(page: Page, samples: Samples) -> None:
    """Every counter, where its table sends it."""
    scope = Scope("any", "", lambda _series, model, _alias: ("", "", model), watched_since_ns=0)
    router = Router(page.engine, scope)
    counted: list[tuple[Series, float]] = []
    for series, route, value in router.counters(samples, samples, set()):
        for (_, model, token), sign in route.cells:
            page.tokens.setdefault(model, Counter())[token] += sign * int(value)
            page.classes |= {token} if sign > 0 else set()
        if route.cells:
            counted.append((series, value))
        if route.request:
            page.requests = (page.requests or 0) + int(value)
        if route.phase:
            page.seconds[route.phase] = page.seconds.get(route.phase, 0.0) + value
        if route.measure:
            page.measures[route.measure] = page.measures.get(route.measure, 0.0) + value
    page.running, page.waiting = (
        _sum(router, signal, samples) for signal in (page.engine.running, page.engine.waiting)
    )
    caches = router.gauge(page.engine.kv_cache, samples)
    page.kv_cache = sum(caches) / len(caches) if caches else None
    page.labels = _labels(page.engine, counted)


def _sum(router: Router, signal: Signal | None, samples: Samples) -> float | None:
    values = router.gauge(signal, samples)
    return sum(values) if values else None


def _labels(engine: Engine, counted: Iterable[tuple[Series, float]]) -> list[Label]:
    """The labels of these series but for those that the table itself reads."""
    read = {engine.model_label, engine.older_model_label, engine.alias_label, engine.role_label}
    read |= {label for signal in engine.tokens for label, _ in (*signal.only, *signal.skip)}
    values: dict[str, Counter[str]] = {}
    unset: Counter[str] = Counter()
    for series, tokens in counted:
        for name, value in series.labels:
            if name in read:
                continue
            seen = values.setdefault(name, Counter())
            if given(value):
                seen[safe(value)] += int(tokens)
            else:
                unset[name] += 1
    found = [Label(safe(name), seen, unset[name], _rank(name)) for name, seen in values.items()]
    return sorted(found, key=lambda label: (-label.rank, not label.values, label.name))


def _rank(label: str) -> int:
    if not re.fullmatch(LABEL_PATTERN, label):
        return 0  # no config can name it
    return next((len(TENANTS) - at for at, word in enumerate(TENANTS) if word in label.lower()), 0)


def _versions(engine: str, names: Collection[str], body: bytes, samples: Samples) -> list[str]:
    """What labels say, of `..._info` metrics or of the counters themselves (Ray); what the names say."""
    infos = [name for name in names if name.endswith("_info")]
    try:
        told = Scanner(infos[:INFOS]).scan(body) if infos else {}
    except ScrapeError:
        told = {}
    found: dict[str, None] = {}
    for series in (*told, *samples):
        for label in VERSIONS:
            if version := series.label(label):
                found[f"{series.name.removesuffix('_info')} {safe(version)}" if series in told else safe(version)] = (
                    None
                )
    by_name = since(engine, names)
    return [*list(found)[:5], *([f"names as in {by_name}"] if by_name else [])]
