"""Hugging Face Text Generation Inference (TGI), names as they stand from 1.0 to 3.3, the last series.

The page names no model and knows no cached tokens. The input of a request is counted when it is validated, before the
queue, as the server will truncate it: a request that is later dropped keeps its input. Its output is counted when it
succeeded, all at once: what was generated for a request that failed or that the client left is on no counter. With
`best_of` each candidate counts its input, the best one its output. A router that has no fast tokenizer counts no input.

Prefill and decode are the seconds of the engine's batches, each batch once however many requests are in it; where a
batch of prompts carries running requests along, its seconds are all prefill's. Not counted, on purpose:
`tgi_request_mean_time_per_token_duration` (a mean per request) and `tgi_request_max_new_tokens` (what was asked for).
The page has no start time, and is empty before the first request.
"""

from __future__ import annotations

from exporter.sources.engine import Engine, Measured, Seconds, Signal, Tokens

BATCHES = ("tgi_batch_inference_duration_sum",)

TGI = Engine(
    name="tgi",
    marks=("tgi_request_count",),
    required=(("tgi_request_count",),),  # the first thing that any request moves
    tokens=(
        Tokens(("tgi_request_input_length_sum",), moves=(("input", 1),)),
        Tokens(("tgi_request_generated_tokens_sum",), moves=(("output", 1),)),
    ),
    requests=(Signal(("tgi_request_success",)),),
    seconds=(
        Seconds(("tgi_request_queue_duration_sum",), phase="queue"),
        Seconds(BATCHES, only=(("method", "prefill"),), phase="prefill"),
        Seconds(BATCHES, only=(("method", "decode"),), phase="decode"),
    ),
    measures=(
        Measured(("tgi_request_skipped_tokens_sum",), measure="accepted"),  # of each step, those after its first token
        Measured(("tgi_request_failure",), only=(("err", "dropped"),), measure="aborted"),
    ),
    running=Signal(("tgi_batch_current_size",)),
    waiting=Signal(("tgi_queue_size",)),
)
