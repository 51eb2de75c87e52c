"""The catalog says exactly what the contract says."""

from __future__ import annotations

import pytest

from exporter.publish.catalog import CATALOG, Metric

# Written by hand from the public contract: a name or a label changed here breaks somebody's dashboard.
CONTRACT = """
tokencost_tokens_total counter tenant model_name pool token_type
tokencost_requests_total counter tenant model_name pool
tokencost_spend_usd_total counter tenant model_name pool token_type
tokencost_cost_usd_total counter pool resource
tokencost_idle_cost_usd_total counter pool
tokencost_pending_cost_usd gauge pool
tokencost_unpriced_tokens_total counter model_name pool token_type
tokencost_live_cost_usd_per_token gauge pool model_name window
tokencost_live_cost_usd_per_output_token gauge pool model_name window
tokencost_live_spend_usd_per_token gauge pool model_name token_type window
tokencost_live_spend_usd_per_hour gauge tenant window
tokencost_budget_limit_usd gauge budget
tokencost_budget_spent_usd gauge budget
tokencost_budget_forecast_usd gauge budget
tokencost_budget_forecast_history_seconds gauge budget
tokencost_budget_burn_rate gauge budget window
tokencost_budget_period_start_timestamp_seconds gauge budget
tokencost_budget_period_end_timestamp_seconds gauge budget
tokencost_budget_exhaustion_timestamp_seconds gauge budget
tokencost_budget_info gauge budget tenant model_name pool period
tokencost_gpus gauge pool
tokencost_unpriced_gpus gauge pool
tokencost_refused_gpus gauge pool
tokencost_gpu_price_usd_per_hour gauge pool product
tokencost_gpu_seconds_total counter pool
tokencost_gpu_busy_seconds_total counter pool
tokencost_busy_info gauge pool source
tokencost_gpu_energy_joules_total counter pool gpu
tokencost_gpu_utilization_ratio gauge pool gpu
tokencost_gpu_memory_used_bytes gauge pool gpu
tokencost_gpu_memory_total_bytes gauge pool gpu
tokencost_gpu_power_watts gauge pool gpu
tokencost_gpu_temperature_celsius gauge pool gpu
tokencost_gpu_info gauge pool gpu uuid product mig_profile
tokencost_engine_tokens_total counter pool model_name token_type
tokencost_speculative_tokens_total counter pool model_name outcome
tokencost_aborted_requests_total counter pool model_name
tokencost_requests_running gauge pool
tokencost_requests_waiting gauge pool
tokencost_kv_cache_usage_ratio gauge pool
tokencost_request_seconds_total counter pool model_name phase
tokencost_allocation_info gauge pool method
tokencost_target_up gauge target pool engine
tokencost_target_scrape_duration_seconds gauge target pool engine
tokencost_target_last_success_timestamp_seconds gauge target pool engine
tokencost_target_scrapes_total counter target
tokencost_target_counter_resets_total counter target
tokencost_target_scrape_failures_total counter target reason
tokencost_discovery_up gauge source
tokencost_discovery_targets gauge source
tokencost_discovery_last_success_timestamp_seconds gauge source
tokencost_discovery_failures_total counter source reason
tokencost_tenant_overflow_tokens_total counter
tokencost_price_catalog_info gauge version
tokencost_price_catalog_newest_price_timestamp_seconds gauge
tokencost_ledger_last_save_timestamp_seconds gauge
tokencost_ledger_save_failures_total counter
tokencost_otlp_pushes_total counter
tokencost_otlp_push_failures_total counter reason
tokencost_config_last_reload_successful gauge
tokencost_config_last_reload_success_timestamp_seconds gauge
tokencost_ledger_info gauge ledger
tokencost_shard_info gauge shard shards
tokencost_event_loop_lag_seconds histogram
tokencost_build_info gauge version revision python
"""
RESERVED = {"job", "instance", "namespace", "pod", "node", "service", "container", "endpoint"}


def test_names_types_and_label_order_are_the_contracts() -> None:
    expected = [line.split() for line in CONTRACT.strip().splitlines()]
    assert [[metric.name, metric.type, *metric.labels] for metric in CATALOG] == expected


@pytest.mark.parametrize("metric", CATALOG, ids=lambda metric: metric.name)
def test_every_metric_is_well_formed(metric: Metric) -> None:
    assert metric.name.endswith("_total") == (metric.type == "counter")
    assert not RESERVED & set(metric.labels)
    assert not set(metric.help) & set('\n\\"')  # goes out as it stands, in both formats
    assert metric.help.endswith(".")
    units = {"_usd": 10**12, "_seconds": 10**9, "_joules": 10**6}
    unit = next((unit for part, unit in units.items() if part in metric.name), 1)
    assert metric.scale == (unit if metric.type == "counter" else 1)


def test_no_two_metrics_share_a_family_name() -> None:
    families = [metric.name.removesuffix("_total") for metric in CATALOG]
    assert len(set(families)) == len(families)
