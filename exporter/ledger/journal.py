"""Booking use: tokens and the money they cost, account by account, many at a time."""

from __future__ import annotations

from collections.abc import Mapping

from exporter.ledger import families as f
from exporter.ledger.accounts import Labels
from exporter.ledger.families import Accounts
from exporter.records import TokenClass

Key = tuple[str, str, TokenClass]  # (tenant, model, class)
_NONE = -1


class Journal:
    """Writes into the token and the spend accounts. It remembers which rows a key has: with ten thousand tenants,
    finding them is most of the work."""

    def __init__(self, accounts: Accounts) -> None:
        self._tokens, self._spend = accounts[f.TOKENS], accounts[f.SPEND]
        self._rows: dict[str, dict[Key, tuple[int, int]]] = {}  # place -> key -> (row of tokens, row of spend)

    def post(self, place: str, tokens: Mapping[Key, int], spend: Mapping[Key, int], *, costs: bool) -> None:
        """Book tokens and pico-USD to a pool or provider. `costs`: every token there has a cost, if only 0; else only
        those in `spend` have a price."""
        rows = self._rows.setdefault(place, {})
        used, paid = self._tokens.values, self._spend.values
        used_rows: list[int] = []
        paid_rows: list[int] = []
        both = 0
        for key, amount in tokens.items():
            found = rows.get(key)
            usd = spend.get(key)
            if found is None or (usd is not None and found[1] == _NONE):
                found = rows[key] = self._open(place, key, spent=costs or usd is not None)
            if amount:
                used[found[0]] += amount
                used_rows.append(found[0])
            if usd is not None:
                both += 1
                if usd:
                    paid[found[1]] += usd
                    paid_rows.append(found[1])
        self._tokens.touch(used_rows)
        self._spend.touch(paid_rows)
        if both < len(spend):  # the cost of tokens that were counted before
            self._spend.add_all((_labels(place, key), usd) for key, usd in spend.items() if key not in tokens)

    def _open(self, place: str, key: Key, *, spent: bool) -> tuple[int, int]:
        labels = _labels(place, key)
        return self._tokens.open(labels), self._spend.open(labels) if spent else _NONE


def _labels(place: str, key: Key) -> Labels:
    tenant, model, token = key
    return (tenant, model, place, token)
