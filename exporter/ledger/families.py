"""The counters that the books hold, by their published name. Units: see accounts.py; label order: CONTRACT.md."""

from __future__ import annotations

from exporter.ledger.accounts import Family

TOKENS = "tokencost_tokens_total"  # tenant, model_name, pool, token_type
REQUESTS = "tokencost_requests_total"  # tenant, model_name, pool
SPEND = "tokencost_spend_usd_total"  # tenant, model_name, pool, token_type; pico-USD
COST = "tokencost_cost_usd_total"  # pool, resource; pico-USD
IDLE = "tokencost_idle_cost_usd_total"  # pool; pico-USD
UNPRICED = "tokencost_unpriced_tokens_total"  # model_name, pool, token_type
GPU_TIME = "tokencost_gpu_seconds_total"  # pool; GPU-nanoseconds
BUSY_TIME = "tokencost_gpu_busy_seconds_total"  # pool; GPU-nanoseconds
ENERGY = "tokencost_gpu_energy_joules_total"  # pool, gpu; microjoules
ENGINE_TOKENS = "tokencost_engine_tokens_total"  # pool, model_name, token_type
SPECULATIVE = "tokencost_speculative_tokens_total"  # pool, model_name, outcome
ABORTED = "tokencost_aborted_requests_total"  # pool, model_name
REQUEST_TIME = "tokencost_request_seconds_total"  # pool, model_name, phase; nanoseconds
SCRAPES = "tokencost_target_scrapes_total"  # target
FAILURES = "tokencost_target_scrape_failures_total"  # target, reason
RESETS = "tokencost_target_counter_resets_total"  # target
OVERFLOW = "tokencost_tenant_overflow_tokens_total"
DISCOVERY_FAILURES = "tokencost_discovery_failures_total"  # source, reason
SAVE_FAILURES = "tokencost_ledger_save_failures_total"
PUSHES = "tokencost_otlp_pushes_total"
PUSH_FAILURES = "tokencost_otlp_push_failures_total"  # reason

NAMES = (
    TOKENS, REQUESTS, SPEND, COST, IDLE, UNPRICED, GPU_TIME, BUSY_TIME, ENERGY, ENGINE_TOKENS, SPECULATIVE, ABORTED,
    REQUEST_TIME, SCRAPES, FAILURES, RESETS, DISCOVERY_FAILURES, OVERFLOW, SAVE_FAILURES, PUSHES, PUSH_FAILURES,
)  # fmt: skip

Accounts = dict[str, Family]


def open_books() -> Accounts:
    """Empty books."""
    return {name: Family(name) for name in NAMES}
