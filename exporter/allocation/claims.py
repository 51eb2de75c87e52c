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

from exporter.ledger.money import apportion
from exporter.metering.usage import TokenKey
from exporter.records import PROMPT_CLASSES, UNATTRIBUTED, TokenClass

Shares = Callable[[dict[TokenKey, int]], list[int]]  # what tokens of one tick and phase weigh beside each other

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

    spend: dict[TokenKey, int] = field(default_factory=dict)  # pico-USD
    tokens: dict[TokenKey, int] = field(default_factory=dict)  # only those not reported by a gateway
    unpriced: dict[tuple[str, TokenClass], int] = field(default_factory=dict)


class Claims:
    """The stock of one pool and the reports that wait for it."""

    def __init__(self, horizon_ns: int, shares: Shares) -> None:
        self.horizon_ns = horizon_ns
        self.shares = shares
        self._stock: dict[tuple[str, str], deque[Stock]] = {}  # (engine's model, phase), oldest first
        self._models: set[str] = set()  # what the engines call their models
        self._waiting: deque[tuple[int, dict[TokenKey, int]]] = deque()  # (step's start, tokens), oldest first

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
        tokens: Mapping[tuple[str, TokenClass], int],
        cost: Mapping[tuple[str, TokenClass], int],
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

    def claim(self, at_ns: int, reports: Mapping[TokenKey, int]) -> Taken:
        """Match reports, those that wait first, then let go of stock older than the horizon; who took what."""
        taken = Taken()
        reports = {key: amount for key, amount in reports.items() if amount}
        waiting, self._waiting = self._waiting, deque()
        for since_ns, older in waiting:
            if since_ns > at_ns - self.horizon_ns:  # else it is counted already and stays free
                self._match(since_ns, older, taken)
        self._match(at_ns - at_ns % max(1, self.horizon_ns // _STEPS), reports, taken)
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
                classes = list(stock.mix)
                amounts = apportion(stock.left, [stock.mix[token] for token in classes])
                keys = [(UNATTRIBUTED, model, token) for token in classes]
                costs = apportion(stock.cost, self.shares(dict(zip(keys, amounts, strict=True))))
                for key, token, amount, cost in zip(keys, classes, amounts, costs, strict=True):
                    taken.spend[key] = taken.spend.get(key, 0) + cost
                    taken.tokens[key] = taken.tokens.get(key, 0) + amount
                    if not stock.priced:
                        taken.unpriced[model, token] = taken.unpriced.get((model, token), 0) + amount
        self._stock = {key: queue for key, queue in self._stock.items() if queue}

    def state(self) -> dict[str, Any]:
        """What the ledger keeps."""
        return {
            "models": sorted(self._models),
            "stock": [
                [*key, [[s.at_ns, s.left, s.cost, s.mix, s.priced] for s in queue]]
                for key, queue in self._stock.items()
            ],
            "waiting": [[at, [[*key, amount] for key, amount in reports.items()]] for at, reports in self._waiting],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what the ledger kept."""
        self._models = set(state["models"])
        self._stock = {
            (model, phase): deque(Stock(at, left, cost, mix, priced) for at, left, cost, mix, priced in queue)
            for model, phase, queue in state["stock"]
        }
        self._waiting = deque(
            (at, {(tenant, model, token): amount for tenant, model, token, amount in reports})
            for at, reports in state["waiting"]
        )

    def _match(self, since_ns: int, reports: Mapping[TokenKey, int], taken: Taken) -> None:
        of_class: dict[tuple[str, TokenClass], list[TokenKey]] = {}
        for key in reports:
            _, model, token = key
            same = of_class.get((model, token))
            if same is None:
                same = of_class[model, token] = []
            same.append(key)
        groups: dict[tuple[tuple[tuple[str, str], ...], str], list[TokenKey]] = {}
        for (model, token), keys in of_class.items():
            phase = _phase(token)
            groups.setdefault((tuple(self._sources(model, phase)), phase), []).extend(keys)
        waits: dict[TokenKey, int] = {}
        # Claims of a model that the engines name come before those that may take from any model.
        for (sources, _), keys in sorted(groups.items(), key=lambda group: len(group[0][0])):
            waits |= self._serve(sources, keys, [reports[key] for key in keys], taken)
        if self._waiting and self._waiting[-1][0] == since_ns:
            last = self._waiting[-1][1]
            for key, amount in waits.items():
                last[key] = last.get(key, 0) + amount
        elif waits:
            self._waiting.append((since_ns, waits))

    def _serve(
        self, sources: Iterable[tuple[str, str]], keys: list[TokenKey], wanted: list[int], taken: Taken
    ) -> dict[TokenKey, int]:
        """Give these reports what there is; returns the tokens that were not there."""
        cost, unpriced, got = self._take(sources, sum(wanted))
        if not got:
            return dict(zip(keys, wanted, strict=True))
        matched = wanted if got == sum(wanted) else apportion(got, wanted)
        spend = taken.spend
        shares = self.shares(dict(zip(keys, matched, strict=True)))
        for key, part in zip(keys, apportion(cost, shares), strict=True):
            spend[key] = spend.get(key, 0) + part
        for key, part in zip(keys, apportion(unpriced, matched), strict=True) if unpriced else ():
            name = (key[1], key[2])
            taken.unpriced[name] = taken.unpriced.get(name, 0) + part
        if matched is wanted:
            return {}
        return {key: want - have for key, want, have in zip(keys, wanted, matched, strict=True) if want > have}

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
