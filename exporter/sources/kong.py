"""Kong with its AI plugins and the Prometheus plugin's `ai_metrics` (3.8 on), and Kong AI Gateway. Every node counts
its own: scrape them all.

Tokens are told apart by `token_type`; `total_tokens` is both again. Cached and reasoning tokens are not told apart.
What Kong's semantic cache answered (`cache_status` hit) was served by nobody and is left out. The tenant is `consumer`
(Enterprise), else `workspace`. Not counted: `kong_ai_llm_cost_total` (money).
"""

from __future__ import annotations

from exporter.sources.engine import Engine, Signal, Tokens

TOKENS = ("kong_ai_llm_tokens_total",)
FROM_CACHE = (("cache_status", "hit"), ("cache_status", "Hit"))  # the plugin's word, and that of its response header

KONG = Engine(
    name="kong",
    marks=(*TOKENS, "kong_datastore_reachable"),  # the second is on every page of the plugin
    required=(),
    model_label="ai_model",  # as sent to the backend
    tokens=(
        Tokens(TOKENS, only=(("token_type", "prompt_tokens"),), skip=FROM_CACHE, moves=(("input", 1),)),
        Tokens(TOKENS, only=(("token_type", "completion_tokens"),), skip=FROM_CACHE, moves=(("output", 1),)),
    ),
    requests=(Signal(("kong_ai_llm_requests_total",), skip=FROM_CACHE),),
    one_process=False,  # they live in nginx's shared memory, which lets go of them one by one when it is full
)
