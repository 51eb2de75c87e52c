"""Who is who in a config: whose a target is, where a gateway sends a model, and which tenant a series names."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from fnmatch import fnmatchcase

from exporter.allocation.pool import PoolBook
from exporter.allocation.tenants import Admission, Models
from exporter.columns import sums
from exporter.config.schema import Config, Endpoint, FoundEndpoint, Gateway, Pool
from exporter.ledger.accounts import Labels
from exporter.ledger.money import apportion
from exporter.metering.labels import safe
from exporter.metering.route import Scope
from exporter.metering.usage import Account, Usage
from exporter.records import PROMPT_CLASSES, Series
from exporter.sources.custom import custom_engine

Accounting = Callable[[Series, str, str], Account | None]


class Roster:
    """One config, read for the books. `known`: accounts that there are already, by tenant, model and whatever else."""

    def __init__(self, config: Config, known: Collection[Labels]) -> None:
        written = [end for pool in config.pools for end in pool.endpoints if not isinstance(end, FoundEndpoint)]
        tenants = [*(pool.tenant for pool in config.pools), *(end.tenant for end in written)]
        tenants += (budget.tenant for budget in config.budgets)
        self._admission = Admission(config.tenants, filter(None, tenants), {tenant for tenant, *_ in known})
        models = [safe(end.model or pool.name) for pool in config.pools for end in pool.endpoints]
        models += (safe(budget.model) for budget in config.budgets if budget.model)
        self._models = Models(models, {model for _, model, *_ in known})
        self._pools = {end.target: (pool, end) for pool in config.pools for end in pool.endpoints}
        self._gateways = {end.target: gateway for gateway in config.gateways for end in gateway.endpoints}
        self.members = {pool.name: frozenset(end.target for end in pool.endpoints) for pool in config.pools}
        self.behind_gateways = frozenset(
            name for gateway in config.gateways for route in gateway.routes for name in route.pools
        )

    def owner(self, target: str) -> str:
        """The pool or gateway that the target belongs to; "" for one that is not in the config."""
        if target in self._pools:
            return self._pools[target][0].name
        return self._gateways[target].name if target in self._gateways else ""

    def scopes(self, watched_since_ns: Mapping[str, int]) -> dict[str, Scope]:
        """What metering needs to know of every target, by target."""
        scopes = {
            target: Scope(
                end.role,
                safe(end.model or pool.name),
                self._of_server(pool, end),
                watched_since_ns[pool.name],
                custom_engine(pool.custom),
            )
            for target, (pool, end) in self._pools.items()
        }
        return scopes | {
            target: Scope(
                "any",
                gateway.name,
                self._of_gateway(gateway),
                watched_since_ns[gateway.name],
                custom_engine(gateway.custom),
            )
            for target, gateway in self._gateways.items()
        }

    def _of_server(self, pool: Pool, end: Endpoint) -> Accounting:
        tenant = self._admission.of_server(pool, end)
        return lambda series, model, _alias: (pool.name, tenant(series), self._models.admit(model))

    def _of_gateway(self, gateway: Gateway) -> Accounting:
        tenant = self._admission.by_label(gateway.tenant_label)

        def account(series: Series, model: str, alias: str) -> Account | None:
            # Routes speak of the model as the client calls it or as the gateway does.
            for route in gateway.routes:
                if fnmatchcase(alias, route.model) or fnmatchcase(model, route.model):
                    place = route.provider or ",".join(route.pools)
                    if not place:
                        return None  # that of another shard
                    return (place, tenant(series), self._models.admit(model))
            # Nobody said where it goes: unpriced, under this name.
            return (gateway.name, tenant(series), self._models.admit(model))

        return account

    @staticmethod
    def divide(
        place: str, reports: Usage, pools: Mapping[str, PoolBook], used: Mapping[str, Usage]
    ) -> dict[str, Usage]:
        """Reports of a model that several pools serve, divided by the tokens that each has to claim.

        `place` is the pools' names joined by ","; `used` is what the engines counted since the last tick.
        """
        names = place.split(",")
        parts = {name: Usage() for name in names}
        for (model, token), column in reports.tokens.items():
            stock = [pools[name].claims.available(model, token) + _fresh(used.get(name), token) for name in names]
            weights = stock if any(stock) else [1] + [0] * (len(names) - 1)
            shares = zip(*(apportion(amount, weights) for amount in column.values()), strict=True)
            for name, share in zip(names, shares, strict=True):
                part = {tenant: n for (tenant, of), n in zip(column.items(), share, strict=True) if n or not of}
                if part:
                    parts[name].tokens[model, token] = part
        parts[names[0]].requests = reports.requests
        return parts


def _fresh(usage: Usage | None, token: str) -> int:
    prompt = token in PROMPT_CLASSES
    tokens = sums(usage.tokens) if usage else {}
    return sum(n for (_, kind), n in tokens.items() if (kind in PROMPT_CLASSES) == prompt)
