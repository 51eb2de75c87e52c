"""From what a tick decided to the accounts: each kind of result has its families."""

from __future__ import annotations

from exporter.allocation.booked import Booked
from exporter.columns import sums
from exporter.ledger import families as f
from exporter.ledger.families import Accounts
from exporter.ledger.journal import Journal
from exporter.metering.usage import Usage
from exporter.records import OTHER


class Posting:
    """Writes a tick into the books."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._journal = Journal(accounts)

    def booked(self, place: str, booked: Booked, *, pool: bool) -> None:
        """Money and tokens of a pool or of a provider."""
        accounts = self._accounts
        for resource, amount in booked.cost.items():
            accounts[f.COST].add((place, resource), amount)
        if pool:
            accounts[f.IDLE].add((place,), booked.idle)
            accounts[f.GPU_TIME].add((place,), booked.gpu_ns)
            accounts[f.BUSY_TIME].add((place,), booked.busy_ns)
        for gpu, microjoules in booked.microjoules.items():
            accounts[f.ENERGY].add((place, gpu), microjoules)
        self._journal.post(place, booked.tokens, booked.spend, costs=pool)
        for (model, token), amount in booked.unpriced.items():
            accounts[f.UNPRICED].add((model, place, token), amount)
        overflow = sum(column.get(OTHER, 0) for column in booked.tokens.values())
        if overflow:
            accounts[f.OVERFLOW].add((), overflow)

    def use(self, place: str, usage: Usage) -> None:
        """Requests, as told by those who say whose they are."""
        self._journal.post_requests(place, usage.requests)

    def engines(self, pool: str, usage: Usage) -> None:
        """What engines say of themselves, whoever used them: beside what gateways report it shows what is missing."""
        accounts = self._accounts
        for (model, phase), amount in usage.nanoseconds.items():
            accounts[f.REQUEST_TIME].add((pool, model, phase), amount)
        for (model, token), amount in sums(usage.tokens).items():
            accounts[f.ENGINE_TOKENS].add((pool, model, token), amount)
        for (model, measure), amount in usage.measures.items():
            if measure == "aborted":
                accounts[f.ABORTED].add((pool, model), amount)
            elif measure in ("drafted", "accepted"):
                accounts[f.SPECULATIVE].add((pool, model, measure), amount)
