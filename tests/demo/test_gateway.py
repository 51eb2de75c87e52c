"""The fleet's gateway: it reports what ended, of those who came through it, and nothing else."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest

from exporter.demo.fleet import API, PLANS, RUNAWAY, Fleet, PoolTotals, demo_fleet
from exporter.demo.gateway import GatewayTotals, SimGateway
from exporter.demo.traffic import Source, nightly
from tests.demo.pages import samples, value

START = 1_800_000_000.0
STEP = 0.25
QUIET = 60.0  # seconds after which nobody asks any more, in `short`
INPUT, CACHED = "litellm_input_tokens_metric_total", "litellm_input_cached_tokens_metric_total"
OUTPUT, REQUESTS = "litellm_output_tokens_metric_total", "litellm_requests_metric_total"


def live(fleet: Fleet, seconds: float, since: float = 0.0) -> Fleet:
    for step in range(1, int(seconds / STEP) + 1):
        fleet.advance(STEP, START + since + step * STEP)
    return fleet


def short(*, bypass: bool = True) -> Fleet:
    """The demo's world, in which everybody falls silent after a minute and no engine crashes by itself."""

    def heard(sources: tuple[Source, ...]) -> tuple[Source, ...]:
        return tuple(replace(s, span=(0.0, QUIET)) for s in sources if not s.span[0] and (bypass or not s.direct))

    plans = tuple(replace(plan, sources=heard(plan.sources)) for plan in PLANS)
    api = replace(API, sources=heard(API.sources))
    return Fleet(random.Random(1), START, plans, api=api, mean_life=1e9)


def shown(gateway: SimGateway) -> GatewayTotals:
    """What its page says, by team, model and class."""
    totals: GatewayTotals = Counter()
    for name, moves in (
        (INPUT, (("input", 1),)),
        (CACHED, (("cache_read", 1), ("input", -1))),
        (OUTPUT, (("output", 1),)),
    ):
        for labels, tokens in samples(gateway.page(), name).items():
            by_label = dict(labels)
            for token_class, sign in moves:
                totals[by_label["team_alias"], by_label["model"], token_class] += sign * int(tokens)  # type: ignore[index]
    return totals


def by_class(totals: PoolTotals, place: str) -> Counter[tuple[str, str]]:
    """(tenant, class) -> tokens of that pool or provider, whatever the model was called."""
    found: Counter[tuple[str, str]] = Counter()
    for (where, _, tenant, token_class), tokens in totals.items():
        if where == place:
            found[tenant, token_class] += tokens
    return found


@pytest.fixture(scope="module")
def ten_minutes() -> Fleet:
    return live(demo_fleet(START), 600)


def test_the_page_is_what_the_gateway_was_told(ten_minutes: Fleet) -> None:
    gateway = ten_minutes.gateway
    assert shown(gateway) == gateway.lives[-1]
    teams = {dict(labels)["team_alias"] for labels in samples(gateway.page(), OUTPUT)}
    assert teams == {"acme", "globex", "initech", "hooli", "soylent"}


def test_what_is_reported_is_what_ended_on_the_engines() -> None:
    """The engines' own histograms, of requests that ended, against the gateway's page: at any moment, not at the end
    only."""
    fleet = short(bypass=False)
    for second in range(0, 100, 5):
        live(fleet, 5, second)
        page = fleet.gateway.page()
        chat = [engine.page() for name, engine in fleet.engines.items() if name.startswith("chat")]
        for ours, theirs in ((INPUT, "prompt"), (OUTPUT, "generation")):
            ended = sum(value(each, f"vllm:request_{theirs}_tokens_sum") for each in chat)
            mine = samples(page, ours).items()
            assert sum(tokens for labels, tokens in mine if ("model", API.model) not in labels) == ended
        answers = sum(value(each, "vllm:request_success_total") for each in chat)
        mine = samples(page, REQUESTS).items()
        assert sum(count for labels, count in mine if ("model", API.model) not in labels) == answers
    assert answers > 100


def test_engines_count_before_the_gateway_reports() -> None:
    fleet = live(short(), 30)
    served, reported = by_class(fleet.truth, "chat-70b"), by_class(fleet.reported, "chat-70b")
    assert all(reported[key] <= served[key] for key in served.keys() | reported.keys())
    assert served["acme", "output"] > reported["acme", "output"] > 0


def test_every_token_of_the_pool_was_reported_or_bypassed_once_all_is_quiet() -> None:
    fleet = live(short(), 240)
    reported, bypassed = by_class(fleet.reported, "chat-70b"), by_class(fleet.bypassed, "chat-70b")
    assert by_class(fleet.truth, "chat-70b") == reported + bypassed
    assert {tenant for tenant, _ in bypassed} == {"umbrella"}
    assert all(tokens > 0 for tokens in (reported + bypassed).values())


def test_what_dies_with_an_engine_is_counted_and_never_reported() -> None:
    fleet = live(short(), 40)
    fleet.workers["chat-70b-any-0"].stop()
    fleet.workers["chat-70b-any-0"].restart(START + 40)
    live(fleet, 200, since=40)
    known = by_class(fleet.reported, "chat-70b") + by_class(fleet.bypassed, "chat-70b")
    truth = by_class(fleet.truth, "chat-70b")
    assert all(known[key] <= truth[key] for key in truth)
    assert known["acme", "output"] < truth["acme", "output"]


def test_who_asks_the_engines_directly_is_not_on_the_gateways_page(ten_minutes: Fleet) -> None:
    assert b"umbrella" not in ten_minutes.gateway.page()
    assert ten_minutes.truth["chat-70b", "chat-70b", "umbrella", "output"] > 0
    assert ten_minutes.bypassed == {key: n for key, n in ten_minutes.truth.items() if key[2] == "umbrella"}


def test_an_adapter_is_the_gateways_word_and_the_engines_do_not_know_it(ten_minutes: Fleet) -> None:
    reported = {(place, model) for place, model, tenant, _ in ten_minutes.reported if tenant == "globex"}
    assert reported == {("chat-70b", "chat-70b-lora-legal")}
    assert all(b"legal" not in engine.page() for engine in ten_minutes.engines.values())
    assert ten_minutes.truth["chat-70b", "chat-70b", "globex", "output"] > 0


def test_what_is_bought_is_on_the_gateways_page_only(ten_minutes: Fleet) -> None:
    assert by_class(ten_minutes.reported, "openai").keys() == {
        ("soylent", "input"), ("soylent", "cache_read"), ("soylent", "output")
    }  # fmt: skip
    assert not [key for key in ten_minutes.truth if key[2] == "soylent" or key[1] == API.model]


def test_a_pool_with_a_tenant_is_not_behind_the_gateway(ten_minutes: Fleet) -> None:
    assert not by_class(ten_minutes.reported, "code-32b")
    assert by_class(ten_minutes.truth, "code-32b")["research", "output"] > 0


def test_the_runaway_takes_most_of_the_pool_a_few_minutes_in() -> None:
    fleet = live(demo_fleet(START), RUNAWAY[0])
    before = by_class(fleet.reported, "chat-70b")
    live(fleet, 180, since=RUNAWAY[0])
    since = by_class(fleet.reported, "chat-70b") - before
    assert before["hooli", "input"] < before["acme", "input"] / 2
    assert since["hooli", "input"] > 2 * since["acme", "input"]


def test_the_batch_asks_at_night_and_not_by_day() -> None:
    """The world begins at eight in the morning; its ten in the evening comes after 175 of 300 seconds."""
    fleet = live(demo_fleet(START), 174)
    assert by_class(fleet.reported, "chat-70b")["initech", "output"] == 0
    live(fleet, 126, since=174)
    night = by_class(fleet.truth, "chat-70b")["initech", "output"]
    assert night > 0
    live(fleet, 120, since=300)
    assert by_class(fleet.truth, "chat-70b")["initech", "output"] < 1.05 * night
    assert [nightly(hour) for hour in (0, 4.9, 5, 12, 21.9, 22)] == [1, 1, 0, 0, 0, 1]


def test_who_comes_in_bursts_swings_more_than_who_is_steady() -> None:
    fleet = demo_fleet(START)
    gateway, minutes = fleet.gateway, list[Counter[str]]()
    for second in range(0, 160, 8):  # of the day, before the runaway
        live(fleet, 8, second)
        requests: Counter[str] = Counter()
        for labels, count in samples(gateway.page(), REQUESTS).items():
            requests[dict(labels)["team_alias"]] += int(count)
        minutes.append(requests)
    swing = {}
    for tenant in ("acme", "globex"):
        steps = [late[tenant] - early[tenant] for early, late in pairwise(minutes[2:])]
        swing[tenant] = max(steps) / (sum(steps) / len(steps))
    assert swing["globex"] > 1.3 * swing["acme"]


def test_the_same_seed_gives_the_same_page() -> None:
    pages = [live(demo_fleet(START, seed), 60).gateway.page() for seed in (1, 1, 2)]
    assert pages[0] == pages[1]
    assert pages[0] != pages[2]
