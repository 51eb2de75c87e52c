"""NVIDIA NIM for LLMs and VLMs, 1.x; the page is at `/v1/metrics`, in the first versions at `/metrics`.

The names are those of vLLM's V0 without a prefix, so a page is known by two that are NIM's own. Tokens are counted at
each iteration. There are no cached tokens and no seconds per phase. `request_finish_total` has every request that
ended, by reason; `request_success_total` and `request_failure_total` are the same ones in two parts. Not counted, on
purpose: `request_prompt_tokens` and `request_generation_tokens` (of finished requests only).

From 2.0 on NIM has upstream vLLM or SGLang inside, which go by their own names: say `engine: auto`.
"""

from __future__ import annotations

from exporter.sources.engine import Engine, Signal, Tokens

NIM = Engine(
    name="nim",
    marks=("num_request_max", "request_finish_total"),
    required=(("prompt_tokens_total",), ("generation_tokens_total",)),
    model_label="model_name",
    tokens=(
        Tokens(("prompt_tokens_total",), moves=(("input", 1),)),
        Tokens(("generation_tokens_total",), moves=(("output", 1),)),
    ),
    requests=(Signal(("request_finish_total",)),),
    running=Signal(("num_requests_running",)),
    waiting=Signal(("num_requests_waiting",)),
    kv_cache=Signal(("gpu_cache_usage_perc",)),
)
