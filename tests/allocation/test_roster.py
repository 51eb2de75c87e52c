"""Who is who: where a gateway's model goes, whose a series is, and how several pools share one model's reports."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from exporter.allocation.pool import PoolBook
from exporter.allocation.roster import Roster
from exporter.allocation.tenants import MOST_MODELS
from exporter.config.schema import Config, Endpoint, FoundEndpoint
from exporter.metering.usage import Usage
from exporter.pricing.book import PriceBook
from exporter.records import Series
from tests.columns import columns


def pool(name: str) -> dict[str, Any]:
    end = {"url": f"http://{name}/metrics"}
    return {"name": name, "endpoints": [end], "gpus": {"count": Decimal(1)}, "usd_per_gpu_hour": Decimal(1)}


ROUTES = [
    {"model": "llama*", "pool": ["east", "west"]},
    {"model": "smart", "provider": "openai"},
    {"model": "gpt-*", "provider": "azure"},
]
LABELS = ["team", "user"]
CONFIG = Config.model_validate({
    "pools": [pool("east"), pool("west")],
    "gateways": [
        {"name": name, "endpoints": [{"url": f"http://{name}/metrics"}], "routes": ROUTES, "tenant_label": LABELS}
        for name in ("edge", "edge-2")
    ],
    "tenants": {"aliases": {"id-7": "acme"}, "limit": 2},
})  # fmt: skip


def account(model: str, alias: str = "", **labels: str) -> tuple[str, str, str] | None:
    scope = Roster(CONFIG, []).scopes(dict.fromkeys(["east", "west", "edge", "edge-2"], 0))["http://edge:80/metrics"]
    return scope.account(Series("s", tuple(sorted(labels.items())), "s"), model, alias or model)


@pytest.mark.parametrize(
    ("model", "alias", "place"),
    [
        ("llama-70b", "", "east,west"),
        ("meta/llama", "llama-chat", "east,west"),  # by what the client called it
        ("gpt-4o", "smart", "openai"),  # the first route that fits, not the best
        ("gpt-4o", "4o", "azure"),  # by what the gateway calls it
        ("claude", "", "edge"),  # nobody said: unpriced, under the gateway's name
    ],
)
def test_the_first_route_that_matches_either_name_wins(model: str, alias: str, place: str) -> None:
    assert account(model, alias) == (place, "_unattributed", model)


@pytest.mark.parametrize(
    ("labels", "tenant"),
    [
        ({"team": "acme", "user": "joe"}, "acme"),
        ({"team": "None", "user": "joe"}, "joe"),
        ({"team": "", "user": "id-7"}, "acme"),
        ({"team": "None", "user": "None"}, "_unattributed"),
        ({}, "_unattributed"),
        ({"team": "_other"}, "_unattributed"),
    ],
)
def test_the_first_label_that_is_set_names_the_tenant(labels: dict[str, str], tenant: str) -> None:
    assert (account("llama", **labels) or ("", "", ""))[1] == tenant


def test_both_pools_of_a_route_and_no_others_are_behind_a_gateway() -> None:
    roster = Roster(CONFIG, [])
    assert roster.behind_gateways == {"east", "west"}
    assert [roster.owner(f"http://{name}:80/metrics") for name in ("east", "edge-2", "nowhere")] == [
        "east",
        "edge-2",
        "",
    ]


def test_reports_of_a_model_on_two_pools_follow_the_tokens_that_each_has() -> None:
    books = {config.name: PoolBook(config, PriceBook(()), 0) for config in CONFIG.pools}
    books["east"].claims.stock(0, {("llama", "output"): 10}, {}, priced=True)
    used = {"west": Usage(tokens={("llama", "output"): {"default": 30}})}  # counted since the last tick
    reports = Usage(tokens={("llama", "output"): {"acme": 100, "new": 0}}, requests={"llama": {"acme": 3}})
    parts = Roster.divide("east,west", reports, books, used)
    assert {name: part.tokens for name, part in parts.items()} == {
        "east": {("llama", "output"): {"acme": 25, "new": 0}},
        "west": {("llama", "output"): {"acme": 75, "new": 0}},
    }
    assert [part.requests for part in parts.values()] == [{"llama": {"acme": 3}}, {}]


def test_with_nothing_to_claim_anywhere_the_first_pool_has_the_reports() -> None:
    books = {config.name: PoolBook(config, PriceBook(()), 0) for config in CONFIG.pools}
    tokens = columns({("acme", "llama", "output"): 7})
    parts = Roster.divide("east,west", Usage(tokens=tokens), books, {})
    assert {name: part.tokens for name, part in parts.items()} == {"east": tokens, "west": {}}


SERVERS = Config.model_validate({
    "pools": [{**pool("east"), "tenant": "owner"}],
    "tenants": {"aliases": {"id-7": "acme"}, "known": ["acme"], "limit": 4},
})  # fmt: skip


@pytest.mark.parametrize(
    ("server", "tenant"),
    [
        (Endpoint(url="http://x/m"), "owner"),
        (Endpoint(url="http://x/m", tenant="id-7"), "acme"),
        (Endpoint(url="http://x/m", tenant="default"), "default"),
        (FoundEndpoint(url="http://x/m"), "owner"),
        (FoundEndpoint(url="http://x/m", tenant="blue"), "blue"),
        (FoundEndpoint(url="http://x/m", tenant="id-7"), "acme"),
        (FoundEndpoint(url="http://x/m", tenant=""), "_unattributed"),  # one was expected: not the pool's
        (FoundEndpoint(url="http://x/m", tenant="None"), "_unattributed"),
        (FoundEndpoint(url="http://x/m", tenant="default"), "_unattributed"),  # from outside: poses as one of ours
        (FoundEndpoint(url="http://x/m", tenant="_other"), "_unattributed"),
        (FoundEndpoint(url="http://x/m", tenant="a\nb"), "a\ufffdb"),
    ],
)
def test_a_server_may_have_a_tenant_of_its_own(server: Endpoint, tenant: str) -> None:
    east = SERVERS.pools[0].model_copy(update={"endpoints": (server,)})
    (scope,) = Roster(SERVERS.model_copy(update={"pools": (east,)}), []).scopes({"east": 0}).values()
    assert scope.account(Series("s", (("team", "other"),), "s"), "m", "m") == ("east", tenant, "m")


def test_tenants_of_servers_are_bounded_and_those_of_the_config_come_first() -> None:
    servers = [FoundEndpoint(url=f"http://{name}/m", tenant=name) for name in "abcdef"]
    written = Endpoint(url="http://w/m", tenant="written")
    east = SERVERS.pools[0].model_copy(update={"endpoints": (*servers, written)})
    roster = Roster(SERVERS.model_copy(update={"pools": (east,)}), [])
    accounts = [scope.account(Series("s", (), "s"), "m", "m") for scope in roster.scopes({"east": 0}).values()]
    tenants = ["a", "_other", "_other", "_other", "_other", "_other", "written"]  # beside acme and owner
    assert accounts == [("east", tenant, "m") for tenant in tenants]


def test_models_beyond_the_bound_are_one_and_those_of_the_config_are_not() -> None:
    """Behind a gateway that lets clients name models as they like, each name would be series for ever."""
    known = [("acme", f"model-{number}", "azure", "input") for number in range(MOST_MODELS - 1)]
    roster = Roster(CONFIG, known)
    scopes = roster.scopes(dict.fromkeys(["east", "west", "edge", "edge-2"], 0))
    series = Series("s", (), "s")

    def booked(model: str, target: str = "edge") -> str:
        account = scopes[f"http://{target}:80/metrics"].account(series, model, model)
        assert account
        assert account[0] == ("azure" if target == "edge" else target) or model == "model-0"
        return account[2]

    assert [booked(model) for model in ("gpt-new", "gpt-newer", "gpt-new", "model-0")] == [
        "gpt-new", "_other", "gpt-new", "model-0",
    ]  # fmt: skip
    assert booked("east", "east") == "east"  # what a pool calls a model that its page does not name
