"""One engine with continuous batching, step by step, in which the true GPU-seconds of every tenant are known.

The scheduler is vLLM's in outline (V1, chunked prefill): a step gives every running request one token, then fills the
token budget with prompt chunks, first come first served; a request enters when a seat and room for its KV cache are
free; the cached part of a prompt is not computed; the step that ends a prompt yields its first token. Not modelled:
preemption, speculative decoding, cancelled requests.

A step lasts as long as its roofline says (Williams et al., CACM 2009): an operator takes the longer of its arithmetic
and its memory traffic, plus a fixed overhead a step. The linear layers read the weights once for all tokens of the
step; attention reads each request's own context. `physics="step"` takes one roofline over the whole step instead, with
perfect overlap; reality lies between.

What is true is a definition, for some work is shared: weights are read once for the whole batch. TRUTHS names three.
All give a request its own attention, and conserve every step's time exactly.

- `shapley`, the headline: the Aumann-Shapley shares of the step as a cost game, the only ones that are additive,
  symmetric and continuous in the load (Aumann & Shapley, Values of Non-Atomic Games, 1974). Closed form: reading the
  weights and the overhead are a fixed cost, equal for every request in the step; time beyond it goes by arithmetic.
- `binding`: only what bounds the step is charged. Bound by arithmetic: by arithmetic; by memory: reading the weights
  equally. A token that rides along in another's compute-bound step is nearly free.
- `tokens`: the weights and the overhead are shared by tokens in the step, so a chunk pays for nearly all of its step.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from typing import Literal

from exporter.records import TokenClass

TRUTHS = ("shapley", "binding", "tokens")
Physics = Literal["operator", "step"]


@dataclass(frozen=True, slots=True)
class Machine:
    """GPUs and a model on them, as one roofline. Rates are what is reached, not the data sheet's."""

    flops: float  # per second
    bandwidth: float  # bytes per second
    params: float
    kv_bytes: int  # per token of context
    attention_flops: float  # per pair of (new token, context token)
    kv_tokens: int  # room in the KV cache
    overhead: float  # seconds per step
    weight_bytes: float = 2.0  # per parameter
    budget: int = 8192  # tokens per step, vLLM's default for a server on an H100
    seats: int = 256  # requests in a step


def machine(
    gpus: int, params: float, *, layers: int, hidden: int, overhead: float, peak: float, read: float
) -> Machine:
    """From the data sheet (`peak` bf16 FLOP/s, `read` bytes/s, a GPU of 80 GB) and the model card.

    Taken as reached: 55 % of peak arithmetic and 80 % of peak bandwidth, the order that published serving benchmarks
    see. The shares hardly depend on it. All models here have 8 KV heads of 128 in bf16.
    """
    kv_bytes = layers * 2 * 8 * 128 * 2
    return Machine(
        flops=gpus * peak * 0.55,
        bandwidth=gpus * read * 0.8,
        params=params,
        kv_bytes=kv_bytes,
        attention_flops=4.0 * hidden * layers,  # QK and AV, multiply and add
        kv_tokens=int((gpus * 80e9 * 0.9 - 2 * params) / kv_bytes),
        overhead=overhead,
    )


_H100, _A100 = (989e12, 3.35e12), (312e12, 2.04e12)  # SXM data sheets: dense bf16 FLOP/s, bytes/s
# Llama 3.1 model cards. The overhead is what keeps a small batch from its roofline: launches, sampling, scheduling,
# and with tensor parallelism the all-reduces.
MACHINES = {
    "8B on H100": machine(1, 8.03e9, layers=32, hidden=4096, overhead=0.0015, peak=_H100[0], read=_H100[1]),
    "70B on 4 H100": machine(4, 70.6e9, layers=80, hidden=8192, overhead=0.003, peak=_H100[0], read=_H100[1]),
    "8B on A100": machine(1, 8.03e9, layers=32, hidden=4096, overhead=0.0025, peak=_A100[0], read=_A100[1]),
}


@dataclass(frozen=True, slots=True)
class Request:
    """`prompt` contains `cached`, as vLLM's counters have it."""

    at: float
    tenant: str
    prompt: int
    cached: int
    output: int


@dataclass(slots=True)
class Page:
    """What an exporter can see at one scrape: counters since the start. As in vLLM, seconds of a
    request are counted when it finishes, inter-token latency and output tokens at every step, and a prompt's tokens at
    the first output token."""

    at: float = 0.0
    tokens: dict[tuple[str, TokenClass], int] = field(default_factory=dict)  # (tenant, class), classes disjoint
    done: dict[str, tuple[int, int, int]] = field(default_factory=dict)  # tenant -> finished requests, their tokens
    done_cached: dict[str, int] = field(default_factory=dict)  # tenant -> of those tokens, prompt tokens from the cache
    finished: int = 0  # the count of each of the next four
    queue: float = 0.0
    prefill: float = 0.0
    decode: float = 0.0
    time_per_output_token: float = 0.0  # the sum of each request's mean
    inter_tokens: int = 0
    inter_token: float = 0.0
    iterations: int = 0  # steps that yielded a token: vllm:iteration_tokens_total_count
    busy: float = 0.0  # the truth; no method may use it


@dataclass(slots=True)
class Run:
    """Pages, and the truth: GPU-seconds by definition and tenant."""

    pages: list[Page]
    truth: dict[str, dict[str, float]]
    busy: float
    seconds: float


@dataclass(slots=True)
class _Job:
    request: Request
    scheduled: float
    done: int  # tokens of the prompt in the KV cache
    own: list[float] = field(default_factory=lambda: [0.0] * len(TRUTHS))
    first: float = 0.0
    entered: int = 0  # the step in which it began to decode
    marks: list[tuple[float, float, float]] = field(default_factory=list)  # the engine's sums at that step


class Engine:
    """The simulation. No decoding request is touched in a step: what a step charges it is equal + rate x its context,
    so running sums of equal, rate and rate x step number settle a request when it finishes."""

    def __init__(self, machine: Machine, physics: Physics = "operator", scrape: float = 15.0) -> None:
        self.m, self.physics, self.scrape = machine, physics, scrape
        self.now = 0.0
        self.waiting: deque[Request] = deque()
        self.prefilling: deque[_Job] = deque()
        self.decoding: list[tuple[int, int, _Job]] = []  # heap of (step at which it ends, order, job)
        self.context = 0  # tokens of context of all that decode
        self.reserved = 0  # tokens of KV cache
        self.steps = 0
        self.order = 0
        self.sums = [(0.0, 0.0, 0.0)] * len(TRUTHS)  # equal, rate, rate x step number
        self.truth: dict[str, dict[str, float]] = {name: {} for name in TRUTHS}
        self.page = Page()
        self.pages: list[Page] = []
        self.writers: dict[str, int] = {}  # tenant -> requests that decode
        self.written: dict[str, int] = {}  # tenant -> step up to which its output is counted

    def run(self, requests: Iterable[Request]) -> Run:
        """Serve all of them, to the last token."""
        for request in requests:
            while self.now < request.at and (self.waiting or self.prefilling or self.decoding):
                self.step()
            if self.now < request.at:
                self._pass(request.at)
            self.waiting.append(request)
        while self.waiting or self.prefilling or self.decoding:
            self.step()
        self._pass(self.now + 2 * self.scrape)
        return Run(self.pages, self.truth, self.page.busy, self.now)

    def step(self) -> None:
        """One forward pass over the batch."""
        m, context = self.m, self.context
        chunks = self._schedule()
        seats = len(self.decoding) + len(chunks)
        tokens = len(self.decoding) + sum(size for _, size in chunks)
        pairs = [size * (job.done + size / 2) for job, size in chunks]
        reads = [job.done + size for job, size in chunks]
        compute, weights = 2 * m.params * tokens / m.flops, m.weight_bytes * m.params / m.bandwidth
        token, flop, read = compute / tokens, m.attention_flops / m.flops, m.kv_bytes / m.bandwidth
        if self.physics == "operator":
            own = [max(flop * pair, read * length) for pair, length in zip(pairs, reads, strict=True)]
            rate = max(flop, read)
            seconds = max(compute, weights) + rate * context + sum(own) + m.overhead
            beyond = max(0.0, 1 - weights / compute)  # of the arithmetic, what reading the weights does not hide
            bound = compute > weights
            owns, rates = [own] * 3, [rate] * 3
        else:
            work = compute + flop * (context + sum(pairs))
            traffic = read * (context + sum(reads))
            seconds = max(work, weights + traffic) + m.overhead
            beyond = max(0.0, 1 - weights / (work - traffic)) if work > traffic else 0.0
            bound = work > weights + traffic
            rates = [beyond * flop + (1 - beyond) * read] + [flop if bound else read] * 2
            owns = [
                [beyond * flop * pair + (1 - beyond) * read * length for pair, length in zip(pairs, reads, strict=True)]
            ]
            owns += [[flop * pair for pair in pairs] if bound else [read * length for length in reads]] * 2
        shares = (  # by definition: what every request pays, and what every token
            ((weights + m.overhead) / seats, beyond * token),
            (m.overhead / seats, token) if bound else ((weights + m.overhead) / seats, 0.0),
            (0.0, (compute if bound else weights) / tokens + m.overhead / tokens),
        )
        for index, (each, by_token) in enumerate(shares):
            equal, rate_sum, rate_steps = self.sums[index]
            rate = rates[index]
            self.sums[index] = (equal + each + by_token, rate_sum + rate, rate_steps + rate * self.steps)
            for (job, size), attention in zip(chunks, owns[index], strict=True):
                job.own[index] += each + by_token * size + attention
        self._pass(self.now + seconds)
        self._end_step(seconds, chunks)

    def _schedule(self) -> list[tuple[_Job, int]]:
        left = self.m.budget - len(self.decoding)
        chunks = []
        for job in self.prefilling:
            size = min(left, job.request.prompt - job.done)
            if size:
                chunks.append((job, size))
                left -= size
        while self.waiting and left and len(self.prefilling) + len(self.decoding) < self.m.seats:
            request = self.waiting[0]
            room = request.prompt + request.output
            if self.reserved + room > self.m.kv_tokens and self.reserved:
                break
            self.waiting.popleft()
            self.reserved += room
            job = _Job(request, self.now, request.cached)
            self.prefilling.append(job)
            size = min(left, request.prompt - job.done)
            chunks.append((job, size))
            left -= size
        return chunks

    def _end_step(self, seconds: float, chunks: list[tuple[_Job, int]]) -> None:
        page, before = self.page, len(self.decoding)
        self.steps += 1
        self.context += before
        page.busy += seconds
        page.inter_tokens += before
        page.inter_token += before * seconds
        for job, size in chunks:
            job.done += size
        ended = [job for job, _ in chunks if job.done == job.request.prompt]
        page.iterations += bool(before or ended)
        while self.decoding and self.decoding[0][0] == self.steps:
            self._finish(heappop(self.decoding)[2])
        for job in ended:
            self._first_token(job)

    def _first_token(self, job: _Job) -> None:
        request = job.request
        self.prefilling.remove(job)
        self._write(request.tenant, 1)
        job.first, job.entered, job.marks = self.now, self.steps, list(self.sums)
        self.context += request.prompt + 1
        self.order += 1
        heappush(self.decoding, (self.steps + request.output - 1, self.order, job))
        self._count(request.tenant, "input", request.prompt - request.cached)
        self._count(request.tenant, "cache_read", request.cached)
        self._count(request.tenant, "output", 1)

    def _finish(self, job: _Job) -> None:
        request, page = job.request, self.page
        self._write(request.tenant, -1)
        self.context -= request.prompt + request.output
        self.reserved -= request.prompt + request.output
        decode = self.now - job.first
        page.finished += 1
        count, prompt, output = page.done.get(request.tenant, (0, 0, 0))
        page.done[request.tenant] = (count + 1, prompt + request.prompt, output + request.output)
        page.done_cached[request.tenant] = page.done_cached.get(request.tenant, 0) + request.cached
        page.queue += job.scheduled - request.at
        page.prefill += job.first - job.scheduled
        page.decode += decode
        page.time_per_output_token += decode / (request.output - 1)
        for index, name in enumerate(TRUTHS):
            equal, rate, rate_steps = (now - then for now, then in zip(self.sums[index], job.marks[index], strict=True))
            cost = job.own[index] + equal + (request.prompt + 1 - job.entered) * rate + rate_steps
            self.truth[name][request.tenant] = self.truth[name].get(request.tenant, 0.0) + cost

    def _write(self, tenant: str, change: int) -> None:
        """Count what the tenant's requests have written so far; then `change` in how many of them write."""
        writers = self.writers.get(tenant, 0)
        self._count(tenant, "output", writers * (self.steps - self.written.get(tenant, 0)))
        self.writers[tenant], self.written[tenant] = writers + change, self.steps

    def _count(self, tenant: str, token: TokenClass, amount: int) -> None:
        self.page.tokens[tenant, token] = self.page.tokens.get((tenant, token), 0) + amount

    def _pass(self, until: float) -> None:
        """Time goes on; a scrape sees what the last whole step left."""
        while (at := len(self.pages) * self.scrape) < until:
            for tenant in self.writers:
                self._write(tenant, 0)
            page = replace(
                self.page,
                at=at,
                tokens=dict(self.page.tokens),
                done=dict(self.page.done),
                done_cached=dict(self.page.done_cached),
            )
            self.pages.append(page)
        self.now = until
