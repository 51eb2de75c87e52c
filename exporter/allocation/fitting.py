"""The fitted split of one pool: feeds every engine's ticks to the fit, and says what it has learnt.

The model of an engine that serves one model is fitted; one page with several models, or with the two phases of
disaggregated serving apart, cannot be. What is learnt lives in memory: after a restart it is learnt again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import repeat

from exporter.allocation.fitted import Fit, Rates, Work, fitted_shares, mean_context
from exporter.allocation.split import Shares
from exporter.columns import Column, Columns, merge
from exporter.config.schema import Weights
from exporter.metering.usage import Usage
from exporter.metering.window import Window
from exporter.records import NS, PROMPT_CLASSES

_SPAN_NS = 3600 * NS
_FRESH_NS = 60 * NS  # rates move slowly, and solving for them takes half a millisecond
_CLIENTS = ("done_requests", "done_prompt", "done_output")


@dataclass(frozen=True, slots=True)
class Part:
    """What one engine counted between two of its readings."""

    usage: Usage
    elapsed_ns: int  # 0: not two readings of one process


class Fitting:
    """State of one pool."""

    def __init__(self) -> None:
        self._fits: dict[str, Fit] = {}
        self._rates: dict[str, tuple[int, Rates | None]] = {}
        self._models: dict[str, str] = {}  # target -> the one model it serves
        self._done: Window[tuple[str, str]] = Window(_SPAN_NS)  # (model, what) of requests that ended on the engines
        self._clients = Contexts()  # of tenants, where a gateway tells
        self._tick: list[tuple[str, Work]] = []
        self._now_ns = 0

    def learn(self, now_ns: int, parts: Mapping[str, Part], reports: Usage | None) -> None:
        """Take one tick: what each engine counted, and what gateways report."""
        self._now_ns, self._tick = now_ns, []
        self._models = {target: model for target, model in self._models.items() if target in parts}
        self._done.add(now_ns, _ended(parts.values()))
        if reports is not None:
            self._clients.learn(now_ns, reports)
        for target, part in parts.items():
            models = {model for model, _ in part.usage.tokens}
            if len(models) == 1:
                self._models[target] = models.pop()
            elif models:
                self._models.pop(target, None)
            model = self._models.get(target)
            if model is not None and part.elapsed_ns > 0:
                work = self._work(model, part)
                self._fits.setdefault(model, Fit()).add(now_ns, work)
                self._tick.append((model, work))

    def rates(self, models: Iterable[str], cached: float) -> dict[str, Rates] | None:
        """Rates of all these models; None while those of one of them are not known. `cached`: what a cached token
        is taken to cost, relative to a computed one, until the counters say otherwise."""
        found: dict[str, Rates] = {}
        for model in models:
            since, rates = self._rates.get(model, (0, None))
            if model in self._fits and (rates is None or self._now_ns - since >= _FRESH_NS):
                rates = self._fits[model].rates(cached)
                self._rates[model] = (self._now_ns, rates)
            if rates is None:
                return None
            found[model] = rates
        return found

    def busy(self, rates: Mapping[str, Rates]) -> tuple[int, int] | None:
        """(nanoseconds at work, nanoseconds) of this tick, over the pool's engines; None when they do not tell."""
        busy = elapsed = 0
        for model, work in self._tick:
            if model in rates:
                busy += rates[model].busy_ns(work)
            elif work.steps or work.input or work.output:
                return None  # at work, and nobody knows for how long
            elapsed += work.elapsed_ns
        return (busy, elapsed) if busy > 0 else None

    def shares(self, weights: Weights, rates: Mapping[str, Rates], tokens: Columns) -> Shares:
        """Units of each entry of `tokens`, in the columns' order. `rates` has all of their models."""
        steps: dict[str, int] = {}
        for model, work in self._tick:
            steps[model] = steps.get(model, 0) + work.steps

        def contexts(model: str, column: Column) -> Iterable[float]:
            return repeat(self._context(model), len(column))

        return fitted_shares(weights, rates, tokens, steps, contexts)

    def claimed(self, weights: Weights, rates: Mapping[str, Rates], tokens: Columns) -> Shares:
        """The same for what gateways report: by the batch of the last hour, and the tenant's own contexts."""

        def contexts(model: str, column: Column) -> Iterable[float]:
            return self._clients.means(model, column, self._context(model))

        return fitted_shares(weights, rates, tokens, {}, contexts)

    def _context(self, model: str) -> float:
        """Mean context of that model's requests; of the one that is fitted, for a name that the engines do not know."""
        totals = self._done.totals
        for name in (model, next(iter(self._fits), "")):
            requests, prompt, output = (totals.get((name, kind), 0) for kind in _CLIENTS)
            if requests:
                return mean_context(prompt, output, requests)
        return 0.0

    def _work(self, model: str, part: Part) -> Work:
        tokens = {"input": 0, "cache_read": 0, "output": 0}
        for (_, token), column in part.usage.tokens.items():
            kind = {"cache_write": "input", "reasoning": "output"}.get(token, token)
            tokens[kind] += sum(column.values())
        measures = part.usage.measures
        return Work(
            elapsed_ns=part.elapsed_ns,
            steps=measures.get((model, "steps"), 0),
            context=round(tokens["output"] * self._context(model)),
            input=tokens["input"],
            cache_read=tokens["cache_read"],
            output=tokens["output"],
            prefills=measures.get((model, "done_requests"), 0),  # prefill seconds are counted when a request ends
            prefill_ns=part.usage.nanoseconds.get((model, "prefill"), 0),
            inter_tokens=measures.get((model, "inter_tokens"), 0),
            inter_token_ns=measures.get((model, "inter_token_seconds"), 0),
        )


class Contexts:
    """Mean context of each tenant's requests, per model, over the last half hour to hour.

    Two steps only: there may be tens of thousands of tenants.
    """

    def __init__(self) -> None:
        self._requests: dict[str, Window[str]] = {}  # model -> tenant -> requests that ended
        self._doubled: dict[str, Window[str]] = {}  # twice their prompts, once their answers: see mean_context

    def learn(self, now_ns: int, reports: Usage) -> None:
        """Take what ended since the last tick."""
        for model, ended in reports.requests.items():
            doubled: Column = {}
            for (name, token), column in reports.tokens.items():
                for _ in range(0 if name != model else 2 if token in PROMPT_CLASSES else 1):
                    merge(doubled, column)
            for sums, amounts in ((self._requests, ended), (self._doubled, doubled)):
                sums.setdefault(model, Window(_SPAN_NS, steps=2)).add(now_ns, amounts)

    def means(self, model: str, tenants: Iterable[str], otherwise: float) -> list[float]:
        """The mean context of each of these tenants; `otherwise` for those of whom nothing is known."""
        if model not in self._requests:
            return [otherwise for _ in tenants]
        requests, doubled = self._requests[model].totals, self._doubled[model].totals
        return [
            doubled[tenant] / 2 / requests[tenant] if tenant in requests and tenant in doubled else otherwise
            for tenant in tenants
        ]


def _ended(parts: Iterable[Part]) -> dict[tuple[str, str], int]:
    """Requests that ended in this tick and their tokens, by model."""
    ended: dict[tuple[str, str], int] = {}
    for part in parts:
        for (model, measure), amount in part.usage.measures.items():
            if measure in _CLIENTS:
                ended[model, measure] = ended.get((model, measure), 0) + amount
    return ended
