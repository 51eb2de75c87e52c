"""Whose tokens were they, when only a gateway knows: lots of engine tokens, claimed by the gateway's reports.

An engine's use is stocked as it happens, per model and phase, with the cost it carries. The gateway reports a tenant's
tokens when requests end; a report takes the oldest stock first, at that stock's own cost per token. What nobody claims
within the horizon went past the gateway and is `_unattributed`. What is claimed beyond the stock (an answer from the
gateway's cache, another backend) costs nothing. A report that comes before its stock waits for it as long.

Tokens are matched by phase, not by class: gateways differ in which cached tokens they see. Among the reports of one
tick, the cost of what they took is shared by what the pool's split says that such tokens weigh.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from exporter.allocation.split import Shares, counts, divide
from exporter.columns import Columns, Kind, merge, merge_all, nonzero, sums
from exporter.ledger.money import apportion
from exporter.records import PROMPT_CLASSES, UNATTRIBUTED, TokenClass

Weigh = Callable[[Columns], Shares]  # what tokens of one tick and phase weigh beside each other

_PROMPT, _OUTPUT = "prompt", "output"
_STEPS = 10  # reports that wait are kept in so many steps of the horizon


@dataclass(slots=True)
class Stock:
    """What is left of one tick's tokens of one model and phase, and of their cost."""

    at_ns: int
    left: int  # tokens
    cost: int  # pico-USD
    mix: dict[TokenClass, int]  # the engine's classes when it was stocked
    priced: bool

    def take(self, tokens: int) -> int:
        """Take that many of the tokens left; what they cost. The last one takes what is left of the cost."""
        cost = self.cost * tokens // self.left
        self.left -= tokens
        self.cost -= cost
        return cost


@dataclass(slots=True)
class Taken:
    """What claims or expiry took out of the stock."""

    spend: Columns = field(default_factory=dict)  # pico-USD
    tokens: Columns = field(default_factory=dict)  # only those not reported by a gateway
    unpriced: dict[Kind, int] = field(default_factory=dict)


class Claims:
    """The stock of one pool and the reports that wait for it."""

    def __init__(self, horizon_ns: int, weigh: Weigh) -> None:
        self.horizon_ns = horizon_ns
        self.weigh = weigh
        self._stock: dict[tuple[str, str], deque[Stock]] = {}  # (engine's model, phase), oldest first
        self._models: set[str] = set()  # what the engines call their models
        self._waiting: deque[tuple[int, Columns]] = deque()  # (step's start, tokens), oldest first

    @property
    def pending(self) -> int:
        """pico-USD not claimed yet."""
        return sum(stock.cost for queue in self._stock.values() for stock in queue)

    def available(self, model: str, token: TokenClass) -> int:
        """Tokens that a claim of that model and class could take."""
        return sum(stock.left for key in self._sources(model, _phase(token)) for stock in self._stock.get(key, ()))

    def stock(
        self,
        at_ns: int,
        tokens: Mapping[Kind, int],
        cost: Mapping[Kind, int],
        *,
        priced: bool,
    ) -> None:
        """Put one tick's use of the engines (model, class) on stock, with what it cost."""
        found: dict[tuple[str, str], Stock] = {}
        for (model, token), amount in tokens.items():
            self._models.add(model)
            if amount:
                key = (model, _phase(token))
                stock = found.setdefault(key, Stock(at_ns, 0, 0, {}, priced))
                stock.left += amount
                stock.cost += cost.get((model, token), 0)
                stock.mix[token] = stock.mix.get(token, 0) + amount
        for key, stock in found.items():
            self._stock.setdefault(key, deque()).append(stock)

    def claim(self, at_ns: int, reports: Columns) -> Taken:
        """Match reports, those that wait first, then let go of stock older than the horizon; who took what."""
        taken = Taken()
        waiting, self._waiting = self._waiting, deque()
        for since_ns, older in waiting:
            if since_ns > at_ns - self.horizon_ns:  # else it is counted already and stays free
                self._match(since_ns, older, taken)
        self._match(at_ns - at_ns % max(1, self.horizon_ns // _STEPS), nonzero(reports), taken)
        self._expire(at_ns - self.horizon_ns, taken)
        return taken

    def flush(self) -> Taken:
        """Everything on stock: nobody will claim it any more."""
        taken = Taken()
        self._expire(None, taken)
        return taken

    def _expire(self, before_ns: int | None, taken: Taken) -> None:
        for (model, _), queue in self._stock.items():
            while queue and (before_ns is None or queue[0].at_ns <= before_ns):
                stock = queue.popleft()
                amounts = apportion(stock.left, list(stock.mix.values()))
                tokens: Columns = {
                    (model, token): {UNATTRIBUTED: amount} for token, amount in zip(stock.mix, amounts, strict=True)
                }
                merge_all(taken.tokens, tokens)
                merge_all(taken.spend, divide(stock.cost, tokens, self.weigh(tokens)))
                if not stock.priced:
                    merge(taken.unpriced, sums(tokens))
        self._stock = {key: queue for key, queue in self._stock.items() if queue}

    def state(self) -> dict[str, Any]:
        """What the ledger keeps."""
        return {
            "models": sorted(self._models),
            "stock": [
                [*key, [[s.at_ns, s.left, s.cost, s.mix, s.priced] for s in queue]]
                for key, queue in self._stock.items()
            ],
            "waiting": [
                [at, [[tenant, *kind, n] for kind, column in reports.items() for tenant, n in column.items()]]
                for at, reports in self._waiting
            ],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what the ledger kept."""
        self._models = set(state["models"])
        self._stock = {
            (model, phase): deque(Stock(at, left, cost, mix, priced) for at, left, cost, mix, priced in queue)
            for model, phase, queue in state["stock"]
        }
        self._waiting = deque()
        for at, entries in state["waiting"]:
            reports: Columns = {}
            for tenant, model, token, amount in entries:
                reports.setdefault((model, token), {})[tenant] = amount
            self._waiting.append((at, reports))

    def _match(self, since_ns: int, reports: Columns, taken: Taken) -> None:
        groups: dict[tuple[tuple[tuple[str, str], ...], str], Columns] = {}
        for (model, token), column in reports.items():
            phase = _phase(token)
            groups.setdefault((tuple(self._sources(model, phase)), phase), {})[model, token] = column
        waits: Columns = {}
        # Claims of a model that the engines name come before those that may take from any model.
        for (sources, _), wanted in sorted(groups.items(), key=lambda group: len(group[0][0])):
            waits |= self._serve(sources, wanted, taken)
        if self._waiting and self._waiting[-1][0] == since_ns:
            merge_all(self._waiting[-1][1], waits)
        elif waits:
            self._waiting.append((since_ns, {kind: dict(column) for kind, column in waits.items()}))

    def _serve(self, sources: Iterable[tuple[str, str]], wanted: Columns, taken: Taken) -> Columns:
        """Give these reports what there is; returns the tokens that were not there."""
        asked = sum(sums(wanted).values())
        cost, unpriced, got = self._take(sources, asked)
        if not got:
            return wanted
        matched = wanted if got == asked else divide(got, wanted, counts(wanted))
        merge_all(taken.spend, divide(cost, matched, self.weigh(matched)))
        if unpriced:
            merge(taken.unpriced, sums(divide(unpriced, matched, counts(matched))))
        if matched is wanted:
            return {}
        return nonzero(
            {kind: {tenant: want - matched[kind][tenant] for tenant, want in wanted[kind].items()} for kind in wanted}
        )

    def _sources(self, model: str, phase: str) -> list[tuple[str, str]]:
        """The queues a claim may take from: the model's own, or all where the engines do not know the name (an alias,
        a LoRA adapter)."""
        if model in self._models:
            return [(model, phase)]
        return [key for key in self._stock if key[1] == phase]

    def _take(self, sources: Iterable[tuple[str, str]], wanted: int) -> tuple[int, int, int]:
        """(pico-USD, unpriced tokens, tokens) taken, oldest stock first over all sources."""
        queues = [self._stock[key] for key in sources if key in self._stock]
        cost = unpriced = got = 0
        while wanted > got:
            queue = min((queue for queue in queues if queue), key=lambda queue: queue[0].at_ns, default=None)
            if queue is None:
                break
            stock = queue[0]
            tokens = min(wanted - got, stock.left)
            cost += stock.take(tokens)
            got += tokens
            unpriced += 0 if stock.priced else tokens
            if not stock.left:
                queue.popleft()
        return cost, unpriced, got


def _phase(token: TokenClass) -> str:
    return _PROMPT if token in PROMPT_CLASSES else _OUTPUT
