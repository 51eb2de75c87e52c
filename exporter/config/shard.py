"""One of several exporters that divide a config among them: each reads, books and keeps a part of its own.

What is divided are units: a pool, with the pools that one of a gateway's routes names beside it, a provider, and what a
gateway sends nowhere. The whole of a unit's money is made in one process, so that every law holds there and the shards'
counters add up to those of one exporter. Who owns a unit is drawn from its name (rendezvous hashing): with one shard
more, one unit in `of` moves and the others stay.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import blake2b

from exporter.config.schema import Config, Gateway, Route

MOST_SHARDS = 1000


@dataclass(frozen=True, slots=True)
class Shard:
    """Number `index` of `of`, counted from 0."""

    index: int = 0
    of: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Of `i/n`. ValueError when it is none."""
        found = re.fullmatch(r"(\d{1,4})/(\d{1,4})", text, re.ASCII)
        index, of = (int(found[1]), int(found[2])) if found else (0, 0)
        if not index < of <= MOST_SHARDS:
            raise ValueError(f"{text!r} is not i/n with 0 <= i < n <= {MOST_SHARDS}")
        return cls(index, of)

    def __str__(self) -> str:
        return f"{self.index}/{self.of}"

    def owns(self, unit: str) -> bool:
        """Exactly one of the shards owns a unit."""
        return self.index == max(range(self.of), key=lambda index: _drawn(index, unit))

    def part(self, config: Config) -> Config:
        """The config that this shard works with. Budgets stay whole: each shard says what it knows to be spent."""
        if self == WHOLE:
            return config
        units = _units(config)
        mine = {name for name, unit in units.items() if self.owns(unit)}
        gateways = (self._gateway(gateway, mine) for gateway in config.gateways)
        pools = tuple(pool for pool in config.pools if pool.name in mine)
        part = config.model_copy(update={"pools": pools, "gateways": tuple(filter(None, gateways))})
        sources = {pool.gpus_from for pool in pools} - {None}
        part.share_gpus(pool for pool in config.pools if pool.gpus_from in sources)
        return part

    def _gateway(self, gateway: Gateway, pools: set[str]) -> Gateway | None:
        """The gateway with the routes of others leading nowhere; None where all of them are others'."""
        mine = [
            self.owns(f"provider:{route.provider}") if route.provider else route.pools[0] in pools
            for route in gateway.routes
        ]
        rest = self.owns(f"gateway:{gateway.name}")
        if not any(mine) and not rest:
            return None
        routes = [route if own else nowhere(route.model) for route, own in zip(gateway.routes, mine, strict=True)]
        return gateway.model_copy(update={"routes": (*routes, *(() if rest else (nowhere("*"),)))})


WHOLE = Shard()


def nowhere(model: str) -> Route:
    """A route of what another shard counts: neither pool nor provider."""
    return Route.model_construct(model=model, pool=None, provider=None)


def _drawn(index: int, unit: str) -> bytes:
    return blake2b(f"{index}/{unit}".encode(), digest_size=16).digest()


def _units(config: Config) -> dict[str, str]:
    """Pool -> its unit, which is called like the first, by name, of the pools in it."""
    parent = {pool.name: pool.name for pool in config.pools}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for route in (route for gateway in config.gateways for route in gateway.routes if route.pools):
        first, *others = sorted(set(map(root, route.pools)))
        for other in others:
            parent[other] = first
    return {name: root(name) for name in parent}
