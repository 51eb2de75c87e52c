"""TensorRT-LLM's own server, trtllm-serve, with `return_perf_metrics: true`; the page is at `/prometheus/metrics`.

Versions up to 1.2 have latencies only, and are refused: the token counters came with 1.3, and so did the information
about the config, which is there before the first request. Tokens are added when a request finishes, for whatever
reason. The prompt counter contains the cached tokens and counts the prompt of n > 1 once; at first the answers of
n > 1 were left out. Draft and accepted tokens stand there twice, by iteration and by position: one of the two is
taken. The gauges need `enable_iter_perf_stats: true`; they carry a process id, for the page is gathered from the files
of several processes, and so has no start time.

In disaggregated serving both sides count the prompt: give the endpoints their roles.
"""

from __future__ import annotations

from exporter.sources.engine import Engine, Measured, Seconds, Signal, Tokens

DRAFTED = ("trtllm_spec_decode_num_draft_tokens_total", "trtllm_spec_decode_drafted_tokens_total")
ACCEPTED = ("trtllm_spec_decode_num_accepted_tokens_total", "trtllm_spec_decode_accepted_tokens_total")

TRTLLM = Engine(
    name="trtllm",
    marks=("trtllm_prompt_tokens_total", "trtllm_model_config_info", "trtllm_request_success_total"),
    required=(("trtllm_prompt_tokens_total", "trtllm_model_config_info"),),
    model_label="model_name",
    tokens=(
        Tokens(("trtllm_prompt_tokens_total",), moves=(("input", 1),)),
        Tokens(("trtllm_prompt_cached_tokens_total",), moves=(("cache_read", 1), ("input", -1))),
        Tokens(("trtllm_generation_tokens_total",), moves=(("output", 1),)),
    ),
    requests=(Signal(("trtllm_request_success_total",)),),
    seconds=(
        Seconds(("trtllm_request_queue_time_seconds_sum",), phase="queue"),
        Seconds(("trtllm_request_prefill_time_seconds_sum",), phase="prefill"),
        Seconds(("trtllm_request_decode_time_seconds_sum",), phase="decode"),
    ),
    measures=(
        Measured(DRAFTED, measure="drafted"),
        Measured(ACCEPTED, measure="accepted"),
    ),
    running=Signal(("trtllm_num_requests_running",)),
    waiting=Signal(("trtllm_num_requests_waiting",)),
    kv_cache=Signal(("trtllm_kv_cache_utilization",)),
)
