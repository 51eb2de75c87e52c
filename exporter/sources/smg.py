"""SMG, SGLang's model gateway (its `--prometheus-port`, 29000). Tokens are added when an answer is done.

It counts only what it reads itself: streamed answers of gRPC workers, and those of its Anthropic provider. What HTTP
workers answer, or gRPC workers unstreamed, is on no page of a gateway and stays unattributed. `model` is what the
client asked for, `other` from the 1025th name on; there is no label of a tenant. `GET /engine_metrics` on the router's
own port is the workers' series again, not a gateway's page. Not counted: `smg_router_requests_total` (arrivals).
"""

from __future__ import annotations

from exporter.sources.engine import Engine, Signal, Tokens

TOKENS = ("smg_router_tokens_total",)

SMG = Engine(
    name="smg",
    marks=(*TOKENS, "smg_worker_pool_size", "smg_worker_health"),  # the latter two are there once a worker is
    required=(),
    model_label="model",
    tokens=(
        Tokens(TOKENS, only=(("token_type", "input"),), moves=(("input", 1),)),
        Tokens(TOKENS, only=(("token_type", "output"),), moves=(("output", 1),)),
    ),
    requests=(Signal(("smg_router_generation_duration_seconds_count",)),),
)
