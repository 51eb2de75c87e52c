"""Triton Inference Server with the TensorRT-LLM backend, the vLLM backend, or both, each with models of its own.

The model is Triton's name for it (`tensorrt_llm`, `vllm_model`), not the name of the weights. Steps of an ensemble are
models too, and each counts the user's request again in `nv_inference_*`: nothing is taken from those.

TensorRT-LLM: both sums grow when a request ends, of one with several prompts by the last of them only; a Triton from
before there were these sums is refused. It has no seconds; cached tokens are known in blocks only and stay in the
input. Failed and cancelled requests count what they have; one that failed without a stream, where the backend returns
the prompt with the answer (the default, `exclude_input_in_output: false`), takes its prompt off the output, so that
this sum may fall. All gauges are those of the last iteration; `active` requests contain the waiting ones, and are 0 in
NVIDIA's sample of an idle server, where `scheduled` is still 1. Not counted, on purpose: the tokens in
`nv_trt_llm_*_metrics` (of one iteration).

vLLM: its own names of V0, with Triton's labels, without cached tokens and finish reasons. They stand there where the
model's config sets REPORT_CUSTOM_METRICS. Tokens move at each step, aborted requests' too; requests are those that
finished.

A model that is loaded anew starts again from zero by itself. The page has no start time.
"""

from __future__ import annotations

from exporter.sources.engine import Engine, Signal, Tokens
from exporter.sources.vllm import VLLM

NOT_ACTIVE = tuple(("request_type", other) for other in ("max", "scheduled", "context", "waiting"))
NOT_FRACTION = tuple(("kv_cache_block_type", other) for other in ("max", "free", "used", "tokens_per", "reused"))

TRITON = Engine(
    name="triton",
    marks=("nv_inference_count", "nv_inference_request_success"),  # of every model, LLM or not
    required=(("nv_llm_output_token_len_sum", "vllm:generation_tokens_total"),),
    model_label="model",
    tokens=(
        Tokens(("nv_llm_input_token_len_sum",), moves=(("input", 1),)),
        Tokens(("nv_llm_output_token_len_sum",), moves=(("output", 1),)),
        Tokens(("vllm:prompt_tokens_total",), moves=(("input", 1),)),
        Tokens(("vllm:generation_tokens_total",), moves=(("output", 1),)),
    ),
    requests=(Signal(("nv_llm_output_token_len_count",)), Signal(("vllm:e2e_request_latency_seconds_count",))),
    seconds=VLLM.seconds,
    measures=VLLM.measures,
    running=Signal(("vllm:num_requests_running", "nv_trt_llm_request_metrics"), skip=NOT_ACTIVE),
    waiting=Signal(("vllm:num_requests_waiting",)),
    kv_cache=Signal(("vllm:gpu_cache_usage_perc", "nv_trt_llm_kv_cache_block_metrics"), skip=NOT_FRACTION),
    one_process=False,
    dips=True,
)
