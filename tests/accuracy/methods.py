"""The splits under test. Each is told what the exporter is told, tick by tick, and says what a token of each class
has cost in this tick, in its own units, and for how much of the tick the engine was at work: all of it, where tokens
moved and nothing better is known. `busy known` is told the truth of the latter, as an ideal GPU utilisation would."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import pairwise

from exporter.allocation.fitted import Fit, Work, fitted_shares, mean_context
from exporter.allocation.fitting import Part
from exporter.allocation.lots import Seen
from exporter.allocation.pool import PoolBook
from exporter.allocation.split import Shares, Units, divide, shares, timed_units, weight_shares
from exporter.columns import Column, Columns, merge, nonzero, sums
from exporter.config.schema import Pool, Weights
from exporter.metering.usage import Usage
from exporter.metering.window import Window
from exporter.pricing.book import PriceBook
from exporter.records import NS, TokenClass
from tests.accuracy.batching import Page, Run

MODEL = "m"
WEIGHTS = Weights()
HOUR = 3600 * NS
_CLASSES: tuple[TokenClass, ...] = ("input", "cache_read", "output")
_DONE = ("requests", "prompt", "output")
_FEMTO = 10**15


@dataclass(frozen=True, slots=True)
class Tick:
    """What grew between two scrapes."""

    at_ns: int
    tokens: Columns
    done: dict[str, tuple[int, ...]]  # tenant -> finished requests, their prompt and output tokens
    work: Work  # without context, which is the method's own estimate
    decode_ns: int
    busy_ns: int  # the truth; for the reference row only

    def amounts(self) -> dict[tuple[str, str], int]:
        """As the pool's window keeps them: (model, class) -> tokens, (model, phase) -> nanoseconds."""
        timed: dict[tuple[str, str], int] = {
            (MODEL, "prefill"): self.work.prefill_ns,
            (MODEL, "decode"): self.decode_ns,
        }
        return timed | sums(self.tokens)


Charge = tuple[Shares, int]  # units of each entry of the tick's tokens, nanoseconds of the tick that were used
Method = Callable[[Tick], Charge]


def ticks(run: Run) -> Iterator[Tick]:
    """The growth from page to page."""
    for before, page in pairwise(run.pages):
        tokens: Columns = {}
        for (tenant, token), amount in page.tokens.items():
            if grown := amount - before.tokens.get((tenant, token), 0):
                tokens.setdefault((MODEL, token), {})[tenant] = grown
        total = {token: sum(tokens.get((MODEL, token), {}).values()) for token in _CLASSES}
        work = Work(
            elapsed_ns=_ns(before, page, "at"),
            steps=page.iterations - before.iterations,
            input=total["input"],
            cache_read=total["cache_read"],
            output=total["output"],
            prefills=page.finished - before.finished,
            prefill_ns=_ns(before, page, "prefill"),
            inter_tokens=page.inter_tokens - before.inter_tokens,
            inter_token_ns=_ns(before, page, "inter_token"),
        )
        done = {
            tenant: tuple(now - then for now, then in zip(counts, before.done.get(tenant, (0, 0, 0)), strict=True))
            for tenant, counts in page.done.items()
        }
        yield Tick(round(page.at * NS), tokens, done, work, _ns(before, page, "decode"), _ns(before, page, "busy"))


def charged(run: Run, method: Method) -> dict[str, float]:
    """Each tenant's share of all that was charged, by the exporter's own arithmetic, tick by tick."""
    spent: dict[str, int] = {}
    for tick in ticks(run):
        units, used_ns = method(tick)
        if tick.tokens:
            for column in divide(used_ns, tick.tokens, units).values():
                merge(spent, column)
    total = sum(spent.values())
    return {tenant: amount / total for tenant, amount in spent.items()}


def booked(run: Run) -> dict[str, float]:
    """The exporter's own books, whole: the engine's page names no tenant, a gateway reports what ended."""
    end = {"url": "http://engine/metrics"}
    text = {"name": "p", "endpoints": [end], "gpus": {"count": Decimal(1)}, "usd_per_gpu_hour": Decimal(1)}
    book = PoolBook(Pool.model_validate(text), PriceBook(()), 0)
    spent: dict[str, int] = {}
    for before, page in pairwise(run.pages):
        usage, elapsed = _engine_usage(before, page), _ns(before, page, "at")
        reports = Usage()
        for tenant, counts in page.done.items():
            requests, prompt, output = (
                now - then for now, then in zip(counts, before.done.get(tenant, (0, 0, 0)), strict=True)
            )
            cached = page.done_cached[tenant] - before.done_cached.get(tenant, 0)
            reports.requests.setdefault(MODEL, {})[tenant] = requests
            for token, amount in zip(_CLASSES, (prompt - cached, cached, output), strict=True):
                reports.tokens.setdefault((MODEL, token), {})[tenant] = amount
        seen = Seen.USED if nonzero(usage.tokens) else Seen.QUIET
        now = round(page.at * NS)
        result = book.tick(now - elapsed, now, usage, seen, reports, {"engine": Part(usage, elapsed)})
        for column in result.spend.values():
            merge(spent, column)
    total = sum(spent.values())
    return {tenant: amount / total for tenant, amount in spent.items()}


def _engine_usage(before: Page, page: Page) -> Usage:
    usage = Usage()
    for (tenant, token), amount in page.tokens.items():
        column = usage.tokens.setdefault((MODEL, token), {})
        merge(column, {"default": amount - before.tokens.get((tenant, token), 0)})
    done = [sum(counts[i] for counts in page.done.values()) for i in range(3)]
    then = [sum(counts[i] for counts in before.done.values()) for i in range(3)]
    usage.measures = {
        (MODEL, "steps"): page.iterations - before.iterations,
        (MODEL, "inter_tokens"): page.inter_tokens - before.inter_tokens,
        (MODEL, "inter_token_seconds"): _ns(before, page, "inter_token"),
        (MODEL, "done_requests"): done[0] - then[0],
        (MODEL, "done_prompt"): done[1] - then[1],
        (MODEL, "done_output"): done[2] - then[2],
    }
    usage.nanoseconds = {
        (MODEL, "prefill"): _ns(before, page, "prefill"),
        (MODEL, "decode"): _ns(before, page, "decode"),
    }
    return usage


def weights(run: Run) -> Method:
    """Fixed ratios."""
    return lambda tick: (weight_shares(WEIGHTS, tick.tokens), tick.work.elapsed_ns)


def compute_time(run: Run) -> Method:
    """Prefill and decode request-seconds over a trailing hour. (Over each tick alone the errors are the same.)"""
    window: Window[tuple[str, str]] = Window(HOUR)

    def charge(tick: Tick) -> Charge:
        window.add(tick.at_ns, tick.amounts())
        units = timed_units(WEIGHTS, [MODEL], window.totals)
        found = shares(tick.tokens, units) if units else weight_shares(WEIGHTS, tick.tokens)
        return found, tick.work.elapsed_ns

    return charge


def opencost(run: Run) -> Method:
    """OpenCost (pkg/inferencecost and docs/inference-cost-tracking.md, 2026): prompts weigh the growth of
    request_prefill_time_seconds_sum, generation that of request_time_per_output_token_seconds_sum, a cached prompt
    token as much as any other.

    It knows no tenants: its two rates, of the whole run, are applied to each tenant's tokens of the whole run.
    """
    last = run.pages[-1]
    generated = sum(amount for (_, kind), amount in last.tokens.items() if kind == "output")
    prompt = sum(last.tokens.values()) - generated
    per_prompt = round(last.prefill / prompt * _FEMTO)
    per_output = round(last.time_per_output_token / generated * _FEMTO)
    units: Units = {(MODEL, "input"): per_prompt, (MODEL, "cache_read"): per_prompt, (MODEL, "output"): per_output}

    def charge(tick: Tick) -> Charge:
        found = shares(tick.tokens, units)
        return found, sum(map(sum, found.values()))

    return charge


def fitted(run: Run) -> Method:
    """Rates fitted to the engine's counters over a trailing hour, which also say how much of a tick was used."""
    fit = Fit()
    window: Window[tuple[str, str]] = Window(HOUR)

    def charge(tick: Tick) -> Charge:
        for tenant, counts in tick.done.items():
            growth = {(tenant, kind): count for kind, count in zip(_DONE, counts, strict=True)}
            window.add(tick.at_ns, growth)

        def contexts(_model: str, column: Column) -> list[float]:
            done = ([window.totals.get((tenant, kind), 0) for kind in _DONE] for tenant in column)
            return [mean_context(prompt, output, requests) for requests, prompt, output in done]

        written = tick.tokens.get((MODEL, "output"), {})
        context = sum(n * read for n, read in zip(written.values(), contexts(MODEL, written), strict=True))
        work = replace(tick.work, context=round(context))
        fit.add(tick.at_ns, work)
        rates = fit.rates(float(WEIGHTS.cache_read / WEIGHTS.input))
        if rates is None:
            return weight_shares(WEIGHTS, tick.tokens), work.elapsed_ns
        units = fitted_shares(WEIGHTS, {MODEL: rates}, tick.tokens, {MODEL: work.steps}, contexts)
        return units, rates.busy_ns(work)

    return charge


def told(method: Callable[[Run], Method], used: Callable[[Tick], int]) -> Callable[[Run], Method]:
    """The split of `method`, with another opinion of how much of a tick was used."""

    def make(run: Run) -> Method:
        inner = method(run)
        return lambda tick: (inner(tick)[0], used(tick))

    return make


BOOKS = "the exporter's books, behind a gateway"
METHODS: dict[str, Callable[[Run], Method]] = {
    "weights": weights,
    "compute_time": compute_time,
    "opencost": opencost,
    "fitted": fitted,
    "weights, busy known": told(weights, lambda tick: tick.busy_ns),
    "compute_time, busy known": told(compute_time, lambda tick: tick.busy_ns),
    "opencost, busy known": told(opencost, lambda tick: tick.busy_ns),
    "fitted, busy from tokens": told(fitted, lambda tick: tick.work.elapsed_ns),
}


def _ns(before: Page, page: Page, name: str) -> int:
    seconds: float = getattr(page, name) - getattr(before, name)
    return round(seconds * NS)
