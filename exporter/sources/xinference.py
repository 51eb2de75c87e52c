"""Xinference: the metrics page of a worker (`--metrics-port`), not of the supervisor, which counts no tokens.

Tokens are added when an answer is done, from the usage that its backend reports: an answer without usage, such as a
stream whose client asked for none, is not counted. Cached tokens are in the prompt and not told apart. There is no
start time. Not counted, on purpose: `xinference:generate_tokens_total` (the output again) and requests that were
refused at the limit (`stream="unknown"`). A request is counted when it fails, too, and a stream when it begins.
"""

from __future__ import annotations

from exporter.sources.engine import Engine, Signal, Tokens

INPUT = "xinference:input_tokens_total_counter"
OUTPUT = "xinference:output_tokens_total_counter"
RUNNING = "xinference:model_serve_count"
LIMIT = "xinference:model_request_limit"  # from the loading of a model on

XINFERENCE = Engine(
    name="xinference",
    marks=(INPUT, OUTPUT, RUNNING, LIMIT),
    required=((INPUT, OUTPUT, RUNNING, LIMIT),),
    model_label="model_uid",  # as clients call it; older versions say `model`
    older_model_label="model",
    tokens=(Tokens((INPUT,), moves=(("input", 1),)), Tokens((OUTPUT,), moves=(("output", 1),))),
    requests=(Signal(("xinference:model_request_total",), skip=(("stream", "unknown"),)),),
    running=Signal((RUNNING,)),
)
