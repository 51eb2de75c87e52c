"""Each gateway's table against recorded and hand-written pages, and what sets gateways apart from engines."""

from __future__ import annotations

from collections import Counter

import pytest

from exporter.columns import nonzero
from exporter.errors import Reason, ScrapeError
from exporter.metering.labels import given
from exporter.metering.meter import Meter
from exporter.metering.route import Router, Scope
from exporter.records import NS, TOKEN_CLASSES, Instant, Reading, Samples
from exporter.sources.engine import Engine
from exporter.sources.exposition import Scanner
from exporter.sources.registry import ENGINES, GATEWAYS, detect
from tests.sources.test_engines import PAGES, classes, page, total

LITELLM = GATEWAYS["litellm"]

# page: gateway, (input, cache_read, cache_write, output, reasoning), requests
TRUTH: dict[str, tuple[str, tuple[int, ...], int]] = {
    "litellm-1.60": ("litellm", (600, 0, 0, 150, 0), 6),
    "litellm-1.106.0": ("litellm", (416, 64, 0, 100, 20), 4),
    "litellm-1.106.2-teams-real": ("litellm", (256, 182, 64, 136, 40), 7),
    "envoy-ai-gateway-0.3": ("envoy_ai_gateway", (680, 0, 0, 150, 0), 5),
    "envoy-ai-gateway-0.5": ("envoy_ai_gateway", (1500, 3500, 1000, 600, 0), 6),
    "envoy-ai-gateway-1.1": ("envoy_ai_gateway", (1390, 800, 0, 350, 600), 9),
    "otel-genai-1.28-unit": ("otel_genai", (500, 0, 0, 250, 0), 4),
    "otel-genai-1.37": ("otel_genai", (1460, 0, 0, 380, 0), 9),
    "agentgateway-1.5": ("agentgateway", (2950, 2200, 300, 975, 0), 10),
    "kong-3.9": ("kong", (1100, 0, 0, 330, 0), 11),
    "kong-ai-gateway-2.1": ("kong", (540, 0, 0, 130, 0), 6),
    "epp-gie-1.0": ("epp", (2000, 0, 0, 400, 0), 7),
    "epp-gie-1.2": ("epp", (3200, 1000, 0, 850, 0), 9),
    "epp-llm-d-router-0.9": ("epp", (3100, 500, 0, 1020, 0), 9),
    "aibrix-0.8": ("aibrix", (1500, 0, 0, 500, 0), 8),
    "kthena-0.3": ("kthena", (1000, 0, 0, 280, 0), 6),
    "kthena-destinations": ("kthena", (1000, 0, 0, 290, 0), 6),
    "smg-1.11": ("smg", (960, 0, 0, 320, 0), 6),
}

# page: the label that names the tenant, then {(tenant, model, what the client called it): tokens}
WHOSE: dict[str, tuple[str, dict[tuple[str, str, str], tuple[int, ...]]]] = {
    "litellm-1.60": (
        "team_alias",
        {("acme", "gpt-4o-mini", "chat"): (400, 0, 0, 100, 0), ("", "gpt-4o-mini", "chat"): (200, 0, 0, 50, 0)},
    ),
    "litellm-1.106.0": (
        "team",
        {("", "gpt-4o", "chat"): (360, 0, 0, 90, 0), ("", "o4-mini-reason", "reasoner"): (56, 64, 0, 10, 20)},
    ),
    "litellm-1.106.2-teams-real": (
        "team_alias",
        {
            ("acme", "tiny", "chat"): (9, 45, 0, 24, 0),
            ("globex", "tiny", "chat"): (19, 9, 0, 12, 0),
            ("globex", "o4-mini", "thinker"): (208, 128, 64, 60, 40),
            ("acme", "gpt-4o", "paid"): (10, 0, 0, 20, 0),
            ("", "gpt-4o", "paid"): (10, 0, 0, 20, 0),
        },
    ),
    "envoy-ai-gateway-1.1": (
        "team",
        {
            ("acme", "gpt-5-mini", "gpt"): (1200, 800, 0, 300, 600),
            ("globex", "gpt-5-mini", "gpt"): (100, 0, 0, 50, 0),
            ("", "bge-m3", "bge"): (90, 0, 0, 0, 0),
        },
    ),
    "otel-genai-1.37": (
        "service_name",
        {("support-bot", "gpt-4o-mini", ""): (1400, 0, 0, 350, 0), ("search", "gpt-4o-mini", ""): (60, 0, 0, 30, 0)},
    ),
    "agentgateway-1.5": (
        "user_id",
        {
            ("acme", "gpt-5-mini", ""): (2000, 1000, 0, 600, 0),
            ("acme", "claude-sonnet-4-5", ""): (500, 1200, 300, 250, 0),
            ("globex", "gpt-5-mini", ""): (400, 0, 0, 100, 0),
            ("", "gpt-5-mini", ""): (50, 0, 0, 25, 0),
        },
    ),
    "kong-3.9": (
        "workspace",
        {
            ("default", "gpt-4o", ""): (700, 0, 0, 210, 0),
            ("default", "mistral-small", ""): (300, 0, 0, 90, 0),
            ("team-b", "gpt-4o", ""): (100, 0, 0, 30, 0),
        },
    ),
    "kong-ai-gateway-2.1": (
        "consumer",
        {("acme", "gpt-4o", ""): (500, 0, 0, 120, 0), ("", "gpt-4o", ""): (40, 0, 0, 10, 0)},
    ),
    "epp-gie-1.0": (
        "fairness_id",
        {("", "llama-3-8b", "chat"): (1500, 0, 0, 300, 0), ("", "llama-3-8b-canary", "chat"): (500, 0, 0, 100, 0)},
    ),
    "aibrix-0.8": (
        "lora_adapter",
        {("", "llama-3-8b", ""): (1200, 0, 0, 400, 0), ("support", "llama-3-8b", "support"): (300, 0, 0, 100, 0)},
    ),
    "kthena-destinations": (
        "model_route",
        {("default/chat", "chat", ""): (1000, 0, 0, 290, 0), ("none", "chat", ""): (0, 0, 0, 0, 0)},
    ),
    "smg-1.11": (
        "",
        {("", "Qwen/Qwen3-8B", ""): (900, 0, 0, 300, 0), ("", "support-lora", ""): (60, 0, 0, 20, 0)},
    ),
}


def read(name: str) -> tuple[Engine, Samples]:
    gateway = detect(page(name), GATEWAYS)
    return gateway, Scanner(gateway.names).scan(page(name))


def tokens(gateway: Engine, samples: Samples) -> tuple[int, ...]:
    moved = classes(gateway, samples)
    return tuple(moved[token_class] for token_class in TOKEN_CLASSES)


@pytest.mark.parametrize("name", TRUTH)
def test_a_page_holds_what_it_truly_holds(name: str) -> None:
    """Cached and cache-creation tokens are taken out of the input, reasoning out of the output."""
    gateway, samples = read(name)
    assert (gateway.name, tokens(gateway, samples), total(gateway.requests, samples)) == TRUTH[name]


@pytest.mark.parametrize("name", WHOSE)
def test_a_page_says_whose_tokens_they_were_and_of_which_model(name: str) -> None:
    """A label that the gateway prints as None is empty."""
    gateway, samples = read(name)
    counted = {name for signal in gateway.tokens for name in signal.names}
    tenant_label, truth = WHOSE[name]
    labels = [tenant_label, gateway.model_label or "", gateway.alias_label or ""]
    parts: dict[tuple[str, ...], Samples] = {}
    for series, value in samples.items():
        if series.name in counted:
            parts.setdefault(tuple(given(series.label(label)) for label in labels), {})[series] = value
    assert {whose: tokens(gateway, part) for whose, part in parts.items()} == truth


@pytest.mark.parametrize("name", TRUTH)
def test_the_router_finds_the_same(name: str) -> None:
    """Several signals may stand under one name, told apart by a label."""
    gateway, samples = read(name)
    router = Router(gateway, Scope("any", "", lambda _, model, alias: ("p", alias, model), watched_since_ns=0))
    moved: Counter[str] = Counter()
    requests = 0
    for _, route, value in router.counters(samples, samples, set()):
        requests += int(value) * route.request
        for (_, _, token_class), sign in route.cells:
            moved[token_class] += sign * int(value)
    assert (tuple(moved[token_class] for token_class in TOKEN_CLASSES), requests) == TRUTH[name][1:]


def test_the_spend_that_litellm_books_is_tokens_times_price_by_class() -> None:
    """Its own sum of money, made by its own code, is right for these classes and no others."""
    prices = {  # USD per token in the recorded proxy's config, in the order of the classes
        "tiny": (2e-6, 5e-7, 0, 6e-6, 6e-6),
        "o4-mini": (1e-6, 2.5e-7, 1.25e-6, 4e-6, 4e-6),
        "gpt-4o": (1e-5, 0, 0, 3e-5, 3e-5),
    }
    spent: dict[tuple[str, str], float] = {}
    for series, usd in Scanner(["litellm_spend_metric_total"]).scan(page("litellm-1.106.2-teams-real")).items():
        spent[given(series.label("team_alias")), series.label("model")] = usd
    _, truth = WHOSE["litellm-1.106.2-teams-real"]
    assert len(spent) == len(truth)
    for (tenant, model, _), counts in truth.items():
        usd = sum(count * price for count, price in zip(counts, prices[model], strict=True))
        assert spent[tenant, model] == pytest.approx(usd, rel=1e-12)


def gateway_of(name: str) -> str | None:
    """The gateway that a page's file is named after; None: an engine."""
    return next((gateway for gateway in GATEWAYS if name.replace("-", "_").startswith(f"{gateway}_")), None)


NAMES = sorted(path.stem for path in PAGES.glob("*.prom"))


@pytest.mark.parametrize("name", [name for name in NAMES if gateway_of(name)])
def test_each_page_is_recognised_among_gateways_as_what_it_is(name: str) -> None:
    """Whatever else carries OpenTelemetry's names, and before the first request too: there nothing is counted."""
    gateway, samples = read(name)
    assert gateway.name == gateway_of(name)
    assert ("-idle" in name) == (not samples)
    assert ("-idle" in name) == (name not in TRUTH), "a page with tokens says how many"


@pytest.mark.parametrize("gateway", ["litellm", "agentgateway", "kong", "epp", "kthena", "smg"])
def test_a_gateway_is_recognised_before_its_first_request(gateway: str) -> None:
    assert [name for name in NAMES if gateway_of(name) == gateway and "-idle" in name]


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_a_mark_is_nobody_elses(gateway: str) -> None:
    """But for OpenTelemetry's, which Envoy has too: it must come last, and what has a name of its own before it."""
    order = list(GATEWAYS)
    for name in NAMES:
        try:
            alone = detect(page(name), {gateway: GATEWAYS[gateway]})
        except ScrapeError:
            continue
        of = gateway_of(name)
        assert of is not None
        assert alone.name == of or (gateway == order[-1] == "otel_genai" and of == "envoy_ai_gateway")


def test_the_pages_know_every_name_of_every_table() -> None:
    """A misspelt name in a table would silently count nothing."""
    text = b"".join(path.read_bytes() for path in PAGES.glob("*.prom"))
    for gateway in GATEWAYS.values():
        for name in gateway.names | set(gateway.marks):
            assert b"\n%s{" % name.encode() in text or b"\n%s " % name.encode() in text, name


@pytest.mark.parametrize("gateway", GATEWAYS.values(), ids=lambda gateway: gateway.name)
def test_a_table_counts_nothing_twice(gateway: Engine) -> None:
    for name in gateway.names:
        assert not name.endswith(("_created", "_bucket", "_bucket_total"))
        assert "total_tokens" not in name
        assert "cost" not in name
        assert "provider_cache" not in name
        assert not name.startswith("litellm_cached")
    told_apart = [(name, signal.only) for signal in gateway.tokens for name in signal.names]
    assert len(told_apart) == len(set(told_apart))
    types = {value for signal in gateway.tokens for label, value in signal.only if label.endswith("token_type")}
    assert not types & {"total", "total_tokens"}


def test_no_gateway_is_taken_for_an_engine_nor_an_engine_for_a_gateway() -> None:
    """A gateway that stood as a pool would be counted beside the engines behind it."""
    assert not ENGINES.keys() & GATEWAYS.keys()
    assert {gateway_of(name) for name in NAMES} == {None, *GATEWAYS}
    for name in NAMES:
        with pytest.raises(ScrapeError) as error:
            detect(page(name), ENGINES if gateway_of(name) else GATEWAYS)
        assert error.value.reason is Reason.UNKNOWN_ENGINE


class Proxy:
    """A meter over LiteLLM pages of one counter by team, one every 15 s."""

    def __init__(self) -> None:
        scope = Scope("any", "", lambda series, model, _: ("p", series.label("team_alias"), model), 900 * NS)
        self.meter, self.scanner = Meter(LITELLM, scope), Scanner(LITELLM.names)
        self.now = 1_000 * NS

    def show(self, **teams: int) -> dict[str, int]:
        """Output tokens by team that this page adds."""
        self.now += 15 * NS
        lines = [
            f'litellm_output_tokens_metric_total{{model="m",team_alias="{team}"}} {count}.0\n'
            for team, count in teams.items()
        ]
        samples = self.scanner.scan("".join(lines).encode())
        self.meter.observe(Reading("t", "litellm", Instant(self.now, self.now), 500.0, samples))
        usage = self.meter.take()["p"]
        return nonzero(usage.tokens).get(("m", "output"), {})


def test_an_evicted_series_takes_no_other_with_it() -> None:
    """LiteLLM forgets series one by one: one that starts again from zero says nothing about the others."""
    proxy = Proxy()
    assert proxy.show(acme=1000, globex=500) == {}
    assert proxy.show(globex=520) == {"globex": 20}
    assert proxy.show(acme=30, globex=520) == {"acme": 30}
    assert proxy.meter.resets == 1
    assert proxy.show(acme=40, globex=525) == {"acme": 10, "globex": 5}
