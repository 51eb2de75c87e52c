"""Hugging Face Text Embeddings Inference (TEI), names as they stand up to 1.9. It has input tokens only.

The page names no model. Each text of a request is counted when it is tokenized, before the queue, as it will be
truncated; a request that fails later keeps its tokens. `/tokenize` counts nothing. A request of many texts is one
request, and its seconds are the mean of its texts. Not counted, on purpose: `te_embed_*` and `te_predict_*` (texts,
not requests) and `te_batch_next_tokens` (the same tokens again, by batch). The page has no start time, and is empty
before the first request (huggingface/text-embeddings-inference issue 520).
"""

from __future__ import annotations

from exporter.sources.engine import Engine, Seconds, Signal, Tokens

TEI = Engine(
    name="tei",
    marks=("te_request_count",),
    required=(("te_request_count",),),  # the first thing that any request moves
    tokens=(Tokens(("te_request_input_length_sum",), moves=(("input", 1),)),),
    requests=(Signal(("te_request_success",)),),
    seconds=(
        Seconds(("te_request_queue_duration_sum",), phase="queue"),
        Seconds(("te_request_inference_duration_sum",), phase="prefill"),
    ),
    waiting=Signal(("te_queue_size",)),  # texts
)
