"""Envoy AI Gateway, every generation from 0.2 on. Tokens are added when an answer is done.

All classes are in one histogram, told apart by `gen_ai_token_type`: `input` contains `cached_input` (0.4 on) and
`cache_creation_input` (0.5 on), `output` contains `reasoning` (0.6 on), and `total` (up to 0.3) is both again. The
page has no sample before the first request.
"""

from __future__ import annotations

from exporter.records import TokenClass
from exporter.sources.engine import Engine, Signal, Tokens

NAMES = ("gen_ai_client_token_usage_sum", "gen_ai_client_token_usage_token_sum")  # 0.2, 0.5 on; 0.3 and 0.4


def _tokens(token_type: str, *moves: tuple[TokenClass, int]) -> Tokens:
    return Tokens(NAMES, only=(("gen_ai_token_type", token_type),), moves=moves)


ENVOY_AI_GATEWAY = Engine(
    name="envoy_ai_gateway",
    marks=("gen_ai_server_request_duration_seconds_count",),  # the tokens alone could be of any OpenTelemetry client
    required=(),
    model_label="gen_ai_request_model",  # as sent to the backend
    alias_label="gen_ai_original_model",  # 0.4 on
    tokens=(
        _tokens("input", ("input", 1)),
        _tokens("cached_input", ("cache_read", 1), ("input", -1)),
        _tokens("cache_creation_input", ("cache_write", 1), ("input", -1)),
        _tokens("output", ("output", 1)),
        _tokens("reasoning", ("reasoning", 1), ("output", -1)),
    ),
    requests=(Signal(("gen_ai_server_request_duration_seconds_count",), only=(("error_type", ""),)),),
)
