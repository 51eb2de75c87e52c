"""What the meter and its router make of engines' pages: whose model, what else was counted, and what comes late."""

from __future__ import annotations

from collections import defaultdict
from typing import get_args

import pytest

from exporter.columns import nonzero
from exporter.metering.meter import Meter
from exporter.metering.route import Router, Scope
from exporter.records import NS, Instant, Measure, Reading
from exporter.sources.engine import Engine
from exporter.sources.exposition import Scanner
from exporter.sources.registry import ENGINES, detect
from tests.sources.test_engines import TRUTH, page

SCOPE = Scope("any", "from-the-config", lambda _, model, __: ("p", "t", model), watched_since_ns=0)

# page: what is counted besides tokens, requests and seconds
MEASURES: dict[str, dict[str, float]] = {
    "tgi-3.3": {"accepted": 120, "aborted": 2},
    "trtllm-serve-1.3": {"drafted": 300, "accepted": 210},  # by iteration, and by position once more
    "dynamo-1.6.1-mocker-real": {"aborted": 1},
    "lmdeploy-0.18.0-collector": {"drafted": 150, "accepted": 50},
    "triton-25.03-vllm": {
        "steps": 200, "inter_tokens": 443, "inter_token_seconds": 21.5,
        "done_requests": 6, "done_prompt": 2500, "done_output": 400,
    },
}  # fmt: skip


def routed(engine: Engine, body: bytes) -> tuple[set[str], dict[str, float]]:
    """The models of a page's counters, and their sums by what they count."""
    samples = Scanner(engine.names).scan(body)
    models, sums = set(), defaultdict[str, float](float)
    for _, route, value in Router(engine, SCOPE).counters(samples, samples, set()):
        models.add(route.account[2])
        for (_, _, token_class), sign in route.cells:
            sums[token_class] += sign * value
        if not route.cells:
            sums["requests" if route.request else route.phase or route.measure or ""] += value
    return models, sums


@pytest.mark.parametrize("name", TRUTH)
def test_the_router_finds_the_same(name: str) -> None:
    """It takes each series for one thing only, and of alternatives one."""
    (engine, body), (tokens, requests, seconds, _) = (detect(page(name)), page(name)), TRUTH[name]
    models, sums = routed(engine, body)
    assert ("from-the-config" in models) == (engine.model_label is None)
    assert models
    assert tuple(sums[token_class] for token_class in ("input", "cache_read", "output")) == tokens
    assert sums["requests"] == (requests or 0)
    assert [sums[phase] for phase in ("queue", "prefill", "decode")] == pytest.approx([s or 0 for s in seconds])


@pytest.mark.parametrize("name", MEASURES)
def test_measures(name: str) -> None:
    _, sums = routed(detect(page(name)), page(name))
    assert {measure: value for measure, value in sums.items() if measure in get_args(Measure)} == MEASURES[name]


@pytest.mark.parametrize("engine", ENGINES.values(), ids=lambda engine: engine.name)
def test_no_two_signals_of_a_table_want_the_same_series(engine: Engine) -> None:
    """The router would give it to the first of them, and the other would silently count nothing."""
    signals = (*engine.tokens, *engine.requests, *engine.seconds, *engine.measures)
    wanted = [(name, signal.only) for signal in signals for name in signal.names]
    assert len(wanted) == len(set(wanted))


@pytest.mark.parametrize("engine", ENGINES.values(), ids=lambda engine: engine.name)
def test_nothing_is_counted_that_repeats_something_else(engine: Engine) -> None:
    repeats = ["router_", "tokenizer_cache", "kv_worker_reused", "kv_selected", "batch_next", "mean_time", "max_new"]
    if engine.name == "nim":
        repeats += ["request_success_total", "request_failure_total", "request_prompt", "request_generation"]
    assert not [name for name in engine.names for trap in repeats if trap in name]


def test_a_triton_with_both_backends_counts_both_under_their_models() -> None:
    models, sums = routed(ENGINES["triton"], page("triton-25.06-trtllm") + page("triton-25.03-vllm"))
    assert models == {"tensorrt_llm", "llama"}
    assert (sums["input"], sums["output"], sums["requests"]) == (5600 + 3000, 812 + 450, 7 + 6)


class Watched:
    """A meter over pages of one engine without a start time, one every 15 s."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.meter, self.scanner, self.now = engine, Meter(engine, SCOPE), Scanner(engine.names), 0

    def show(self, **series: int) -> dict[tuple[str, str], int]:
        """Tokens by model and class that this page adds; `name__model` is one series."""
        self.now += 15 * NS
        label = self.engine.model_label
        lines = [
            f'{name.rpartition("__")[0]}{{{label}="{name.rpartition("__")[2]}"}} {value}\n'
            for name, value in series.items()
        ]
        samples = self.scanner.scan("".join(lines).encode())
        self.meter.observe(Reading("t", self.engine.name, Instant(self.now, self.now), None, samples))
        tokens = self.meter.take()
        return {kind: column["t"] for kind, column in nonzero(tokens["p"].tokens).items()} if tokens else {}


def test_a_model_that_triton_loads_anew_takes_no_other_with_it() -> None:
    """Its own counters start from zero; those of the other models go on."""
    triton = Watched(ENGINES["triton"])
    assert triton.show(nv_llm_output_token_len_sum__a=1000, nv_llm_output_token_len_sum__b=500) == {}
    assert triton.show(nv_llm_output_token_len_sum__a=30, nv_llm_output_token_len_sum__b=520) == {
        ("a", "output"): 30,
        ("b", "output"): 20,
    }


def test_the_first_request_of_an_idle_frontend_is_counted() -> None:
    """It was watched when it had no series."""
    dynamo = Watched(ENGINES["dynamo"])
    assert dynamo.show(dynamo_frontend_disconnected_clients__=0) == {}
    counts = dynamo.show(dynamo_frontend_input_sequence_tokens_sum__m=157, dynamo_frontend_output_tokens_total__m=16)
    assert counts == {("m", "input"): 157, ("m", "output"): 16}


def test_what_was_cached_is_told_after_the_prompt() -> None:
    """Dynamo counts the prompt at the first token and its cached part at the end: it is taken from what comes next."""
    prompt, cached = "dynamo_frontend_input_sequence_tokens_sum__m", "dynamo_frontend_cached_tokens_sum__m"
    dynamo = Watched(ENGINES["dynamo"])
    assert dynamo.show(**{prompt: 0, cached: 0}) == {}
    assert dynamo.show(**{prompt: 157, cached: 0}) == {("m", "input"): 157}
    assert dynamo.show(**{prompt: 157, cached: 144}) == {("m", "cache_read"): 144}
    assert dynamo.show(**{prompt: 357, cached: 144}) == {("m", "input"): 56}


def test_the_newer_name_does_not_add_to_the_older_one() -> None:
    """Dynamo's output stands on the page twice, live and when a request ends; an older frontend has the latter only."""
    live, ended = "dynamo_frontend_output_tokens_total__m", "dynamo_frontend_output_sequence_tokens_sum__m"
    dynamo = Watched(ENGINES["dynamo"])
    assert dynamo.show(**{live: 0, ended: 0}) == {}
    assert dynamo.show(**{live: 60, ended: 0}) == {("m", "output"): 60}
    assert dynamo.show(**{live: 100, ended: 100}) == {("m", "output"): 40}
