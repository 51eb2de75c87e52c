"""SGLang with `--enable-metrics`. Tokens are added when a request finishes.

The prompt counter contains the cached tokens; the values of `cache_source` (0.5.9 on) are parts of one sum, `total`
stands in place of the parts where no breakdown is known. A prefill server counts the prompt as well as the decode
server behind it: which of them bills is the role of the endpoint, not of this table. With priority scheduling the
gauges hold the total under `priority=""` and beside it each priority.

Of speculative decoding there are gauges only, no counters. Aborted requests of several tokenizer processes may be
counted more than once (sglang PR 28868).
"""

from __future__ import annotations

from exporter.sources.engine import Engine, Measured, Signal, Tokens

TOTAL = (("priority", ""),)

SGLANG = Engine(
    name="sglang",
    marks=("sglang:prompt_tokens_total", "sglang:generation_tokens_total", "sglang:num_running_reqs"),
    # The token counters appear with the first request; a server that has had none is well all the same.
    required=(("sglang:prompt_tokens_total", "sglang:num_running_reqs"),),
    model_label="model_name",
    role_label="engine_type",
    tokens=(
        Tokens(("sglang:prompt_tokens_total",), moves=(("input", 1),)),
        Tokens(("sglang:cached_tokens_total",), moves=(("cache_read", 1), ("input", -1))),
        Tokens(("sglang:generation_tokens_total",), moves=(("output", 1),)),
    ),
    requests=(Signal(("sglang:num_requests_total",)),),
    measures=(Measured(("sglang:num_aborted_requests_total",), measure="aborted"),),  # 0.4.10 on
    running=Signal(("sglang:num_running_reqs",), only=TOTAL),
    waiting=Signal(("sglang:num_queue_reqs",), only=TOTAL),
    kv_cache=Signal(("sglang:token_usage",)),
)
