"""A config and what was found, to the config that holds now: pure, and the only way in which targets change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from exporter.config.discovery import Discover, sources
from exporter.config.gpus import ExportedGpus, GpusPerEndpoint, StaticGpus
from exporter.config.schema import Config, FoundEndpoint, Gateway, Pool

Owner = TypeVar("Owner", Pool, Gateway)


@dataclass(frozen=True, slots=True)
class Listed:
    """The endpoints of one source, no target twice; `lingering` ones have left its list and are still read."""

    listed: Sequence[FoundEndpoint] = ()
    lingering: Sequence[FoundEndpoint] = ()


@dataclass(frozen=True, slots=True)
class Clash:
    """A target that a source lists and somebody else has."""

    source: str
    target: str
    owner: str


NOTHING = Listed()


def of_config(config: Config) -> dict[str, Discover]:
    """Every source of a config by its name."""
    pools = (sources(pool.discover, f"pool/{pool.name}") for pool in config.pools)
    gateways = (sources(gateway.discover, f"gateway/{gateway.name}") for gateway in config.gateways)
    return {name: spec for found in (*pools, *gateways) for name, spec in found}


def resolve(config: Config, found: Mapping[str, Listed]) -> tuple[Config, tuple[Clash, ...]]:
    """Each pool and gateway with what was written down and what was found for it, no target twice: what is written down
    comes first, then what is listed, then what lingers, each in the order of the config. GPUs are counted by what is
    written down or listed."""
    taken: dict[str, str] = {}
    for pool in config.pools:
        taken |= dict.fromkeys((end.target for end in pool.endpoints), f"pool/{pool.name}")
        if isinstance(pool.gpus, ExportedGpus):
            taken[pool.gpus.target] = f"the GPUs of pool/{pool.name}"
    for gateway in config.gateways:
        taken |= dict.fromkeys((end.target for end in gateway.endpoints), f"gateway/{gateway.name}")
    clashes: list[Clash] = []
    chosen: dict[str, list[FoundEndpoint]] = {}
    names = of_config(config)
    for name in names:
        mine = chosen[name] = []
        for end in found.get(name, NOTHING).listed:
            if (owner := taken.setdefault(end.target, name)) is name:
                mine.append(end)
            else:
                clashes.append(Clash(name, end.target, owner))
    listed = {name: len(mine) for name, mine in chosen.items()}
    for name in names:
        chosen[name] += (
            end for end in found.get(name, NOTHING).lingering if taken.setdefault(end.target, name) is name
        )
    pools = tuple(_counted(_with(pool, "pool", chosen), _number(pool, listed)) for pool in config.pools)
    gateways = tuple(_with(gateway, "gateway", chosen) for gateway in config.gateways)
    return config.model_copy(update={"pools": pools, "gateways": gateways}), tuple(clashes)


def _with(owner: Owner, kind: str, chosen: Mapping[str, Sequence[FoundEndpoint]]) -> Owner:
    names = [name for name, _ in sources(owner.discover, f"{kind}/{owner.name}")]
    if not names:
        return owner
    more: Iterator[FoundEndpoint] = (end for name in names for end in chosen[name])
    return owner.model_copy(update={"endpoints": (*owner.endpoints, *more)})


def _number(pool: Pool, listed: Mapping[str, int]) -> int:
    """Its endpoints, without those that linger."""
    return len(pool.endpoints) + sum(listed[name] for name, _ in sources(pool.discover, f"pool/{pool.name}"))


def _counted(pool: Pool, endpoints: int) -> Pool:
    if not isinstance(pool.gpus, GpusPerEndpoint):
        return pool
    gpus = StaticGpus.model_construct(count=pool.gpus.of(endpoints), product=pool.gpus.product)
    return pool.model_copy(update={"gpus": gpus})
