"""kthena's router. Output tokens are added when an answer is done, input tokens when the request ended either way.

Input is the router's own estimate of the prompt; cached tokens are not told apart. `backend_type` (newer versions) is
`unresolved` for prompts that reached no server. `model` is what the client asked for; `upstream_model`, what the server
was asked for, is in newer versions only. There is no label of a tenant on tokens; `model_route` (newer) may serve. The
runtime sidecars' pages (`kthena:...`) are the servers' own series again.
"""

from __future__ import annotations

from exporter.sources.engine import Engine, Signal, Tokens

TOKENS = ("kthena_router_tokens_total",)
NOWHERE = (("backend_type", "unresolved"),)

KTHENA = Engine(
    name="kthena",
    marks=(*TOKENS, "kthena_router_active_requests"),  # the second is there before the first request
    required=(),
    model_label="model",
    tokens=(
        Tokens(TOKENS, only=(("token_type", "input"),), skip=NOWHERE, moves=(("input", 1),)),
        Tokens(TOKENS, only=(("token_type", "output"),), skip=NOWHERE, moves=(("output", 1),)),
    ),
    requests=(Signal(("kthena_router_requests_total",), only=(("status_code", "200"),)),),
)
