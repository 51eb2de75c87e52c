"""agentgateway (stats port 15020). Tokens are added when an answer is done.

All classes are in one histogram, told apart by `gen_ai_token_type`: `input` contains `input_cache_read` and
`input_cache_write` (March 2026 on), `output` contains the reasoning. Up to 1.4 the `input` of Anthropic and Bedrock
models does not contain them, and comes out too low by them. The tenant stands under the label that the gateway's own
config adds to its metrics; where that finds nothing it prints `unknown`. Not counted: `agentgateway_requests_total`
(every HTTP request, failed ones too) and `agentgateway_gen_ai_client_cost_usd_total` (money).
"""

from __future__ import annotations

from exporter.records import TokenClass
from exporter.sources.engine import Engine, Signal, Tokens

USAGE = "agentgateway_gen_ai_client_token_usage_sum"


def _tokens(token_type: str, *moves: tuple[TokenClass, int]) -> Tokens:
    return Tokens((USAGE,), only=(("gen_ai_token_type", token_type),), moves=moves)


AGENTGATEWAY = Engine(
    name="agentgateway",
    marks=("agentgateway_build_info", USAGE),  # the first is there before the first request
    required=(),
    model_label="gen_ai_request_model",  # as sent to the backend
    tokens=(
        _tokens("input", ("input", 1)),
        _tokens("input_cache_read", ("cache_read", 1), ("input", -1)),
        _tokens("input_cache_write", ("cache_write", 1), ("input", -1)),
        _tokens("output", ("output", 1)),
    ),
    requests=(Signal(("agentgateway_gen_ai_client_token_usage_count",), only=(("gen_ai_token_type", "input"),)),),
)
