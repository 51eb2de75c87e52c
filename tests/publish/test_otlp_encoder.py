"""A receiver gets what the page says, series by series, in requests of a bounded size and under the same names."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from math import inf, nan

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse

from exporter import __version__
from exporter.ledger.accounts import Labels
from exporter.publish.catalog import CATALOG, Metric
from exporter.publish.otlp_encoder import REQUEST_BYTES, Encoder, unit
from exporter.publish.snapshot import Snapshot
from exporter.publish.view import View
from exporter.publish.writer import Exposition
from exporter.records import NS, Instant
from tests.publish.collector import Series, decoded, numbers, points
from tests.publish.test_writer import parsed
from tests.publish.world import COST, GPUS, HOSTILE, HOURLY, IDLE, SPEND, TOKENS, family, fleet, view

BEGAN = 1_600_000_000
ENCODER = Encoder({}, "a-ledger", BEGAN)
LABELS = st.tuples(HOSTILE, HOSTILE, HOSTILE, HOSTILE)


def encoded(made: View) -> dict[Series, float]:
    return numbers(decoded(request) for request in ENCODER.requests(made))


@given(
    tokens=st.dictionaries(LABELS, st.integers(0, 2**70), max_size=20),
    spend=st.dictionaries(LABELS, st.integers(0, 10**24), max_size=20),
    gauges=st.dictionaries(st.tuples(HOSTILE, HOSTILE), st.floats(), max_size=20),
)
@example({("", "", "", "\ud800"): 2**63 - 1, ("a", "", "", ""): 2**63, ("b", "", "", ""): 10**400}, {}, {})
@example({}, {("t", "m", "p", "input"): 10**400}, {("a", "5m"): nan, ("b", "5m"): inf, ("c", "5m"): -0.0})
def test_every_series_of_the_page_and_no_other(
    tokens: dict[Labels, int], spend: dict[Labels, int], gauges: dict[Labels, float]
) -> None:
    made = view(family(TOKENS, tokens), family(SPEND, spend), gauges={HOURLY: gauges})
    page = parsed(Exposition().update(made).body("text"), "text")
    assert encoded(made) == {series: value if value < 2**63 else float(value) for series, value in page.items()}


def test_the_fleet_is_what_the_page_says_of_it() -> None:
    assert encoded(fleet()) == parsed(Exposition().update(fleet()).body("text"), "text")
    assert encoded(view()) == {}
    assert list(ENCODER.requests(view())) == []


def test_things_are_integers_and_money_is_not() -> None:
    (request,) = ENCODER.requests(view(family(TOKENS, {("t",) * 4: 7}), family(COST, {("p", "gpu"): 7 * 10**12})))
    found = {name: point for (name, _), point in decoded(request).points.items()}
    assert (found[TOKENS].as_int, found[TOKENS].HasField("as_int")) == (7, True)
    assert (found[COST].as_double, found[COST].HasField("as_double")) == (7.0, True)


def test_counters_begin_with_the_ledger_and_gauges_do_not_begin() -> None:
    (request,) = ENCODER.requests(fleet())
    for (name, _), point in decoded(request).points.items():
        assert point.time_unix_nano == fleet().at.wall_ns
        assert point.start_time_unix_nano == (BEGAN * NS if name.endswith("_total") else 0)


@pytest.mark.parametrize(("began", "start"), [(0, 0), (1_800_000_000, fleet().at.wall_ns)], ids=["unknown", "future"])
def test_no_counter_begins_in_the_future(began: int, start: int) -> None:
    """A clock that was set back since; and a beginning that is not known stays unknown."""
    (request,) = Encoder({}, "", began).requests(view(family(IDLE, {("p",): 1})))
    assert [point.start_time_unix_nano for point in decoded(request).points.values()] == [start]


def test_every_metric_comes_with_its_help_and_its_unit() -> None:
    (request,) = ENCODER.requests(fleet())
    catalog = {metric.name: metric for metric in CATALOG}
    for metric in decoded(request).metrics:
        assert metric.description == catalog[metric.name].help
        assert metric.unit == unit(catalog[metric.name])
        assert points(metric)


@pytest.mark.parametrize(
    ("name", "expected"),
    {
        "tokencost_tokens_total": "{token}",
        "tokencost_requests_total": "{request}",
        "tokencost_spend_usd_total": "{USD}",
        "tokencost_pending_cost_usd": "{USD}",
        "tokencost_live_cost_usd_per_token": "{USD}/{token}",
        "tokencost_live_cost_usd_per_output_token": "{USD}/{token}",
        "tokencost_gpu_price_usd_per_hour": "{USD}/{hour}",
        "tokencost_unpriced_gpus": "{gpu}",
        "tokencost_gpu_busy_seconds_total": "s",
        "tokencost_gpu_energy_joules_total": "J",
        "tokencost_gpu_utilization_ratio": "1",
        "tokencost_gpu_memory_total_bytes": "By",
        "tokencost_gpu_power_watts": "W",
        "tokencost_gpu_temperature_celsius": "Cel",
        "tokencost_target_last_success_timestamp_seconds": "s",
        "tokencost_target_up": "",
        "tokencost_build_info": "",
    }.items(),
)
def test_units_are_ucum(name: str, expected: str) -> None:
    assert [unit(metric) for metric in CATALOG if metric.name == name] == [expected]


WORDS = {"s": "seconds", "By": "bytes", "J": "joules", "W": "watts", "Cel": "celsius", "1": ""}
PER = {"h": "hour", "s": "second"}


def translated(metric: Metric) -> str:
    """The name that a metric which came as OTLP has in Prometheus, with all suffixes asked for: as Prometheus itself,
    the collector and Mimir make it (prometheus/otlptranslator, normalizeName)."""
    words = [word for word in metric.name.split("_") if word]
    main, _, per = unit(metric).partition("/")
    if main and "{" not in main and WORDS[main] not in words:
        words += [WORDS[main]] if WORDS[main] else []
    if per and "{" not in per and f"per_{PER[per]}" not in words:
        words += [f"per_{PER[per]}"]
    if metric.type == "counter":
        words = [word for word in words if word != "total"] + ["total"]
    elif unit(metric) == "1":
        words = [word for word in words if word != "ratio"] + ["ratio"]
    return "_".join(words)


@pytest.mark.parametrize("metric", CATALOG, ids=lambda metric: metric.name)
def test_back_in_prometheus_it_has_its_own_name(metric: Metric) -> None:
    assert translated(metric) == metric.name


def test_the_translation_would_show_a_name_that_does_not_survive() -> None:
    assert translated(Metric("tokencost_hourly_usd", "counter", (), ".")) == "tokencost_hourly_usd_total"
    assert translated(Metric("tokencost_total_tokens_total", "counter", (), ".")) == "tokencost_tokens_total"


def test_an_instance_is_a_ledger_unless_the_environment_or_the_config_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def said(given: dict[str, str], ledger_id: str = "a-ledger") -> dict[str, str]:
        (request,) = Encoder(given, ledger_id, BEGAN).requests(fleet())
        return decoded(request).resource

    monkeypatch.delenv("OTEL_RESOURCE_ATTRIBUTES", raising=False)
    monkeypatch.delenv("OTEL_SERVICE_NAME", raising=False)
    ours = {
        "service.name": "tokencost-exporter",
        "service.version": __version__,
        "service.instance.id": "a-ledger",
    }
    assert said({}) == ours
    assert "service.instance.id" not in said({}, ledger_id="")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "k8s.pod.name=cost-0,service.instance.id=from-env,shared=env")
    assert said({"shared": "config", "team": "é"}) == {
        **ours, "k8s.pod.name": "cost-0", "service.instance.id": "from-env", "shared": "config", "team": "é"
    }  # fmt: skip


def many(rows: int, pool: str = "pool") -> View:
    """Like a big fleet: a tenth as many tenants, a few of everything else."""
    tokens: dict[Labels, int]
    tokens = {(f"tenant-{row // 10}", f"model-{row // 5 % 2}", pool, f"type-{row % 5}"): row for row in range(rows)}
    return view(family(TOKENS, tokens), family(IDLE, {("pool",): 1}), gauges={GPUS: {("pool",): 4.0}})


LONG = "pool" * 400  # so that 1,500 rows are three requests


def test_requests_are_bounded_and_together_they_are_all() -> None:
    made = many(1500, LONG)
    requests = list(ENCODER.requests(made))
    assert len(requests) == 3
    assert max(map(len, requests)) < REQUEST_BYTES + 4096
    assert numbers(map(decoded, requests)) == parsed(Exposition().update(made).body("text"), "text")
    assert len({str(decoded(request).resource) for request in requests}) == 1


@pytest.mark.parametrize("length", [*range(80, 140), 16_300, 16_384, 2_100_000])
def test_points_of_any_length_are_read(length: int) -> None:
    """Lengths are written in 7 bits a byte: one byte more at 128, 16,384 and 2,097,152."""
    made = view(family(IDLE, {("p" * length,): 5 * 10**12, ("q",): 10**12}))
    assert set(encoded(made).values()) == {5.0, 1.0}


def test_a_push_holds_one_request_in_memory_and_afterwards_nothing() -> None:
    made = Snapshot(many(60_000)).view
    list(ENCODER.requests(made))  # what is made once and kept
    tracemalloc.start()
    try:
        size = sum(map(len, ENCODER.requests(made)))
        left, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size > 7 * REQUEST_BYTES
    assert peak < 6.5 * REQUEST_BYTES
    assert left < REQUEST_BYTES / 20


def test_rows_opened_since_the_tick_are_not_of_it() -> None:
    tokens = family(TOKENS, {("t",) * 4: 7})
    made = Snapshot(view(tokens)).view
    tokens.add(("t",) * 4, 1)
    tokens.add(("new",) * 4, 1)
    assert list(encoded(made).values()) == [7]


def test_the_time_is_the_ticks() -> None:
    at = Instant(5, 1_234_567_890_123_456_789)
    (request,) = ENCODER.requests(replace(fleet(), at=at))
    assert decoded(request).times == {at.wall_ns}


@pytest.mark.parametrize("body", [b"", b"\x00", b"OK", b"{}", ExportMetricsServiceResponse().SerializeToString()])
def test_an_answer_without_a_count_rejects_nothing(body: bytes) -> None:
    assert Encoder.rejected(body) == 0
