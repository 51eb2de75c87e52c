"""The simulated engine: its truth adds up, its counters are its requests, and it replays."""

from __future__ import annotations

from itertools import pairwise
from typing import get_args

import pytest

from tests.accuracy.batching import MACHINES, TRUTHS, Engine, Physics, Request
from tests.accuracy.traffic import MIXES, requests

LLAMA = MACHINES["8B on H100"]


@pytest.mark.parametrize("physics", get_args(Physics))
@pytest.mark.parametrize("mix", MIXES)
def test_every_definition_of_the_truth_conserves_the_busy_time(physics: Physics, mix: str) -> None:
    run = Engine(LLAMA, physics).run(requests(mix, 4.0, 120, seed=1))
    for name in TRUTHS:
        assert sum(run.truth[name].values()) == pytest.approx(run.busy, rel=1e-9), name
        assert min(run.truth[name].values()) > 0


def test_counters_end_at_what_the_requests_are() -> None:
    asked = requests("mixed", 5.0, 120, seed=2)
    run = Engine(LLAMA).run(asked)
    last = run.pages[-1]
    for tenant in {request.tenant for request in asked}:
        own = [request for request in asked if request.tenant == tenant]
        assert last.tokens[tenant, "input"] == sum(request.prompt - request.cached for request in own)
        assert last.tokens[tenant, "cache_read"] == sum(request.cached for request in own)
        assert last.tokens[tenant, "output"] == sum(request.output for request in own)
    assert last.finished == len(asked)
    assert last.inter_tokens == sum(request.output - 1 for request in asked)
    assert last.inter_token == pytest.approx(last.decode, rel=1e-9)
    assert last.busy <= run.seconds


def test_counters_never_go_down() -> None:
    pages = Engine(LLAMA).run(requests("mixed", 5.0, 120, seed=3)).pages
    for before, page in pairwise(pages):
        assert page.at == before.at + 15
        assert page.busy - before.busy <= 15 + 0.5  # the last whole step may have ended just after the scrape before
        for key, amount in before.tokens.items():
            assert page.tokens[key] >= amount
        for name in ("finished", "queue", "prefill", "decode", "inter_token", "iterations", "busy"):
            assert getattr(page, name) >= getattr(before, name)


def test_a_request_alone_takes_what_the_roofline_says() -> None:
    run = Engine(LLAMA).run([Request(1.0, "a", prompt=1000, cached=0, output=101)])
    last = run.pages[-1]
    linear = 2 * LLAMA.params * 1000 / LLAMA.flops
    attention = LLAMA.attention_flops * 1000 * 500 / LLAMA.flops
    assert last.prefill == pytest.approx(linear + attention + LLAMA.overhead)
    weights = LLAMA.weight_bytes * LLAMA.params / LLAMA.bandwidth
    context = LLAMA.kv_bytes * sum(range(1001, 1101)) / LLAMA.bandwidth
    assert last.decode == pytest.approx(100 * (weights + LLAMA.overhead) + context)
    assert last.time_per_output_token == pytest.approx(last.decode / 100)
    assert last.iterations == 101
    for name in TRUTHS:
        assert run.truth[name] == {"a": pytest.approx(run.busy)}


def test_a_cached_prompt_costs_less_and_not_nothing() -> None:
    def prefill(cached: int) -> float:
        return Engine(LLAMA).run([Request(0.0, "a", 8000, cached, 2)]).pages[-1].prefill

    assert prefill(7984) < prefill(4000) < prefill(0) / 1.5
    assert prefill(7984) > prefill(0) / 100


def test_like_requests_in_one_batch_cost_the_same() -> None:
    run = Engine(LLAMA).run([Request(0.0, tenant, 300, 0, 200) for tenant in "abc"])
    for name in TRUTHS:
        assert run.truth[name] == {tenant: pytest.approx(run.busy / 3) for tenant in "abc"}


def test_the_same_seed_replays_to_the_bit_and_another_does_not() -> None:
    def run(seed: int) -> object:
        return Engine(LLAMA).run(requests("mixed", 3.0, 60, seed))

    assert run(5) == run(5)
    assert run(5) != run(6)
