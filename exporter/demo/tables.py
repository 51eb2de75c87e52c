"""What the simulated engines' pages hold: names, order, help and buckets as the real ones print them.

The stats are those of SimEngine (engine.py). A stat that it never writes, such as `preemptions`, stands on the page
as 0, as on a real engine that does not use the feature.
"""

from __future__ import annotations

from exporter.demo.exposition import Cell, Flavour, Metric, cpp_float, python_float

_SECONDS = (0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680)
_TTFT = (
    0.001,
    0.005,
    0.01,
    0.02,
    0.04,
    0.06,
    0.08,
    0.1,
    0.25,
    0.5,
    0.75,
    1,
    2.5,
    5,
    7.5,
    10,
    20,
    40,
    80,
    160,
    640,
    2560,
)
_ITL = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80)
_STEP = (1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
_LENGTH = tuple(float(digit * 10**power) for power in range(6) for digit in (1, 2, 5))[:16]  # up to 100000


def _cells(label: str, **stats: str) -> tuple[Cell, ...]:
    return tuple(Cell(stat, ((label, value),)) for value, stat in stats.items())


def _counter(name: str, text: str, *cells: Cell | str, by_tenant: bool = False) -> Metric:
    made = tuple(Cell(cell) if isinstance(cell, str) else cell for cell in cells)
    return Metric(name, "counter", text, made, by_tenant=by_tenant)


def _gauge(name: str, text: str, *cells: Cell | str) -> Metric:
    return Metric(name, "gauge", text, tuple(Cell(cell) if isinstance(cell, str) else cell for cell in cells))


def _histogram(name: str, text: str, stat: str, bounds: tuple[float, ...]) -> Metric:
    return Metric(name, "histogram", text, (Cell(stat),), bounds)


_BY_SOURCE = _cells("source", local_compute="computed", local_cache_hit="local_hit", external_kv_transfer="external")
_BY_TIER = _cells(
    "source", device="local_hit", host="host_hit", p2p="p2p_hit", disk="disk_hit", external_unspecified="external"
)
_REASONS = _cells(
    "finished_reason", stop="stop", length="length", abort="abort", error="error", repetition="repetition"
)
_WAITING = _cells("reason", capacity="waiting", deferred="deferred")
_SLEEP = _cells("sleep_state", awake="awake", weights_offloaded="offloaded", discard_all="discarded")

_VLLM = (
    _counter("vllm:estimated_flops_per_gpu_total", "Estimated number of floating point operations per GPU.", "flops"),
    _counter("vllm:estimated_read_bytes_per_gpu_total", "Estimated number of bytes read from memory per GPU.", "read"),
    _counter("vllm:estimated_write_bytes_per_gpu_total", "Estimated bytes written to memory per GPU.", "written"),
    _gauge("vllm:num_requests_running", "Number of requests in model execution batches.", "running"),
    _gauge("vllm:num_requests_waiting", "Number of requests waiting to be processed.", "waiting"),
    _gauge("vllm:num_requests_waiting_by_reason", "Number of waiting requests by reason.", *_WAITING),
    _gauge("vllm:engine_sleep_state", "Engine sleep state; awake = 0 means engine is sleeping.", *_SLEEP),
    _gauge("vllm:kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.", "kv"),
    _counter("vllm:prefix_cache_queries_total", "Prefix cache queries, in queried tokens.", "prompt"),
    _counter("vllm:prefix_cache_hits_total", "Prefix cache hits, in cached tokens.", "local_hit"),
    _counter("vllm:external_prefix_cache_queries_total", "External prefix cache queries, in tokens.", "external"),
    _counter("vllm:external_prefix_cache_hits_total", "External prefix cache hits, in cached tokens.", "external"),
    _counter("vllm:mm_cache_queries_total", "Multi-modal cache queries, in queried items.", "mm_queries"),
    _counter("vllm:mm_cache_hits_total", "Multi-modal cache hits, in cached items.", "mm_hits"),
    _counter("vllm:num_preemptions_total", "Cumulative number of preemption from the engine.", "preemptions"),
    _counter("vllm:prompt_tokens_total", "Number of prefill tokens processed.", "prompt", by_tenant=True),
    _counter("vllm:prompt_tokens_by_source_total", "Number of prompt tokens by source.", *_BY_SOURCE, by_tenant=True),
    _counter("vllm:prompt_tokens_cached_total", "Number of cached prompt tokens.", "cached", by_tenant=True),
    _counter("vllm:prompt_tokens_cached_by_source_total", "Prefix-cache hit tokens by cache tier.", *_BY_TIER),
    _counter("vllm:generation_tokens_total", "Number of generation tokens processed.", "output", by_tenant=True),
    _counter("vllm:request_success_total", "Count of successfully processed requests.", *_REASONS, by_tenant=True),
    _histogram("vllm:request_prompt_tokens", "Number of prefill tokens processed.", "prompt_length", _LENGTH),
    _histogram("vllm:request_generation_tokens", "Number of generation tokens processed.", "output_length", _LENGTH),
    _histogram("vllm:iteration_tokens_total", "Histogram of number of tokens per engine_step.", "step_tokens", _STEP),
    _histogram("vllm:request_max_num_generation_tokens", "Maximum requested tokens.", "output_length", _LENGTH),
    _histogram("vllm:request_params_n", "Histogram of the n request parameter.", "n", (1, 2, 5, 10, 20)),
    _histogram("vllm:request_params_max_tokens", "The max_tokens request parameter.", "output_length", _LENGTH),
    _histogram("vllm:time_to_first_token_seconds", "Histogram of time to first token in seconds.", "ttft", _TTFT),
    _histogram("vllm:inter_token_latency_seconds", "Histogram of inter-token latency in seconds.", "itl", _ITL),
    _histogram("vllm:request_time_per_output_token_seconds", "Time per output token per request.", "tpot", _ITL),
    _histogram("vllm:e2e_request_latency_seconds", "Histogram of e2e request latency in seconds.", "e2e", _SECONDS),
    _histogram("vllm:request_queue_time_seconds", "Time spent in WAITING phase for request.", "queue", _SECONDS),
    _histogram("vllm:request_inference_time_seconds", "Time spent in RUNNING phase.", "inference", _SECONDS),
    _histogram("vllm:request_prefill_time_seconds", "Time spent in PREFILL phase for request.", "prefill", _SECONDS),
    _histogram("vllm:request_decode_time_seconds", "Time spent in DECODE phase for request.", "decode", _SECONDS),
    _histogram("vllm:request_prefill_kv_computed_tokens", "New KV tokens in prefill.", "computed_length", _LENGTH),
)

_PYTHON_PROCESS = """\
# HELP python_info Python platform information
# TYPE python_info gauge
python_info{{implementation="CPython",major="3",minor="12",patchlevel="11",version="3.12.11"}} 1.0
# HELP process_virtual_memory_bytes Virtual memory size in bytes.
# TYPE process_virtual_memory_bytes gauge
process_virtual_memory_bytes 2.176708608e+09
# HELP process_resident_memory_bytes Resident memory size in bytes.
# TYPE process_resident_memory_bytes gauge
process_resident_memory_bytes 6.53119488e+08
# HELP process_start_time_seconds Start time of the process since unix epoch in seconds.
# TYPE process_start_time_seconds gauge
process_start_time_seconds {start}
# HELP process_open_fds Number of open file descriptors.
# TYPE process_open_fds gauge
process_open_fds 34.0
"""

_STREAMED = (("is_streaming", "true"),)
_RANKS = (("moe_ep_rank", "0"), ("pp_rank", "0"), ("tp_rank", "0"))
_SGLANG = (
    _gauge("sglang:num_running_reqs", "The number of running requests.", Cell("running", _RANKS)),
    _gauge("sglang:num_queue_reqs", "The number of requests in the waiting queue.", Cell("waiting", _RANKS)),
    _gauge("sglang:token_usage", "The token usage.", Cell("kv", _RANKS)),
    Metric("sglang:e2e_request_latency_seconds", "histogram", "End-to-end.", (Cell("e2e", _STREAMED),), _SECONDS),
    _counter("sglang:prompt_tokens_total", "Prefill tokens.", Cell("prompt", _STREAMED), by_tenant=True),
    _counter("sglang:generation_tokens_total", "Generation tokens.", Cell("output", _STREAMED), by_tenant=True),
    _counter(
        "sglang:cached_tokens_total",
        "Number of cached prompt tokens by source (device/host/storage).",
        *_cells("cache_source", device="local_hit", storage="external"),
        by_tenant=True,
    ),
    _counter("sglang:num_requests_total", "Requests processed.", Cell("requests", _STREAMED), by_tenant=True),
)

_LLAMACPP = (
    _counter("llamacpp:prompt_tokens_total", "Prompt tokens processed, excluding cached tokens", "computed"),
    _counter("llamacpp:prompt_tokens_cached_total", "Prompt tokens reused from the cache", "cached"),
    _counter("llamacpp:prompt_seconds_total", "Total time spent processing prompts", "prefill_seconds"),
    _counter("llamacpp:tokens_predicted_total", "Number of generation tokens processed", "output"),
    _counter("llamacpp:tokens_predicted_seconds_total", "Total time spent generating tokens", "decode_seconds"),
    _gauge("llamacpp:requests_processing", "Number of requests processing", "running"),
    _gauge("llamacpp:requests_deferred", "Number of requests deferred", "waiting"),
)

VLLM = Flavour(
    _VLLM,
    python_float,
    "text/plain; version=1.0.0; charset=utf-8",
    model_label="model_name",
    engine_label="engine",
    process=_PYTHON_PROCESS,
    created=True,
)
# Always in multiprocess mode: neither process_* nor `_created`.
SGLANG = Flavour(
    _SGLANG,
    python_float,
    "text/plain; version=1.0.0; charset=utf-8",
    model_label="model_name",
    labels=(("engine_type", "unified"),),
)
LLAMACPP = Flavour(_LLAMACPP, cpp_float, "text/plain; version=0.0.4")
