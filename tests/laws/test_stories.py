"""Single stories that random worlds seldom tell."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.ledger import families as f
from exporter.records import NS
from tests.laws.world import World


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
