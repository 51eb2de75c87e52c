"""What a good file means: exact money, nanoseconds, defaults, absolute paths, dated prices, targets without secrets."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config.checks import not_installed
from exporter.config.gpus import CountedGpus, ExportedGpus, NvmlGpus, StaticGpus
from exporter.config.load import load
from exporter.config.prices import GpuPrice, OwnedGpu
from exporter.config.schema import Config, Endpoint, Otlp, Weights
from exporter.config.types import DAY, HOUR, MINUTE, MS, SECOND, duration, format_duration
from exporter.errors import ConfigError

TODAY = date(2026, 11, 5)
GOOD = Path(__file__).parent / "good"


@pytest.fixture(scope="module")
def full() -> Config:
    return load(GOOD / "full.yml", today=TODAY)


@pytest.fixture(scope="module")
def gpus() -> Config:
    return load(GOOD / "gpus.yml", today=TODAY)


@pytest.fixture(scope="module")
def smallest() -> Config:
    return load(GOOD / "smallest.yml", today=TODAY)


DEFAULTS: dict[str, Any] = {
    "scrape.interval": 15 * SECOND,
    "scrape.timeout": 5 * SECOND,
    "scrape.max_body_bytes": 67108864,
    "live.windows": (5 * MINUTE, HOUR),
    "prices.gpus": (),
    "prices.models": (),
    "prices.catalog": "genai-prices",
    "prices.energy": None,
    "pools.0.engine": "auto",
    "pools.0.endpoints.0.role": "any",
    "pools.0.endpoints.0.model": None,
    "pools.0.endpoints.0.basic_auth": None,
    "pools.0.endpoints.0.bearer_token_file": None,
    "pools.0.endpoints.0.tls": None,
    "pools.0.endpoints.0.allow_link_local": False,
    "pools.0.gpus.product": "",
    "pools.0.purchase": None,
    "pools.0.overhead_usd_per_hour": Decimal(0),
    "pools.0.split": "fitted",
    "pools.0.weights.input": Decimal(1),
    "pools.0.weights.cache_read": Decimal("0.1"),
    "pools.0.weights.cache_write": Decimal(1),
    "pools.0.weights.output": Decimal(4),
    "pools.0.weights.reasoning": Decimal(4),
    "pools.0.busy_from": "auto",
    "pools.0.claim_within": 10 * MINUTE,
    "pools.0.tenant": None,
    "pools.0.tenant_label": (),
    "gateways": (),
    "tenants.limit": 1000,
    "tenants.known": (),
    "tenants.aliases": {},
    "budgets": (),
    "otlp": None,
}


@pytest.mark.parametrize(("key", "value"), DEFAULTS.items(), ids=str)
def test_defaults_are_those_of_the_contract(smallest: Config, key: str, value: Any) -> None:
    found: Any = smallest
    for step in key.split("."):
        found = found[int(step)] if step.isdigit() else getattr(found, step)
    assert found == value


def test_money_is_the_text_of_the_file(full: Config) -> None:
    first, second, third = full.prices.gpus
    assert isinstance(third, GpuPrice)
    assert [str(price.usd_per_hour) for price in (first, second)] == ["1.99", "2.49"]
    assert third.usd_per_hour == Decimal("0.5")
    assert full.pools[0].usd_per_gpu_hour == Decimal("2.1")
    assert full.pools[0].weights == Weights.model_validate(
        {"input": 1, "cache_read": Decimal("0.05"), "cache_write": Decimal("1.25"), "output": 5, "reasoning": 5}
    )
    assert isinstance(full.pools[0].gpus, StaticGpus)
    assert full.pools[0].gpus.count == Decimal("4.5")


def test_durations_are_nanoseconds(full: Config) -> None:
    assert (full.scrape.interval, full.scrape.timeout) == (10 * SECOND, 2500 * MS)
    assert full.live.windows == (MINUTE, 5 * MINUTE, HOUR)
    assert full.pools[0].claim_within == HOUR


@pytest.mark.parametrize(("interval", "timeout"), [("1s", SECOND), ("5s", 5 * SECOND), ("1m", 5 * SECOND)])
def test_default_timeout_is_five_seconds_but_never_above_the_interval(interval: str, timeout: int) -> None:
    config = Config.model_validate({"scrape": {"interval": interval}, "pools": [MINIMAL_POOL]})
    assert config.scrape.timeout == timeout


MINIMAL_POOL = {"name": "a", "endpoints": [{"url": "http://h:1/m"}], "gpus": {"count": 1}}


def test_file_names_are_relative_to_the_config_file(full: Config) -> None:
    first, second = full.pools[0].endpoints
    assert first.basic_auth
    assert first.basic_auth.password_file == str(GOOD / "secrets" / "password")
    assert first.tls
    assert (first.tls.ca_file, first.tls.key_file) == ("/etc/ssl/ca.pem", str(GOOD / "client.key"))
    assert second.bearer_token_file == str(GOOD / "secrets" / "token")


def test_a_receiver_is_an_address_with_secrets_in_files_beside_the_config(full: Config) -> None:
    assert full.otlp
    assert full.otlp.target == "https://collector.example:4318/v1/metrics"
    assert full.otlp.headers_file == str(GOOD / "secrets" / "headers")
    assert (full.otlp.interval, full.otlp.timeout) == (30 * SECOND, 2 * SECOND)
    assert full.otlp.resource == {"service.name": "cost", "deployment.environment.name": "prod"}


@pytest.mark.parametrize(
    ("keys", "interval", "timeout"), [({}, MINUTE, 10 * SECOND), ({"interval": "5s"}, *[5 * SECOND] * 2)]
)
def test_a_push_a_minute_and_ten_seconds_for_a_request(keys: dict[str, str], interval: int, timeout: int) -> None:
    otlp = Otlp.model_validate({"endpoint": "http://c:4318/v1/metrics", **keys})
    assert (otlp.interval, otlp.timeout, otlp.resource) == (interval, timeout, {})


def test_pushing_needs_packages_that_not_everybody_installs(full: Config, smallest: Config) -> None:
    needed = {"opentelemetry", "opentelemetry.sdk", "opentelemetry.proto"}
    for lacking in needed:
        (mistake,) = not_installed(full, (needed - {lacking}).__contains__)
        assert mistake[0] == ("otlp",)
        assert "tokencost-exporter[otlp]" in mistake[2]
    assert list(not_installed(smallest, lambda _: None)) == []
    assert list(not_installed(full)) == []


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://h/metrics", "http://h:80/metrics"),
        ("HTTPS://Host.Example/metrics?token=x", "https://host.example:443/metrics"),
        ("http://[2001:DB8::7]:8000/m", "http://[2001:db8::7]:8000/m"),
        ("http://10.0.0.7:9/a/b;c", "http://10.0.0.7:9/a/b;c"),
        ("http://h/", "http://h:80/"),
        ("http://svc_1.ns.svc.cluster.local.:8000/metrics", "http://svc_1.ns.svc.cluster.local.:8000/metrics"),
    ],
)
def test_target_has_a_port_and_no_query(url: str, target: str) -> None:
    assert Endpoint.model_validate({"url": url}).target == target


def test_tenant_label_is_a_tuple_however_it_was_written(full: Config) -> None:
    assert [pool.tenant_label for pool in full.pools] == [(), ("lora_name",), ("team", "user")]
    assert full.tenants.aliases == {"team-acme": "acme", "1234": "globex"}


def test_a_budget_is_of_all_spend_until_it_is_narrowed(full: Config) -> None:
    first, second = full.budgets
    assert (first.timezone, first.tenant, first.model, first.pool) == ("UTC", None, None, None)
    assert (second.limit_usd, second.period, second.timezone) == (Decimal("199.99"), "week", "Asia/Kathmandu")
    assert (second.tenant, second.model, second.pool) == ("team-acme", "*", "shared")


def test_from_is_the_first_day_and_until_the_first_day_after() -> None:
    price = GpuPrice.model_validate(
        {"product": "NVIDIA H100*", "usd_per_hour": 1, "from": "2026-01-01", "until": "2026-02-01"}
    )
    days = (date(2025, 12, 31), date(2026, 1, 1), date(2026, 1, 31), date(2026, 2, 1))
    assert [price.covers("NVIDIA H100 NVL", day) for day in days] == [False, True, True, False]
    assert not price.covers("NVIDIA A100", days[1])


def test_a_selection_is_indices_and_uuids_as_they_were_written(gpus: Config) -> None:
    found = [pool.gpus.select for pool in gpus.pools if isinstance(pool.gpus, NvmlGpus)]
    assert found == [(0, 1, 2, "GPU-6E4A2f6c-58f1"), (2, 0), ("MIG-77aa", "MIG-GPU-6e4a2f6c/1/0"), (7,)]
    assert NvmlGpus.model_validate({"source": "nvml"}).select == ()
    assert NvmlGpus.model_validate({"source": "nvml", "select": "all"}).select == ()


@pytest.mark.parametrize(
    ("keys", "gpu", "instance"),
    [
        ({}, Fraction(1), Fraction(2, 7)),
        ({"share": Decimal("0.3")}, Fraction(3, 10), Fraction(3, 10)),  # of the GPU's price, not of the instance's
        ({"share": Decimal(1)}, Fraction(1), Fraction(1)),
        ({"replicas": 3}, Fraction(1, 3), Fraction(2, 21)),  # an instance that is shared in time
    ],
    ids=str,
)
def test_the_part_of_a_device_that_a_pool_pays(keys: dict[str, Any], gpu: Fraction, instance: Fraction) -> None:
    found = NvmlGpus.model_validate({"source": "nvml", **keys})
    assert (found.part(), found.part(Fraction(2, 7))) == (gpu, instance)


def test_dcgm_is_a_target_with_credentials_from_files_beside_the_config(gpus: Config) -> None:
    found = gpus.pools[4].gpus
    assert isinstance(found, ExportedGpus)
    assert found.target == "https://10.0.0.7:9400/metrics"
    assert found.basic_auth
    assert found.basic_auth.password_file == str(GOOD / "secrets" / "password")
    assert found.tls
    assert found.tls.ca_file == str(GOOD / "ca.pem")
    assert found.match == {"pod": "llama-.*", "namespace": "prod", "mig_profile": "1g.10gb|2g.20gb"}


def test_every_exporter_has_the_same_keys(gpus: Config) -> None:
    found = [pool.gpus for pool in gpus.pools[7:] if isinstance(pool.gpus, ExportedGpus)]
    assert [(one.source, one.target, one.part()) for one in found] == [
        ("amd", "http://10.0.0.8:5000/metrics", 1),
        ("xpum", "http://10.0.0.9:8080/metrics", Fraction(1, 2)),
        ("nvidia_smi", "http://10.0.0.10:9835/metrics", Fraction(1, 2)),
    ]
    assert found[0].match == {"pod": "llama-.*", "mig_profile": "cpx"}


def test_a_purchase_is_one_kind_or_parts_of_several(gpus: Config) -> None:
    assert gpus.pools[0].purchase == {"spot": Decimal("0.6"), "on_demand": Decimal("0.4")}
    assert [pool.purchase for pool in gpus.pools[1:3]] == ["spot", None]
    assert gpus.pools[6].purchase == {"owned": Decimal(1)}


def test_owned_gpus_have_their_own_kind_of_price(gpus: Config) -> None:
    assert [row.purchase for row in gpus.prices.gpus] == ["on_demand", "on_demand", "spot", "owned", "owned"]
    bought, planned = gpus.prices.gpus[3:]
    assert isinstance(bought, OwnedGpu)
    assert isinstance(planned, OwnedGpu)
    assert (bought.utilization_target, planned.utilization_target) == (None, Decimal("0.6"))
    assert planned.years == Decimal("2.5")
    # 15000 x (1/4 + 5/100) / 8760; 2500.50 / 2.5 / 8760 / 0.6
    assert bought.usd_per_hour == Decimal("0.513698630136986301")
    assert planned.usd_per_hour == Decimal("0.190296803652968037")


def test_a_price_must_hold_on_the_day_of_loading(tmp_path: Path) -> None:
    path = tmp_path / "tokencost.yml"
    path.write_text(
        "prices: {gpus: [{product: L4, usd_per_hour: 1, from: 2026-01-01}]}\n"
        "pools: [{name: a, endpoints: [{url: http://h/metrics}], gpus: {count: 1, product: L4}}]\n"
    )
    assert load(path, today=date(2026, 1, 1)).pools[0].name == "a"
    with pytest.raises(ConfigError, match="no price for 'L4' holds on 2025-12-31"):
        load(path, today=date(2025, 12, 31))


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    path = tmp_path / "tokencost.yml"
    path.write_bytes(b"\xef\xbb\xbf" + (GOOD / "smallest.yml").read_bytes().replace(b"\n", b"\r\n"))
    assert load(path, today=TODAY) == load(GOOD / "smallest.yml", today=TODAY)


def test_config_is_immutable(smallest: Config) -> None:
    with pytest.raises(ValueError, match="frozen"):
        smallest.pools[0].name = "b"


@pytest.mark.parametrize(
    ("written", "nanoseconds", "shortest"),
    [
        ("500ms", 500 * MS, "500ms"),
        ("1000ms", SECOND, "1s"),
        ("90s", 90 * SECOND, "90s"),
        ("60m", HOUR, "1h"),
        ("24h", DAY, "1d"),
        ("7d", 7 * DAY, "7d"),
    ],
)
def test_durations_are_printed_in_their_shortest_spelling(written: str, nanoseconds: int, shortest: str) -> None:
    assert duration(written) == nanoseconds
    assert format_duration(nanoseconds) == shortest


@given(st.integers(min_value=1, max_value=366 * DAY // MS))
def test_every_duration_survives_being_printed(milliseconds: int) -> None:
    assert duration(format_duration(milliseconds * MS)) == milliseconds * MS


@pytest.mark.parametrize("nanoseconds", [0, -SECOND, 1])
def test_what_is_not_a_duration_is_not_printed(nanoseconds: int) -> None:
    with pytest.raises(ValueError, match="not a whole number of milliseconds"):
        format_duration(nanoseconds)


def test_sources_of_endpoints() -> None:
    config = load(GOOD / "discovery.yml", today=TODAY)
    files, names, pods = (pool.discover for pool in config.pools)
    assert files[0].file_sd
    assert files[0].file_sd.files == (str(GOOD / "sd/*.json"), str(GOOD / "sd/more.yml"))
    assert files[0].match == {"team": "a.*", "app.kubernetes.io/name": "llama"}
    assert files[1].http_sd
    assert (files[1].http_sd.interval, files[1].path) == (30 * SECOND, "/metrics")
    assert [(one.dns.type, one.dns.port) for one in names if one.dns] == [("SRV", None), ("AAAA", 8000)]
    assert pods[0].kubernetes
    assert (pods[0].kubernetes.port, pods[0].bearer_token_file) == ("http-metrics", str(GOOD / "secrets/t"))
    assert [pool.gpus.of(3) for pool in config.pools if isinstance(pool.gpus, CountedGpus)] == [
        Decimal("1.5"), 8, 24,
    ]  # fmt: skip
    edge = config.gateways[0].discover[0].kubernetes
    assert edge
    assert (edge.port, edge.namespace, edge.api_server) == (4000, None, None)


def test_srv_records_need_their_package() -> None:
    config = load(GOOD / "discovery.yml", today=TODAY)
    assert [loc for loc, _, _ in not_installed(config, lambda _: None)] == [("pools", 1, "discover", 0, "dns", "type")]
    assert not list(not_installed(config, lambda _: object()))
