"""The endpoint picker (EPP) of Gateway API's inference extension and of llm-d. Tokens are added when an answer is
done, as the model server reported them; an answer without usage is not counted.

`model_name` is what the client asked for, `target_model_name` what the server was asked for. The tenant is
`fairness_id` (llm-d 0.9 on): the request's header `x-llm-d-inference-fairness-id`, `default-flow` without it. llm-d
0.9 counts everything under the older name as well, without the tenant: only one of them is taken. `..._request_total`
counts failures. The `inference_pool_*` gauges are averages of what the pool's servers say.
"""

from __future__ import annotations

from exporter.sources.engine import Engine, Signal, Tokens

INPUT = (
    "llm_d_epp_request_input_tokens_sum",  # llm-d 0.9 on
    "inference_objective_input_tokens_sum",  # inference extension 1.1 on
    "inference_model_input_tokens_sum",  # up to 1.0
)
CACHED = ("llm_d_epp_request_cached_tokens_sum", "inference_objective_prompt_cached_tokens_sum")
OUTPUT = (
    "llm_d_epp_request_output_tokens_sum",
    "inference_objective_output_tokens_sum",
    "inference_model_output_tokens_sum",
)

EPP = Engine(
    name="epp",
    marks=("llm_d_epp_info", "inference_extension_info", *INPUT),  # the first two are there before the first request
    required=(),
    model_label="target_model_name",
    alias_label="model_name",
    tokens=(
        Tokens(INPUT, moves=(("input", 1),)),
        Tokens(CACHED, moves=(("cache_read", 1), ("input", -1))),
        Tokens(OUTPUT, moves=(("output", 1),)),
    ),
    requests=(
        Signal(
            (
                "llm_d_epp_request_input_tokens_count",
                "inference_objective_input_tokens_count",
                "inference_model_input_tokens_count",
            )
        ),
    ),
)
