"""vLLM, V0 and V1, every generation of names from 0.4 on; where a name changed, its versions stand beside it.

The prompt counter contains the cached tokens. Not counted, on purpose: `vllm:tokens_total` (V0: prompt + generation
together), the sum of the histogram `vllm:iteration_tokens_total` (its count is that of the scheduler's steps),
`..._by_source_total` (the same tokens again) and `..._created`. V0 has no counter of cached tokens. From 0.11.1 to 0.15
tokens that a KV connector fetched have a counter of their own, which 0.16 has too and puts into the cached tokens: it
is left out, and before 0.16 these tokens are input.

Requests that were aborted are requests too, and counted as both. Up to 0.33 an abort by the client is in no request
counter, while its tokens are in theirs (vllm issue 55634). The speculative counters are V1's (0.8.5 on): V0's of the
same names add up running totals, and have no label `engine`.

llm-d-inference-sim shows a part of vLLM's names, without `engine`: no steps, no start time, and no token counter before
the first request.
"""

from __future__ import annotations

from exporter.sources.engine import Engine, Measured, Seconds, Signal, Tokens

INTER_TOKEN_COUNT = ("vllm:inter_token_latency_seconds_count", "vllm:time_per_output_token_seconds_count")
INTER_TOKEN_SUM = ("vllm:inter_token_latency_seconds_sum", "vllm:time_per_output_token_seconds_sum")  # 0.10.2 on; older
RUNNING = "vllm:num_requests_running"  # on an idle page too
V0 = (("engine", ""),)

VLLM = Engine(
    name="vllm",
    # Not RUNNING: the router of vLLM's production stack repeats it, and counts no tokens under these names.
    marks=("vllm:prompt_tokens_total", "vllm:generation_tokens_total", "vllm:cache_config_info"),
    required=(("vllm:prompt_tokens_total", RUNNING), ("vllm:generation_tokens_total", RUNNING)),
    model_label="model_name",
    tokens=(
        Tokens(("vllm:prompt_tokens_total",), moves=(("input", 1),)),
        Tokens(
            (
                "vllm:prompt_tokens_cached_total",  # 0.16 on
                "vllm:prefix_cache_hits_total",  # 0.9.2 on
                "vllm:gpu_prefix_cache_hits_total",  # 0.7.3 to 0.10.2; beside the newer name from 0.9.2
            ),
            moves=(("cache_read", 1), ("input", -1)),
        ),
        Tokens(("vllm:generation_tokens_total",), moves=(("output", 1),)),
    ),
    requests=(Signal(("vllm:request_success_total",)),),  # 0.4.2 on
    seconds=(
        Seconds(("vllm:request_queue_time_seconds_sum",), phase="queue"),
        Seconds(("vllm:request_prefill_time_seconds_sum",), phase="prefill"),
        Seconds(("vllm:request_decode_time_seconds_sum",), phase="decode"),
    ),
    measures=(
        Measured(("vllm:iteration_tokens_total_count",), measure="steps"),  # of the histogram: the scheduler's steps
        Measured(INTER_TOKEN_COUNT, measure="inter_tokens"),
        Measured(INTER_TOKEN_SUM, measure="inter_token_seconds"),
        Measured(("vllm:request_prompt_tokens_count",), measure="done_requests"),  # as many as any other histogram's
        Measured(("vllm:request_prompt_tokens_sum",), measure="done_prompt"),
        Measured(("vllm:request_generation_tokens_sum",), measure="done_output"),
        Measured(("vllm:spec_decode_num_draft_tokens_total",), skip=V0, measure="drafted"),
        Measured(("vllm:spec_decode_num_accepted_tokens_total",), skip=V0, measure="accepted"),
        Measured(("vllm:request_success_total",), only=(("finished_reason", "abort"),), measure="aborted"),
    ),
    running=Signal((RUNNING,)),
    waiting=Signal(("vllm:num_requests_waiting",)),
    kv_cache=Signal(("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc")),  # 0.9.2 on; up to 0.10.2
)
