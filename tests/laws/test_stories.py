"""Single stories that random worlds seldom tell."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from exporter.books import Books
from exporter.config.schema import Config
from exporter.demo.engine import SimEngine
from exporter.demo.gateway import SimGateway
from exporter.ledger import families as f
from exporter.ledger.changes import Saved
from exporter.records import NS, Instant
from exporter.sources.reader import Reader
from exporter.sources.registry import GATEWAYS
from tests.laws.world import World, config


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def booked(world: World) -> dict[tuple[str, ...], int]:
    family = world.books.accounts[f.TOKENS]
    return {labels: value for labels, value in zip(family.labels, family.values, strict=True) if value}


def test_baselines_of_a_dead_process_do_not_come_back_after_a_full_disk_and_a_kill(world: World) -> None:
    """The save that would have dropped them failed; the next one must still drop them."""
    world.scrape("chat-0")
    world.serve("chat-0", "globex", 1000, 0, 500)
    world.scrape("chat-0")
    world.tick()
    world.now_ns += NS
    world.restart("chat-0")
    world.scrape("chat-0")  # a page without globex
    world.tick(disk_full=True)
    world.tick()
    world.kill()
    world.boot()
    world.serve("chat-0", "globex", 2000, 0, 700)  # above the old baseline
    world.scrape("chat-0")
    world.tick()
    assert booked(world)["globex", "model-chat", "chat", "input"] == 3000
    assert booked(world)["globex", "model-chat", "chat", "output"] == 1200


def test_tenants_beyond_the_limit_fold_into_other_with_totals_unchanged(world: World) -> None:
    """The world's limit is 3: research is configured, two more may come; the overflow counter says how much."""
    world.scrape("chat-0")
    for tenant in ("acme", "globex", "initech", "hooli"):
        world.engines["chat-0"].serve("model-chat", tenant=tenant, prompt=10, output=1)
        world.scrape("chat-0")
        world.tick()
    tenants = {labels[0]: value for labels, value in booked(world).items() if labels[3] == "input"}
    assert tenants == {"acme": 10, "globex": 10, "_other": 20}
    assert world.books.accounts[f.OVERFLOW].get(()) == 22
    world.kill()
    world.boot()  # whoever has an account keeps it, whoever comes first
    for tenant in ("hooli", "acme"):
        world.engines["chat-0"].serve("model-chat", tenant=tenant, prompt=5, output=0)
    world.scrape("chat-0")
    world.tick()
    tenants = {labels[0]: value for labels, value in booked(world).items() if labels[3] == "input"}
    assert tenants == {"acme": 15, "globex": 10, "_other": 25}


@pytest.mark.parametrize("name", ["_other", "_unattributed", "default"])
def test_a_label_cannot_pose_as_one_of_our_own_names(world: World, name: str) -> None:
    world.scrape("chat-0")
    world.engines["chat-0"].serve("model-chat", tenant=name, prompt=10, output=1)
    world.scrape("chat-0")
    world.tick()
    assert {labels[0] for labels in booked(world)} == {"_unattributed"}


def test_no_price_no_cost_and_the_tokens_say_so(world: World) -> None:
    """On the fourth of March nobody knows what an H100 costs. It begins on the third, at 23:00."""
    world.now_ns += 2 * 24 * 3600 * NS
    world.scrape("chat-0")
    world.scrape("chat-1")
    world.tick()
    before = world.books.accounts[f.COST].get(("chat", "gpu"))
    world.now_ns += 3600 * NS
    world.scrape("chat-0")
    world.scrape("chat-1")
    world.tick()
    world.now_ns += 3600 * NS
    world.serve("chat-0", "acme", 100, 40, 10)
    world.scrape("chat-0")
    world.tick()
    accounts = world.books.accounts
    assert accounts[f.UNPRICED].get(("model-chat", "chat", "input")) == 60
    assert accounts[f.UNPRICED].get(("model-chat", "chat", "cache_read")) == 40
    assert accounts[f.TOKENS].get(("acme", "model-chat", "chat", "input")) == 60
    assert accounts[f.COST].get(("chat", "gpu")) == before + round(4 * 1.987654321 * 10**12), "one hour, not two"
    gauges = world.books.gauges(world.instant())
    assert gauges["tokencost_unpriced_gpus"]["chat",] == 4.0
    assert ("chat", "NVIDIA H100 80GB HBM3") not in gauges["tokencost_gpu_price_usd_per_hour"]
    assert not any(labels[0] == "chat" for labels in gauges["tokencost_live_cost_usd_per_token"])


def test_a_disaggregated_pool_behind_a_gateway_bills_each_phase_to_the_tenants_who_used_it() -> None:
    """Prompts are taken from the prefill server, output from the decode server, whose they were from the gateway."""
    end = {"prefill": "http://p:8000/metrics", "decode": "http://d:8000/metrics"}
    config = Config.model_validate({
        "pools": [{
            "name": "code", "gpus": {"count": Decimal(2)}, "usd_per_gpu_hour": Decimal("1.8"),
            "endpoints": [{"url": url, "role": role} for role, url in end.items()],
        }],
        "gateways": [{
            "name": "edge", "endpoints": [{"url": "http://g:4000/metrics"}], "tenant_label": "team_alias",
            "routes": [{"model": "code*", "pool": "code"}],
        }],
    })  # fmt: skip
    start, now = 1_795_348_800, 0
    engines = {role: SimEngine("code", start=start - 99.0) for role in end}
    gateway = SimGateway(start - 99.0)
    readers = {role: Reader("vllm") for role in end}
    edge = Reader("litellm", GATEWAYS)
    books = Books(config, Saved(), Instant(0, start * NS))

    def look() -> None:
        nonlocal now
        now += 15
        at = Instant(now * NS, (start + now) * NS)
        for role, url in end.items():
            books.observe(readers[role].read(url, engines[role].page(), at))
        books.observe(edge.read("http://g:4000/metrics", gateway.page(), at))
        books.tick(at)

    look()
    for team, prompt, output in (("acme", 3000, 10), ("globex", 1000, 90)):
        engines["prefill"].serve("code", prompt=prompt, output=1)
        engines["decode"].serve("code", prompt=prompt, cached=prompt, external=prompt, output=output)
        gateway.report(team, "code", prompt=prompt, output=output)
    look()
    tokens, spend = books.accounts[f.TOKENS], books.accounts[f.SPEND]
    for team, prompt, output in (("acme", 3000, 10), ("globex", 1000, 90)):
        assert tokens.get((team, "code", "code", "input")) == prompt
        assert tokens.get((team, "code", "code", "output")) == output
    paid = {labels[0] + " " + labels[3]: value for labels, value in zip(spend.labels, spend.values, strict=True)}
    assert paid["acme input"] == pytest.approx(3 * paid["globex input"], abs=10)  # picodollars
    assert paid["globex output"] == pytest.approx(9 * paid["acme output"], abs=10)
    assert sum(spend.values) == round(2 * 1.8 / 3600 * 15 * 10**12), "all of the second tick, and nobody else's"
    assert not [labels for labels in tokens.labels if labels[0] == "_unattributed"]


def test_two_gateways_before_one_pool_share_its_cost() -> None:
    config = Config.model_validate({
        "pools": [{
            "name": "chat", "gpus": {"count": Decimal(1)}, "usd_per_gpu_hour": Decimal("3.6"),
            "endpoints": [{"url": "http://e:8000/metrics"}],
        }],
        "gateways": [
            {
                "name": name, "endpoints": [{"url": f"http://{name}:4000/metrics"}], "tenant_label": "team_alias",
                "routes": [{"model": "*", "pool": "chat"}],
            }
            for name in ("one", "two")
        ],
    })  # fmt: skip
    start = 1_795_348_800
    engine, reader = SimEngine("chat", start=start - 99.0), Reader("vllm")
    gateways = {name: (SimGateway(start - 99.0), Reader("litellm", GATEWAYS)) for name in ("one", "two")}
    books = Books(config, Saved(), Instant(0, start * NS))
    for turn in range(1, 3):
        at = Instant(turn * 15 * NS, (start + turn * 15) * NS)
        books.observe(reader.read("http://e:8000/metrics", engine.page(), at))
        for name, (gateway, edge) in gateways.items():
            books.observe(edge.read(f"http://{name}:4000/metrics", gateway.page(), at))
        books.tick(at)
        for gateway, _ in gateways.values():
            engine.serve("chat", output=50)
            gateway.report("acme", "chat", output=50)
    assert books.accounts[f.TOKENS].get(("acme", "chat", "chat", "output")) == 100
    assert books.accounts[f.SPEND].get(("acme", "chat", "chat", "output")) == 15_000_000_000


def test_a_target_that_leaves_the_config_and_returns_is_not_counted_twice(world: World) -> None:
    """Its engine began while its pool was watched; what it served before it left is in the books already."""
    key = ("acme", "model-chat", "chat", "input")
    world.now_ns += 15 * NS
    world.restart("chat-1")
    world.serve("chat-1", "acme", 100, 0, 50)
    world.scrape("chat-1")
    world.tick()
    for boot in (False, True):
        world.reload(config(frozenset({"chat-1"})))
        if boot:
            world.kill()
            world.boot()
        world.now_ns += 15 * NS
        world.reload(config())
        world.scrape("chat-1")
        world.tick()
        assert (booked(world)[key], booked(world)[*key[:3], "output"]) == (100, 50)
    world.reload(config(frozenset({"chat-1"})))
    world.now_ns += 15 * NS
    world.restart("chat-1")
    world.serve("chat-1", "acme", 7, 0, 0)
    world.reload(config())
    world.scrape("chat-1")
    world.tick()
    assert booked(world)[key] == 107, "another process, begun while its pool was watched"
