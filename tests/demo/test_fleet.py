"""The simulated world: seeded, plausible, and its pages agree with its truth."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from exporter.demo.engine import Totals
from exporter.demo.fleet import PLANS, Fleet, demo_fleet
from exporter.demo.traffic import office_day
from tests.demo.pages import observed, same, value

START = 1_800_000_000.0
STEP = 0.25


def live(fleet: Fleet, seconds: float, since: float = 0.0) -> Fleet:
    for step in range(1, int(seconds / STEP) + 1):
        fleet.advance(STEP, START + since + step * STEP)
    return fleet


@pytest.fixture(scope="module")
def half_an_hour() -> Fleet:
    return live(demo_fleet(START), 1800)


def test_the_same_seed_gives_the_same_world() -> None:
    pages = [[engine.page() for engine in live(demo_fleet(START, seed), 60).engines.values()] for seed in (1, 1, 2)]
    assert pages[0] == pages[1]
    assert pages[0] != pages[2]


def test_every_page_is_its_current_life(half_an_hour: Fleet) -> None:
    for name, engine in half_an_hour.engines.items():
        life: Totals = Counter()
        for (model, _, token_class), tokens in engine.lives[-1].items():
            life[model, "", token_class] += tokens
        assert same(life, observed(engine)), name


def test_engines_crash_and_come_back(half_an_hour: Fleet) -> None:
    assert sum(len(engine.lives) - 1 for engine in half_an_hour.engines.values()) >= 4
    for engine in half_an_hour.engines.values():
        assert value(engine.page(), "process_start_time_seconds") == pytest.approx(engine.process_start, abs=1e-6)


def test_every_tenant_uses_every_class(half_an_hour: Fleet) -> None:
    for plan in PLANS:
        for source in plan.sources:
            for token_class in ("input", "cache_read", "output"):
                assert half_an_hour.truth[plan.name, plan.name, source.tenant, token_class] > 0


def test_a_down_engine_serves_nothing() -> None:
    fleet = demo_fleet(START)
    seen_down = False
    for step in range(1, 4 * 1200):
        down = {name: fleet.engines[name].truth for name in fleet.engines if not fleet.up(name)}
        fleet.advance(STEP, START + step * STEP)
        for name, before in down.items():
            if not fleet.up(name):
                assert fleet.engines[name].truth == before
                seen_down = True
    assert seen_down


def test_the_decode_engine_counts_the_prompt_again_as_transferred_and_the_truth_does_not(half_an_hour: Fleet) -> None:
    prefill, decode = half_an_hour.engines["code-32b-prefill-0"], half_an_hour.engines["code-32b-decode-1"]
    page = decode.page()
    prompt = value(page, "vllm:prompt_tokens_total")
    assert prompt > 0
    assert value(page, "vllm:prompt_tokens_by_source_total", source="external_kv_transfer") == prompt
    assert value(page, "vllm:prompt_tokens_by_source_total", source="local_compute") == 0
    key = ("code-32b", "research")
    truth = half_an_hour.truth
    assert truth["code-32b", *key, "input"] == prefill.truth[*key, "input"]
    assert truth["code-32b", *key, "cache_read"] == prefill.truth[*key, "cache_read"]
    assert truth["code-32b", *key, "output"] == decode.truth[*key, "output"]


def test_the_prefill_engine_counts_one_output_token_for_each_request(half_an_hour: Fleet) -> None:
    page = half_an_hour.engines["code-32b-prefill-0"].page()
    requests = value(page, "vllm:request_success_total", finished_reason="length")
    assert requests > 0
    assert value(page, "vllm:generation_tokens_total") == requests
    assert value(page, "vllm:request_decode_time_seconds_sum") == 0


def test_output_grows_while_requests_run_and_seconds_come_at_their_end() -> None:
    fleet = demo_fleet(START)
    engine = fleet.engines["chat-70b-any-0"]
    for step in range(1, 400):
        fleet.advance(STEP, START + step * STEP)
        page = engine.page()
        if value(page, "vllm:generation_tokens_total") > 0:
            break
    assert value(page, "vllm:num_requests_running") > 0
    assert 0 < value(page, "vllm:kv_cache_usage_perc") < 1
    assert value(page, "vllm:request_decode_time_seconds_sum") == 0


def test_a_day_has_a_quiet_night_and_a_busy_afternoon() -> None:
    day = [office_day(hour / 4) for hour in range(96)]
    assert max(day) == pytest.approx(1.0)
    assert day.index(max(day)) == 14 * 4
    assert office_day(3) < 0.1
    assert all(abs(late - early) < 0.1 for early, late in pairwise(day))
