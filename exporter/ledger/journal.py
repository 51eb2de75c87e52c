"""Booking what tenants used and what it costs, a column at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import compress

from exporter.columns import Column, Columns
from exporter.ledger import families as f
from exporter.ledger.accounts import Family, Labels
from exporter.ledger.families import Accounts


class TenantFamily:
    """A family whose first label is the tenant. It remembers which row a tenant has in which column: with ten thousand
    tenants, finding them is most of the work."""

    def __init__(self, family: Family) -> None:
        self._family = family
        self._rows: dict[Labels, dict[str, int]] = {}  # labels after the tenant -> tenant -> row

    def open(self, rest: Labels, tenants: Iterable[str]) -> None:
        """Open the accounts of these tenants in that column at 0, where they are new."""
        rows = self._rows.setdefault(rest, {})
        for tenant in tenants:
            if tenant not in rows:
                rows[tenant] = self._family.open((tenant, *rest))

    def post(self, rest: Labels, column: Column) -> list[str]:
        """Book one column (amounts >= 0; a counter never falls); the tenants that it did not know."""
        if min(column.values(), default=0) < 0:
            raise ValueError(f"{self._family.name}{rest}: a negative amount would make a counter fall")
        rows, values, new = self._rows.setdefault(rest, {}), self._family.values, []
        try:
            found = list(map(rows.__getitem__, column))
        except KeyError:
            new = [tenant for tenant in column if tenant not in rows]
            self.open(rest, new)
            found = list(map(rows.__getitem__, column))
        for row, amount in zip(found, column.values(), strict=True):
            values[row] += amount
        self._family.touch(compress(found, column.values()) if 0 in column.values() else found)
        return new


class Journal:
    """Writes into the families that know tenants."""

    def __init__(self, accounts: Accounts) -> None:
        self._tokens, self._spend, self._requests = (
            TenantFamily(accounts[name]) for name in (f.TOKENS, f.SPEND, f.REQUESTS)
        )

    def post(self, place: str, tokens: Columns, spend: Columns, *, costs: bool) -> None:
        """Book tokens and pico-USD to a pool or provider. `costs`: every token there has a cost, if only 0; else only
        those in `spend` have a price."""
        for (model, token), column in tokens.items():
            rest = (model, place, token)
            new = self._tokens.post(rest, column)
            if costs:
                self._spend.open(rest, new)
        for (model, token), column in spend.items():
            self._spend.post((model, place, token), column)

    def post_requests(self, place: str, requests: Mapping[str, Column]) -> None:
        """Book requests, by model."""
        for model, column in requests.items():
            self._requests.post((model, place), column)
