"""LMDeploy's api_server with metrics enabled, from 0.9.2 on.

The prompt counter contains the cached tokens and moves at a request's first token, output at each of its steps,
cancelled requests' too. Cached tokens (0.14 on), requests and seconds are counted when a request finishes: what was
cached for a cancelled one stays in the input. Not counted, on purpose: the histogram `lmdeploy:iteration_tokens_total`
(it has each request's share of a step, so its count is not that of the engine's steps), the `lmdeploy:request_*_tokens`
of finished requests, and `lmdeploy:num_requests_succeeded` and `..._failed` (gauges).
"""

from __future__ import annotations

from exporter.sources.engine import Engine, Measured, Seconds, Signal, Tokens

LMDEPLOY = Engine(
    name="lmdeploy",
    marks=("lmdeploy:prompt_tokens_total", "lmdeploy:generation_tokens_total"),
    required=(("lmdeploy:prompt_tokens_total",), ("lmdeploy:generation_tokens_total",)),
    model_label="model_name",
    tokens=(
        Tokens(("lmdeploy:prompt_tokens_total",), moves=(("input", 1),)),
        Tokens(("lmdeploy:cached_tokens_total",), moves=(("cache_read", 1), ("input", -1))),
        Tokens(("lmdeploy:generation_tokens_total",), moves=(("output", 1),)),
    ),
    requests=(Signal(("lmdeploy:request_success_total",)),),
    seconds=(
        Seconds(("lmdeploy:request_queue_time_seconds_sum",), phase="queue"),
        Seconds(("lmdeploy:request_prefill_time_seconds_sum",), phase="prefill"),
        Seconds(("lmdeploy:request_decode_time_seconds_sum",), phase="decode"),
    ),
    measures=(
        Measured(("lmdeploy:spec_decode_num_draft_tokens_total",), measure="drafted"),
        Measured(("lmdeploy:spec_decode_num_accepted_tokens_total",), measure="accepted"),
    ),
    running=Signal(("lmdeploy:num_requests_running",)),
    waiting=Signal(("lmdeploy:num_requests_waiting",)),
    kv_cache=Signal(("lmdeploy:gpu_cache_usage_perc",)),
)
