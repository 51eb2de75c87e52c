"""mlx-serve, on Apple silicon: its own names beside some of vLLM's, none of them with a label.

Computed and cached prompt tokens are two counters; vLLM's prompt counter is their sum. All of it is counted when a
request ends. A cancelled request is counted as cancelled alone. Not counted, on purpose: `vllm:prompt_tokens_total`
(the two again), `vllm:prefix_cache_hits_total` (here the number of hits, not of tokens: read as vLLM's it would be
charged as tokens), the gauges `..._live` and `..._expected` (of the request under way). The page names no model and has
no start time.
"""

from __future__ import annotations

from exporter.sources.engine import Engine, Measured, Seconds, Signal, Tokens

PREFILL = "mlx_serve:prefill_tokens_total"

MLX_SERVE = Engine(
    name="mlx_serve",
    marks=(PREFILL, "mlx_serve:gpu_utilization_pct"),
    required=((PREFILL,), ("vllm:generation_tokens_total",)),
    tokens=(
        Tokens((PREFILL,), moves=(("input", 1),)),
        Tokens(("mlx_serve:prefix_cache_tokens_total",), moves=(("cache_read", 1),)),
        Tokens(("vllm:generation_tokens_total",), moves=(("output", 1),)),
    ),
    requests=(Signal(("vllm:request_success_total",)),),
    seconds=(
        Seconds(("vllm:request_prefill_time_seconds_sum",), phase="prefill"),
        Seconds(("vllm:request_decode_time_seconds_sum",), phase="decode"),
    ),
    measures=(Measured(("vllm:request_cancelled_total",), measure="aborted"),),
    running=Signal(("vllm:num_requests_running",)),
    waiting=Signal(("vllm:num_requests_waiting",)),
)
