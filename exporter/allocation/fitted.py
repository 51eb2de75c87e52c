"""What a token costs in seconds of the engine, fitted to the engine's own counters.

Continuous batching makes request-seconds a poor measure: a second of a step with forty requests in it is counted forty
times for generation and once for the prompt that fills the step. What an engine does with its time is, to first order,

    elapsed = step x steps + context x context read + input x prompt tokens computed + cached x prompt tokens from cache

where a generated token reads its request's context so far. Every scrape of an engine that was busy all the time is one
such equation, an hour has hundreds, and their non-negative least squares gives the four rates in seconds. A step's
fixed time (it reads the model's weights) belongs to the tokens that came out of it: an output token is dear when the
batch is small and cheap when it is large, at each tick by that tick's batch.

An engine that is often idle has few such scrapes. Two more equations hold the fit there, from sums over the window:

    prefill seconds = step x prompts + what the other prompts and the generating requests of its steps add
    decode  seconds = step x tokens after the first + what its own context, the others' and all prompts add

where by Little's law `running`, the requests that generate at a time, is decode seconds over elapsed time, and
`overlap`, the prompts in a step that has one, is one more than prefill seconds over elapsed time.

Pure and deterministic; floats do not leave this file but as units.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import combinations
from math import sqrt

from exporter.allocation.split import Shares, weighing
from exporter.columns import Column, Columns
from exporter.config.schema import Weights
from exporter.records import NS, OUTPUT_CLASSES, PROMPT_CLASSES, TokenClass

_SCALE = 10**15  # units are femtoseconds
_SPAN_NS, _BUCKETS = 3600 * NS, 60
_FULL = 0.9  # of a tick: from here on the engine was busy all the time
_LEAST_TICKS = 10  # busy ticks before they say how well the equation fits
# Relative standard deviations of what is not exact; ten times as much changes little (tests/accuracy).
_TICK, _TICK_FLOOR, _PREFILL, _DECODE = 0.1, 0.01, 0.1, 0.05
_ALIKE = 30  # ticks that say the same: requests last for many, and their context is itself an estimate
# Under a constant load the time of a step and that of its context grow together, and no counter tells them apart. What
# does is the machine: a step reads the weights once, a prompt token computes with each of them once, so a step takes as
# long as some number of prompt tokens, the FLOP per byte of the GPU. Data sheets: A100 153, H200 206, H100 295, reached
# about two thirds of it. Weak: one standard deviation is as much again.
_RIDGE = 150

Row = tuple[float, ...]  # step, context, input, cached, = seconds
_WIDTH = 5


@dataclass(frozen=True, slots=True)
class Work:
    """What one engine counted between two scrapes, or sums of it."""

    elapsed_ns: int = 0
    steps: int = 0  # vllm:iteration_tokens_total_count
    context: int = 0  # output tokens x mean context of their tenant's requests, see `mean_context`
    input: int = 0  # prompt tokens computed
    cache_read: int = 0  # prompt tokens from the cache
    output: int = 0
    prefills: int = 0  # vllm:request_prefill_time_seconds_count
    prefill_ns: int = 0  # vllm:request_prefill_time_seconds_sum
    inter_tokens: int = 0  # vllm:inter_token_latency_seconds_count
    inter_token_ns: int = 0  # vllm:inter_token_latency_seconds_sum

    def __add__(self, other: Work) -> Work:
        return Work(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))

    @property
    def full(self) -> bool:
        """The engine was busy all the time (its steps, as long as the mean one, fill it), and its context is known."""
        return self.steps * self.inter_token_ns >= _FULL * self.elapsed_ns * self.inter_tokens > 0 < self.context


@dataclass(frozen=True, slots=True)
class Rates:
    """Seconds of the engine, for each step and for each token."""

    step: float
    context: float
    input: float
    cache_read: float
    steps_per_output: float  # over the window

    def busy_ns(self, work: Work) -> int:
        """How much of the elapsed time the engine was at work, in nanoseconds."""
        seconds = self.step * work.steps + self.context * work.context
        seconds += self.input * work.input + self.cache_read * work.cache_read
        return min(work.elapsed_ns, round(seconds * NS))


@dataclass(slots=True)
class _Bucket:
    at_ns: int
    work: Work = field(default_factory=Work)
    full: int = 0  # ticks that were busy all the time
    gram: list[float] = field(default_factory=lambda: [0.0] * _WIDTH**2)  # their equations, relative to their length


class Fit:
    """The trailing hour of one model on the engines of one pool, which are alike."""

    def __init__(self) -> None:
        self._buckets: deque[_Bucket] = deque()

    def add(self, now_ns: int, work: Work) -> None:
        """One engine's tick that ended at `now_ns` (the pool's clock)."""
        if not self._buckets or now_ns - self._buckets[-1].at_ns >= _SPAN_NS // _BUCKETS:
            self._buckets.append(_Bucket(now_ns))
        while self._buckets[0].at_ns <= now_ns - _SPAN_NS:
            self._buckets.popleft()
        bucket = self._buckets[-1]
        bucket.work += work
        if work.full:
            bucket.full += 1
            row = (work.steps, work.context, work.input, work.cache_read, work.elapsed_ns / NS)
            _accumulate(bucket.gram, row, work.elapsed_ns / NS)

    def rates(self, cache_read: float) -> Rates | None:
        """`cache_read`: what a cached token is taken to cost, relative to a computed one, until the counters say
        otherwise. None when no request was seen through both phases: then they say nothing."""
        sums = sum((bucket.work for bucket in self._buckets), Work())
        elapsed, prefill, decode = sums.elapsed_ns / NS, sums.prefill_ns / NS, sums.inter_token_ns / NS
        if min(elapsed, sums.steps, sums.input, sums.output, sums.prefills, sums.inter_tokens, prefill, decode) <= 0:
            return None
        running, overlap = decode / elapsed, 1 + prefill / elapsed
        own = (1 + running) * sums.context
        beside = running * sums.context / sums.output  # tokens of context in a step
        most = prefill / (overlap * sums.input)  # what a computed token costs at most
        ticks = [sum(parts) for parts in zip(*(bucket.gram for bucket in self._buckets), strict=True)]
        full = sum(bucket.full for bucket in self._buckets)
        spread = _spread(ticks, full)
        gram = [value / spread**2 / _ALIKE for value in ticks]
        _accumulate(gram, (1, 0, -_RIDGE, 0, 0), _RIDGE * most)
        if full <= _LEAST_TICKS:
            _accumulate(gram, (0, 1, 0, 0, 0), _TICK_FLOOR * decode / max(own, 1))  # too few to tell it from the rest
        # The more overlap there is, the worse it is known.
        prompts = (sums.prefills, sums.prefills * beside, overlap * sums.input, overlap * sums.cache_read, prefill)
        _accumulate(gram, prompts, _PREFILL * overlap**2 * prefill)
        tokens = (sums.inter_tokens, own, running * sums.input, running * sums.cache_read, decode)
        _accumulate(gram, tokens, _DECODE * decode)
        _accumulate(gram, (0, 0, -cache_read, 1, 0), max(cache_read, _TICK_FLOOR) * most)
        step, context, computed, cached = _solve(gram)
        return Rates(step, context, computed, cached, sums.steps / sums.output)


def mean_context(prompt: int, output: int, requests: int) -> float:
    """Tokens of context that an output token reads, on average: its prompt and half the answer.

    Of the requests of one tenant that finished in a window: tokens of their prompts, cached ones too, and of their
    answers. All three must be of the same requests: what an engine counts while they run says too much. 0: unknown.
    """
    return (prompt + output / 2) / requests if requests else 0.0


def fitted_shares(
    weights: Weights,
    rates: Mapping[str, Rates],
    tokens: Columns,
    steps: Mapping[str, int],
    contexts: Callable[[str, Column], Iterable[float]],
) -> Shares:
    """Units of each entry of `tokens` of one tick, in the columns' order: what split.shares is for other methods.

    `rates` and `steps` (of this tick) by model; `contexts` gives the mean context of each tenant of a model's column.
    A unit is a femtosecond of an engine, so that models of one pool compare.
    """
    found: Shares = {}
    for (model, token), column in tokens.items():
        rate = rates[model]
        if token in PROMPT_CLASSES:
            unit = round(_prompt_seconds(weights, rate, token) * _SCALE)
            found[model, token] = [amount * unit for amount in column.values()]
            continue
        ran = steps.get(model, 0)
        out = sum(sum(tokens.get((model, kind), {}).values()) for kind in OUTPUT_CLASSES) if ran else 0
        steady = rate.step * (ran / out if ran and out else rate.steps_per_output) * _SCALE
        slope = rate.context * _SCALE
        reads = contexts(model, column)
        found[model, token] = [n * round(steady + slope * read) for n, read in zip(column.values(), reads, strict=True)]
    return weighing(tokens, found)


def _prompt_seconds(weights: Weights, rate: Rates, token: TokenClass) -> float:
    """Per token."""
    if token == "cache_write":  # noqa: S105 - a class of tokens
        return rate.input * float(weights.cache_write / (weights.input or 1))
    return rate.cache_read if token == "cache_read" else rate.input  # noqa: S105


def _accumulate(gram: list[float], row: Row, deviation: float) -> None:
    scaled = [value / deviation for value in row]
    for i, a in enumerate(scaled):
        for j, b in enumerate(scaled):
            gram[i * _WIDTH + j] += a * b


def _spread(gram: Sequence[float], count: int) -> float:
    """By how much of itself a busy tick misses the equation."""
    if count <= _LEAST_TICKS:
        return _TICK
    row = (*_solve(gram), -1.0)
    missed = sum(row[i] * row[j] * gram[i * _WIDTH + j] for i in range(_WIDTH) for j in range(_WIDTH))
    return max(_TICK_FLOOR, sqrt(max(0.0, missed) / (count - _WIDTH)))


def _solve(gram: Sequence[float]) -> Row:
    """Non-negative least squares in four unknowns: the best of the solutions with some of them left at zero."""
    last = _WIDTH - 1
    best, gain = (0.0,) * last, 0.0
    for size in range(last, 0, -1):
        for support in combinations(range(last), size):
            right = [gram[i * _WIDTH + last] for i in support]
            found = _linear([[gram[i * _WIDTH + j] for j in support] for i in support], right)
            if found is None or min(found) < 0:
                continue
            explained = sum(a * b for a, b in zip(found, right, strict=True))
            if explained > gain * (1 + 1e-12):
                solution = dict(zip(support, found, strict=True))
                best, gain = tuple(solution.get(i, 0.0) for i in range(last)), explained
    return best


def _linear(matrix: list[list[float]], right: list[float]) -> list[float] | None:
    """Solve a small symmetric system by elimination, its columns scaled first; None when it is singular."""
    scale = [sqrt(matrix[i][i]) for i in range(len(right))]
    if not all(scale):
        return None
    m = [[value / (scale[i] * scale[j]) for j, value in enumerate(row)] for i, row in enumerate(matrix)]
    y = [value / scale[i] for i, value in enumerate(right)]
    for i in range(len(y)):
        if m[i][i] < 1e-9:  # of a correlation matrix: nothing is left of this column
            return None
        for k in range(i + 1, len(y)):
            factor = m[k][i] / m[i][i]
            m[k] = [a - factor * b for a, b in zip(m[k], m[i], strict=True)]
            y[k] -= factor * y[i]
    for i in reversed(range(len(y))):
        y[i] = (y[i] - sum(m[i][k] * y[k] for k in range(i + 1, len(y)))) / m[i][i]
    return [value / scale[i] for i, value in enumerate(y)]
