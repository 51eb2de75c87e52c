"""llama.cpp's llama-server with `--metrics`. Output is added when a slot is released.

Cached tokens are outside the prompt counter: they are added, never subtracted. There is no model label and no
request counter. Values have six significant digits, so large counters move in steps.
"""

from __future__ import annotations

from exporter.sources.engine import Engine, Seconds, Signal, Tokens

LLAMACPP = Engine(
    name="llamacpp",
    marks=("llamacpp:prompt_tokens_total", "llamacpp:tokens_predicted_total"),
    required=(("llamacpp:prompt_tokens_total",), ("llamacpp:tokens_predicted_total",)),
    tokens=(
        Tokens(("llamacpp:prompt_tokens_total",), moves=(("input", 1),)),
        Tokens(("llamacpp:prompt_tokens_cached_total",), moves=(("cache_read", 1),)),
        Tokens(("llamacpp:tokens_predicted_total",), moves=(("output", 1),)),
    ),
    seconds=(
        Seconds(("llamacpp:prompt_seconds_total",), phase="prefill"),
        Seconds(("llamacpp:tokens_predicted_seconds_total",), phase="decode"),
    ),
    running=Signal(("llamacpp:requests_processing",)),
    waiting=Signal(("llamacpp:requests_deferred",)),
    kv_cache=Signal(("llamacpp:kv_cache_usage_ratio",)),  # only builds before May 2025
)
