"""AIBrix's gateway plugin (after 0.7). Tokens are added when an answer is done, if it carried usage.

`model` is the base model, `lora_adapter` the adapter that the client asked for, empty where it asked for none; there
is no other label of a tenant. The page repeats the servers' own series, some as gauges with a counter's name
(`prompt_tokens_total`, `generation_tokens_total`): they are the servers' pages' to count. Not counted:
`gateway_{prompt,completion}_token_bucket_total`, which are requests by size; up to 0.7 there is nothing else. The page
has no series of the gateway's own before the first request: until then it is known by `engine: aibrix` only.
"""

from __future__ import annotations

from exporter.sources.engine import Engine, Signal, Tokens

REQUESTS = "gateway_requests_with_usage_total"

AIBRIX = Engine(
    name="aibrix",
    marks=(REQUESTS,),  # the token counters' names could be any gateway's
    required=(),
    model_label="model",
    alias_label="lora_adapter",
    tokens=(
        Tokens(("gateway_input_tokens_total",), moves=(("input", 1),)),
        Tokens(("gateway_output_tokens_total",), moves=(("output", 1),)),
    ),
    requests=(Signal((REQUESTS,), only=(("has_usage", "true"),)),),
)
