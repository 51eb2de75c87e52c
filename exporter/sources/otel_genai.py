"""Any client with the OpenTelemetry GenAI conventions (semconv 1.28 on), scraped itself or from a collector.

The conventions know input and output only. Whether the name ends in the unit is up to the exporter in between. There
is no sample before the first request. Requests are those that reported tokens: the operation durations count agents'
and tools' calls as well.
"""

from __future__ import annotations

from exporter.sources.engine import Engine, Signal, Tokens

NAMES = ("gen_ai_client_token_usage_sum", "gen_ai_client_token_usage_token_sum")
INPUT = (("gen_ai_token_type", "input"),)
OUTPUT = (("gen_ai_token_type", "output"),)

OTEL_GENAI = Engine(
    name="otel_genai",
    marks=NAMES,
    required=(),
    model_label="gen_ai_request_model",  # the model of the response is only recommended
    tokens=(
        Tokens(NAMES, only=INPUT, moves=(("input", 1),)),
        Tokens(NAMES, only=OUTPUT, moves=(("output", 1),)),
    ),
    requests=(Signal(("gen_ai_client_token_usage_count", "gen_ai_client_token_usage_token_count"), only=INPUT),),
    one_process=False,  # a collector gathers many clients and forgets the silent ones
)
