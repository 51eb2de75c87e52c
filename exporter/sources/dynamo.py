"""NVIDIA Dynamo's frontend, from 0.5 on, with the default DYN_METRICS_PREFIX.

The workers behind it count the same tokens under the names of vLLM, SGLang or TensorRT-LLM on pages of their own:
scrape the frontend or the workers, never both. On the frontend's page the router's `dynamo_component_router_*` repeat
its numbers; they are not counted, nor are `dynamo_frontend_tokenizer_cache_*_tokens_total` (the tokenizer's cache) and
`dynamo_frontend_kv_*_tokens_total` (what the router expects).

Input is counted at the first token and contains the cached tokens (0.8 on), which are counted when the request ends;
of a cancelled request they are not, and stay in the input. Output is counted as it comes, cancelled requests' too; up
to 0.6 there is only the sum over ended requests, which stands beside the newer counter. Seen on 1.6.1: of a
`/v1/completions` with several prompts the input is that of the first, and one that is streamed counts neither input
nor output as it comes, though its cached tokens and, in the older sum, its output.

Requests are those that succeeded. Requests in flight contain the queued ones. The time to the first token contains the
queue, so prefill has no seconds of its own. There is no start time.
"""

from __future__ import annotations

from exporter.sources.engine import Engine, Measured, Seconds, Signal, Tokens

OWN = (
    "dynamo_frontend_input_sequence_tokens_sum",
    "dynamo_frontend_disconnected_clients",  # 0.6 on: without labels, so there before the first request
    "dynamo_frontend_client_disconnects",  # 0.5
)

DYNAMO = Engine(
    name="dynamo",
    marks=OWN,
    required=(OWN,),
    model_label="model",
    tokens=(
        Tokens(("dynamo_frontend_input_sequence_tokens_sum",), moves=(("input", 1),)),
        Tokens(("dynamo_frontend_cached_tokens_sum",), moves=(("cache_read", 1), ("input", -1))),
        Tokens(
            ("dynamo_frontend_output_tokens_total", "dynamo_frontend_output_sequence_tokens_sum"),  # 0.7 on; before
            moves=(("output", 1),),
        ),
    ),
    requests=(Signal(("dynamo_frontend_requests_total",), only=(("status", "success"),)),),
    seconds=(Seconds(("dynamo_frontend_inter_token_latency_seconds_sum",), phase="decode"),),
    measures=(Measured(("dynamo_frontend_model_cancellation_total",), measure="aborted"),),
    running=Signal(("dynamo_frontend_inflight_requests", "dynamo_frontend_inflight_requests_total")),  # 0.6 on; 0.5
)
