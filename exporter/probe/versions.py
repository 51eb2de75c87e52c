"""What the names on a page say about the version behind it: of each engine's, the newest that is there."""

from __future__ import annotations

from collections.abc import Container

VLLM = (
    ("vllm:prompt_tokens_cached_by_source_total", "0.32 or newer"),
    ("vllm:num_requests_waiting_by_reason", "0.20 or newer"),
    ("vllm:estimated_flops_per_gpu_total", "0.17 or newer"),
    ("vllm:prompt_tokens_cached_total", "0.16 or newer"),
    ("vllm:external_prefix_cache_hits_total", "0.11.1 or newer"),
    ("vllm:kv_cache_usage_perc", "0.9.2 or newer"),
    ("vllm:gpu_prefix_cache_hits_total", "0.7.3 to 0.9.1, V1"),
    ("vllm:iteration_tokens_total_count", "0.6.4 or newer"),
    ("vllm:request_success_total", "0.4.2 or newer"),
    ("vllm:prompt_tokens_total", "0.4 or newer"),
)
SINCE: dict[str, tuple[tuple[str, str], ...]] = {
    "vllm": VLLM,
    "kserve": VLLM,
    "sglang": (
        ("sglang:spec_verify_calls_total", "0.5.23 or newer"),
        ("sglang:realtime_tokens_total", "0.5.9 or newer"),
        ("sglang:num_requests_total", "0.4.4 or newer"),
    ),
    "llamacpp": (
        ("llamacpp:prompt_tokens_cached_total", "August 2026 or later"),
        ("llamacpp:kv_cache_usage_ratio", "May 2025 or earlier"),
    ),
    "litellm": (
        ("litellm_input_cached_tokens_metric_total", "1.87 or newer"),
        ("litellm_in_flight_requests", "1.82 or newer"),
        ("litellm_input_tokens_metric_total", "1.80 or newer"),
        ("litellm_input_tokens_total", "1.72 or older"),
    ),
}


def since(engine: str, names: Container[str]) -> str | None:
    """The newest version of which the page shows something; None where nothing tells."""
    return next((version for name, version in SINCE.get(engine, ()) if name in names), None)
