"""LiteLLM proxy with `callbacks: [prometheus]`. Tokens are added when an answer is done, streamed or not.

`model` is what the deployment calls, `requested_model` what the client asked for. The prompt counter contains cached
and cache-creation tokens, the output counter reasoning; these appear with the first one that is not zero. Not
counted, on purpose: `litellm_total_tokens_*` (input + output together), `litellm_provider_cache_*` (cached and
cache-creation tokens again), `litellm_cached_tokens_metric` (answers from LiteLLM's own cache) and `..._created`.
`litellm_proxy_total_requests_metric` names no model and counts failures; its predecessor, deprecated, does neither.
"""

from __future__ import annotations

from exporter.sources.engine import Engine, Signal, Tokens

INPUT = ("litellm_input_tokens_metric_total", "litellm_input_tokens_total")  # 1.80 on; up to 1.72 at least
OUTPUT = ("litellm_output_tokens_metric_total", "litellm_output_tokens_total")

LITELLM = Engine(
    name="litellm",
    marks=(*INPUT, *OUTPUT, "litellm_in_flight_requests"),  # 1.82 on: there before the first request
    required=(),  # older versions show no sample before their first request
    model_label="model",
    alias_label="requested_model",
    tokens=(
        Tokens(INPUT, moves=(("input", 1),)),
        Tokens(("litellm_input_cached_tokens_metric_total",), moves=(("cache_read", 1), ("input", -1))),  # 1.87 on
        Tokens(("litellm_input_cache_creation_tokens_metric_total",), moves=(("cache_write", 1), ("input", -1))),
        Tokens(OUTPUT, moves=(("output", 1),)),
        Tokens(("litellm_output_reasoning_tokens_metric_total",), moves=(("reasoning", 1), ("output", -1))),
    ),
    requests=(Signal(("litellm_requests_metric_total",)),),
    one_process=False,  # series are evicted one by one and start again from zero
)
