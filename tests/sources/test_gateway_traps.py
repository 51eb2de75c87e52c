"""What gateways' pages hold besides their own token counters: old names, engines' series, answers from a cache."""

from __future__ import annotations

import re

import pytest

from exporter.columns import nonzero
from exporter.errors import Reason, ScrapeError
from exporter.metering.meter import Meter
from exporter.metering.route import Scope
from exporter.records import NS, Instant, Reading
from exporter.sources.exposition import Scanner
from exporter.sources.registry import ENGINES, GATEWAYS, detect
from tests.sources.test_engines import PAGES, page
from tests.sources.test_gateways import TRUTH

TYPE = re.compile(r"^# TYPE (\S+) (\w+)$", re.MULTILINE)
EPP_PAGE = "epp-llm-d-router-0.9"


class Looks:
    """A meter over a gateway's pages, one every 15 s, watched since before any of its processes started."""

    def __init__(self, gateway: str, tenant_label: str) -> None:
        table = GATEWAYS[gateway]
        scope = Scope("any", "", lambda series, model, _: ("p", series.label(tenant_label), model), 900 * NS)
        self.gateway, self.scanner, self.meter = gateway, Scanner(table.names), Meter(table, scope)
        self.now = 1_000 * NS

    def at(self, body: str, start: float | None = None) -> dict[tuple[str, str], int]:
        """Tokens by (tenant, class) that this page adds."""
        self.now += 15 * NS
        samples = self.scanner.scan(body.encode())
        self.meter.observe(Reading("t", self.gateway, Instant(self.now, self.now), start, samples))
        found: dict[tuple[str, str], int] = {}
        usage = self.meter.take().get("p")
        for (_, token), column in nonzero(usage.tokens).items() if usage else ():
            for tenant, amount in column.items():
                found[tenant, token] = found.get((tenant, token), 0) + amount
        return found


@pytest.mark.parametrize("name", TRUTH)
def test_only_counters_and_histograms_are_counted(name: str) -> None:
    """Not a gauge with a counter's name, nor a histogram under a name of its own that ends in _total."""
    body = page(name).decode()
    types = dict(TYPE.findall(body))
    for series in Scanner(detect(page(name), GATEWAYS).names).scan(page(name)):
        family = re.sub(r"_(sum|count)$", "", series.name)
        if family != series.name:
            assert types[family] == "histogram"
        else:
            assert series.name.endswith("_total")
            assert types.get(series.name, types.get(series.name.removesuffix("_total"))) == "counter"


def test_no_gateway_counts_what_an_engine_counts() -> None:
    """AIBrix, kthena and SMG repeat their engines' series: those are the engines' pages' to count."""
    engines = frozenset[str]().union(*(engine.names for engine in ENGINES.values()))
    for gateway in GATEWAYS.values():
        assert not gateway.names & engines
        assert not any(":" in name for name in gateway.names)


@pytest.mark.parametrize(
    "line",
    [
        'sglang:prompt_tokens_total{model_name="m",worker_addr="grpc://10.0.0.1:20000"} 9',  # SMG's /engine_metrics
        'sglang_prompt_tokens_total{model_name="m",worker_addr="grpc://10.0.0.1:20000"} 9',  # the same, older
        'kthena:generation_tokens_total{model_name="m",engine="vllm"} 9',  # kthena's runtime sidecar
        'prompt_tokens_total{model="m",pod="m-0",engine_type="vllm"} 9',  # AIBrix before its first request
        'gateway_input_tokens_total{model="m"} 9',  # some other gateway's; AIBrix names its requests too
    ],
)
def test_engines_series_repeated_are_no_gateways_page(line: str) -> None:
    with pytest.raises(ScrapeError) as error:
        detect(f"{line}\n".encode(), GATEWAYS)
    assert error.value.reason is Reason.UNKNOWN_ENGINE


def test_a_page_that_shows_nothing_of_its_gateway_asks_for_the_engine_in_the_config() -> None:
    """Envoy and OpenTelemetry have no sample of their own before the first request: nothing is guessed from less."""
    with pytest.raises(ScrapeError, match="set `engine` in the config"):
        detect(b'target_info{service_name="envoy-ai-gateway"} 1\n', GATEWAYS)


def test_opentelemetrys_names_alone_are_of_no_gateway_with_a_name() -> None:
    tokens = b'gen_ai_client_token_usage_sum{gen_ai_token_type="input"} 9\n'
    assert detect(tokens, GATEWAYS).name == "otel_genai"
    assert detect(b"agentgateway_" + tokens, GATEWAYS).name == "agentgateway"
    assert detect(tokens + b"gen_ai_server_request_duration_seconds_count 1\n", GATEWAYS).name == "envoy_ai_gateway"


def test_old_and_new_names_of_an_endpoint_picker_are_never_added() -> None:
    """The old name has no tenant: taken instead, or as well, everybody's tokens would be nobody's."""
    assert Looks("epp", "fairness_id").at(page(EPP_PAGE).decode(), start=950.0) == {
        ("acme", "input"): 2000, ("acme", "cache_read"): 500, ("acme", "output"): 700,
        ("globex", "input"): 1000, ("globex", "output"): 300,
        ("default-flow", "input"): 100, ("default-flow", "output"): 20,
    }  # fmt: skip


def test_an_endpoint_picker_that_is_upgraded_is_counted_once_under_each_name() -> None:
    """The new process starts from zero and counts under both names; the old one's name does not live on in it."""
    looks = Looks("epp", "fairness_id")
    old = page("epp-gie-1.2").decode()
    assert looks.at(old, start=950.0) == {("", "input"): 3200, ("", "cache_read"): 1000, ("", "output"): 850}
    new = looks.at(page(EPP_PAGE).decode(), start=looks.now / NS + 5)
    assert sum(new.values()) == sum(TRUTH[EPP_PAGE][1])
    assert not {token for tenant, token in new if not tenant}
    assert looks.at(page(EPP_PAGE).decode(), start=looks.meter.process_start) == {}


def test_the_first_answer_to_report_cached_tokens_takes_them_out_of_the_input() -> None:
    """The counter of cached tokens appears later than the others, and only with what it then has."""
    looks = Looks("epp", "fairness_id")
    series = '{fairness_id="acme",model_name="m",target_model_name="m"}'
    lines = [f"llm_d_epp_request_input_tokens_sum{series} 100", f"llm_d_epp_request_output_tokens_sum{series} 10", ""]
    assert looks.at("\n".join(lines), start=950.0) == {("acme", "input"): 100, ("acme", "output"): 10}
    lines[0] = f"llm_d_epp_request_input_tokens_sum{series} 300"
    lines.insert(0, f"llm_d_epp_request_cached_tokens_sum{series} 150")
    assert looks.at("\n".join(lines), start=950.0) == {("acme", "input"): 50, ("acme", "cache_read"): 150}


def kong(**counts: int) -> str:
    """One model's prompt tokens by cache status; `miss` is empty, as without a semantic cache."""
    name = "kong_ai_llm_tokens_total"
    return "".join(
        f'{name}{{ai_model="m",cache_status="{"" if status == "miss" else status}",token_type="{kind}",'
        f'workspace="default",consumer="{consumer}"}} {count}\n'
        for consumer in ("acme", "globex")
        for status, count in counts.items()
        for kind in ("prompt_tokens", "total_tokens")
    )


def test_what_kongs_cache_answered_and_its_totals_are_not_served_tokens() -> None:
    looks = Looks("kong", "consumer")
    looks.at(kong(miss=100, hit=50, Hit=50))
    assert looks.at(kong(miss=130, hit=950, Hit=750)) == {("acme", "input"): 30, ("globex", "input"): 30}


def test_a_series_that_kongs_memory_let_go_takes_no_other_with_it() -> None:
    """Shared memory evicts one by one when it is full: one that starts again says nothing about the others."""
    looks = Looks("kong", "consumer")
    looks.at(kong(miss=1000))
    body = kong(miss=1020).splitlines(keepends=True)
    evicted = "".join(line.replace("1020", "15") if "acme" in line else line for line in body)
    assert looks.at(evicted) == {("acme", "input"): 15, ("globex", "input"): 20}


def test_a_prompt_that_kthena_could_not_place_was_served_by_nobody() -> None:
    looks = Looks("kthena", "model_route")
    line = 'kthena_router_tokens_total{{backend_type="{}",model="m",model_route="{}",token_type="input"}} {}\n'
    looks.at(line.format("model_server", "r", 10) + line.format("unresolved", "none", 10))
    found = looks.at(line.format("model_server", "r", 30) + line.format("unresolved", "none", 90))
    assert found == {("r", "input"): 20}


def test_every_page_says_where_it_is_from() -> None:
    for path in PAGES.glob("*.prom"):
        assert path.read_text().startswith("# source: "), path.name
