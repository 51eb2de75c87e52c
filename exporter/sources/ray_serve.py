"""Ray Serve LLM with `log_engine_metrics`: the metrics page of a Ray node, with the engines of all its replicas.

Counters are vLLM's or SGLang's and mean the same (see there), with Ray's prefix and labels. Not counted, on purpose:
the gauge that Ray may show beside a counter, of the same name without `_total`. Sums of histograms are left out as
well: with OpenTelemetry, the default by Ray 2.60, Ray makes them up from the middles of the buckets. So there are no
seconds by phase, and the split falls back to `weights`. Where vLLM and SGLang share a node, the gauges are vLLM's.

Replicas come and go one by one, each with its own series. The start time on the page is that of Ray's agent, which can
restart while the engines count on: it is not used. A counter appears when it first counts something.
"""

from __future__ import annotations

from exporter.sources.engine import Engine, Measured, Signal, Tokens


def vllm(*names: str) -> tuple[str, ...]:
    """Both spellings of each: since about vLLM 0.12, and before."""
    return tuple(f"ray_{prefix}{name}" for name in names for prefix in ("vllm_", "vllm:"))


PROMPT = vllm("prompt_tokens_total")
OUTPUT = vllm("generation_tokens_total")
CACHED = vllm("prompt_tokens_cached_total", "prefix_cache_hits_total", "gpu_prefix_cache_hits_total")
REQUESTS = vllm("request_success_total")
RUNNING = (*vllm("num_requests_running"), "ray_sglang_num_running_reqs")
WAITING = (*vllm("num_requests_waiting"), "ray_sglang_num_queue_reqs")
KV_CACHE = (*vllm("kv_cache_usage_perc", "gpu_cache_usage_perc"), "ray_sglang_token_usage")
TOTAL = (("priority", ""),)  # of SGLang's gauges; see there
V0 = (("engine", ""),)

RAY_SERVE = Engine(
    name="ray_serve",
    marks=(*PROMPT, *OUTPUT, *RUNNING, "ray_sglang_prompt_tokens_total"),
    required=((*PROMPT, *OUTPUT, *RUNNING, "ray_sglang_prompt_tokens_total"),),
    model_label="model_name",
    role_label="engine_type",
    tokens=(
        Tokens(PROMPT, moves=(("input", 1),)),
        Tokens(CACHED, moves=(("cache_read", 1), ("input", -1))),
        Tokens(OUTPUT, moves=(("output", 1),)),
        Tokens(("ray_sglang_prompt_tokens_total",), moves=(("input", 1),)),  # Ray 2.60 on
        Tokens(("ray_sglang_cached_tokens_total",), moves=(("cache_read", 1), ("input", -1))),
        Tokens(("ray_sglang_generation_tokens_total",), moves=(("output", 1),)),
    ),
    requests=(Signal(REQUESTS), Signal(("ray_sglang_num_requests_total",))),
    measures=(
        Measured(vllm("spec_decode_num_draft_tokens_total"), skip=V0, measure="drafted"),
        Measured(vllm("spec_decode_num_accepted_tokens_total"), skip=V0, measure="accepted"),
        Measured(REQUESTS, only=(("finished_reason", "abort"),), measure="aborted"),
        Measured(("ray_sglang_num_aborted_requests_total",), measure="aborted"),
    ),
    running=Signal(RUNNING, only=TOTAL),
    waiting=Signal(WAITING, only=TOTAL),
    kv_cache=Signal(KV_CACHE),
    one_process=False,
    own_start=False,
)
