"""Who owns what when several exporters divide a config."""

from __future__ import annotations

from typing import Any

import pytest

from exporter.config.schema import Config
from exporter.config.shard import WHOLE, Shard, nowhere


def pool(name: str, **more: Any) -> dict[str, Any]:
    endpoints = [{"url": f"http://{name}:8000/metrics"}]
    return {"name": name, "endpoints": endpoints, "gpus": {"count": 1}, "usd_per_gpu_hour": 1, **more}


def gateway(name: str, *routes: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "endpoints": [{"url": f"http://{name}:4000/metrics"}], "routes": list(routes)}


def config(*pools: dict[str, Any], gateways: tuple[dict[str, Any], ...] = ()) -> Config:
    return Config.model_validate({"pools": list(pools), "gateways": list(gateways)})


def parts(whole: Config, shards: int) -> list[Config]:
    return [Shard(index, shards).part(whole) for index in range(shards)]


def names(part: Config) -> list[str]:
    return [pool.name for pool in part.pools]


MANY = config(*(pool(f"p{number}") for number in range(600)))


@pytest.mark.parametrize("shards", [2, 3, 7])
def test_each_pool_has_one_owner_and_no_owner_has_most(shards: int) -> None:
    owned = [names(part) for part in parts(MANY, shards)]
    assert sorted(name for mine in owned for name in mine) == sorted(names(MANY))
    assert all(abs(len(mine) - 600 / shards) < 0.25 * 600 / shards for mine in owned)


def test_with_one_shard_more_pools_move_to_it_only() -> None:
    before = {name: index for index, part in enumerate(parts(MANY, 4)) for name in names(part)}
    after = {name: index for index, part in enumerate(parts(MANY, 5)) for name in names(part)}
    moved = {name for name in before if before[name] != after[name]}
    assert {after[name] for name in moved} == {4}
    assert 60 < len(moved) < 180  # about 600 / 5


def test_one_shard_has_the_config_as_it_is() -> None:
    assert WHOLE.part(MANY) is MANY


def test_pools_of_one_route_stay_together_through_others() -> None:
    chain = gateway("edge", *({"model": f"m{n}", "pool": [f"p{n}", f"p{n + 1}"]} for n in range(40)))
    whole = config(*(pool(f"p{number}") for number in range(41)), gateways=(chain,))
    assert sorted(len(part.pools) for part in parts(whole, 3)) == [0, 0, 41]


def test_each_shard_knows_who_else_holds_gpus_of_its_sources() -> None:
    """In the order of the whole config, by which GPUs are divided."""
    sources = [{"source": "dcgm", "url": f"http://node-{number % 4}:9400/metrics"} for number in range(20)]
    whole = config(*(pool(f"p{number}", gpus=source) for number, source in enumerate(sources)), pool("counted"))
    for part in parts(whole, 4):
        read = {pool.gpus_from for pool in part.pools} - {None}
        assert part.sharing == tuple(pool for pool in whole.pools if pool.gpus_from in read)
    assert whole.sharing == whole.pools


def test_a_route_of_others_leads_nowhere_and_keeps_its_place() -> None:
    """Were it left out, its requests would fall to the next route that fits."""
    routes = [*({"model": f"m{n}", "pool": f"p{n}"} for n in range(9)), {"model": "*", "provider": "openai"}]
    whole = config(*(pool(f"p{number}") for number in range(9)), gateways=(gateway("edge", *routes),))
    owners = []
    for part in parts(whole, 3):
        mine = set(names(part))
        for edge in part.gateways:
            for route, wanted in zip(edge.routes, whole.gateways[0].routes, strict=False):
                assert route.model == wanted.model
                if wanted.pools:
                    assert route == (wanted if wanted.pool in mine else nowhere(wanted.model))
            owners += [route.provider for route in edge.routes if route.provider]
    assert owners == ["openai"]


def test_a_gateway_without_anything_of_ones_own_is_not_read() -> None:
    whole = config(pool("p"), gateways=(gateway("edge", {"model": "*", "pool": "p"}),))
    read = [bool(part.gateways) for part in parts(whole, 8)]
    assert 1 <= sum(read) <= 2  # the owner of the pool, and of what is routed nowhere


@pytest.mark.parametrize("text", ["0/1", "0/2", "1/2", "999/1000"])
def test_a_shard_reads_as_it_is_written(text: str) -> None:
    assert str(Shard.parse(text)) == text


@pytest.mark.parametrize("text", ["", "1", "2/2", "0/0", "-1/2", "1/2/3", "0/1001", "a/b", "1/ 2", "١/٢"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="i/n"):
        Shard.parse(text)
