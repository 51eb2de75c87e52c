"""llama.cpp's llama-server with `--metrics`. Output is added when a slot is released.

Cached tokens are outside the prompt counter: they are added, never subtracted. Builds before August 2026 do not count
them at all. There is no model label, no request counter and no start time.

Values have six significant digits: beyond a million tokens a counter moves in steps of 10, beyond ten million of 100.
Nothing adds up to an error: the steps are rounded each for itself, so what was counted is off by half a step at most, 5
tokens in a million. What is lost is when: a few tokens more or less in one tick are made up for in a later one. A
restart may lose half a step for good. Rounding keeps the order, so a counter never seems to fall.
"""

from __future__ import annotations

from exporter.sources.engine import Engine, Measured, Seconds, Signal, Tokens

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
    measures=(
        Measured(("llamacpp:spec_decode_num_draft_tokens_total",), measure="drafted"),
        Measured(("llamacpp:spec_decode_num_accepted_tokens_total",), measure="accepted"),
    ),
    running=Signal(("llamacpp:requests_processing",)),
    waiting=Signal(("llamacpp:requests_deferred",)),
    kv_cache=Signal(("llamacpp:kv_cache_usage_ratio",)),  # only builds before May 2025
)
