"""Who asks for what: tenants with known shapes, arriving at random but the same way for the same seed.

Lengths are lognormal, for production traces are long-tailed (Splitwise, ISCA 2024; BurstGPT, arXiv 2401.17644), and
arrivals Poisson, but for the tenant that sends its work in bursts. A tenant is one kind of application, so that tenants
differ in what a wrong split gets wrong: prompt against output, cached against computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from random import Random

from tests.accuracy.batching import Request


@dataclass(frozen=True, slots=True)
class Shape:
    """One tenant: its part of all requests, mean tokens of a prompt and an answer, cached part of the prompt."""

    tenant: str
    part: float
    prompt: float
    output: float
    cached: float = 0.0
    burst: int = 1  # requests that arrive together


MIXES: dict[str, tuple[Shape, ...]] = {
    "mixed": (
        Shape("chat", 0.50, prompt=500, output=250, cached=0.3),
        Shape("rag", 0.15, prompt=6000, output=150),
        Shape("agent", 0.15, prompt=12000, output=200, cached=0.9),
        Shape("writer", 0.08, prompt=250, output=1200),
        Shape("batch", 0.12, prompt=2500, output=40, burst=24),
    ),
    "long": (  # reasoning and long documents: other ratios, to see that nothing was tuned to the first
        Shape("chat", 0.30, prompt=1500, output=400, cached=0.6),
        Shape("reason", 0.20, prompt=600, output=3000),
        Shape("papers", 0.10, prompt=20000, output=500),
        Shape("coder", 0.25, prompt=9000, output=120, cached=0.8),
        Shape("labels", 0.15, prompt=900, output=8, burst=16),
    ),
}

_SPREAD = 0.6  # sigma of the lognormal
_LONGEST = 30_000


def requests(mix: str, per_second: float, seconds: float, seed: int) -> list[Request]:
    """Arrivals of every tenant of `mix` over `seconds`, `per_second` of them in all, in order of time."""
    found = []
    for shape in MIXES[mix]:
        random = Random(f"{seed} {shape.tenant}")
        at = 0.0
        while (at := at + random.expovariate(per_second * shape.part / shape.burst)) < seconds:
            found += [_request(random, shape, at) for _ in range(shape.burst)]
    return sorted(found, key=lambda request: request.at)


def _request(random: Random, shape: Shape, at: float) -> Request:
    prompt = _length(random, shape.prompt)
    # A prefix cache holds whole blocks, and the last token of a prompt is always computed.
    cached = min(int(prompt * shape.cached) // 16 * 16, prompt - 1)
    return Request(at, shape.tenant, prompt, cached, _length(random, shape.output))


def _length(random: Random, mean: float) -> int:
    return max(2, min(_LONGEST, round(random.lognormvariate(log(mean) - _SPREAD**2 / 2, _SPREAD))))
