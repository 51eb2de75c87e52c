"""Who asks for what, when: a day of requests, sped up.

Only the shape of the day is sped up. Requests themselves have real sizes and arrive at real rates, so that dollars
per token come out as they would on such GPUs.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

MORNING_HOUR = 8.0  # the hour at which a simulated world begins
BLOCK = 16  # tokens; prefix caches hit whole blocks
NOISE_SECONDS = 20.0  # how long a burst or a lull lasts
LONGEST = 32_000  # tokens


def office_day(hour: float) -> float:
    """The share of the peak at that hour of the day: quiet nights, busiest in the early afternoon."""
    day = math.sin(math.pi * (hour - 6) / 16)
    return 0.04 + 0.96 * day**1.5 if 6 < hour < 22 else 0.04


def always(_hour: float) -> float:
    """Machines that ask day and night."""
    return 1.0


def nightly(hour: float) -> float:
    """A batch job: from ten in the evening to five in the morning, and not at all by day."""
    return 0.0 if 5 <= hour < 22 else 1.0


@dataclass(frozen=True, slots=True)
class Source:
    """One tenant's use of one model. Lengths are medians in tokens."""

    tenant: str
    peak_rate: float  # requests per second at the busiest hour
    prompt: int
    output: int
    cached_share: float  # of prompt tokens, on average
    shape: Callable[[float], float] = office_day  # share of the peak by hour of the day
    noise: float = 0.4  # standard deviation of the log of the rate: 0.1 is steady, above 1 comes in bursts
    span: tuple[float, float] = (0.0, math.inf)  # seconds after the start of the world: when it asks at all
    model: str = ""  # what it asks the gateway for, where that is not the name of the pool
    direct: bool = False  # it asks the engines of a pool, past the gateway


@dataclass(slots=True)
class Request:
    """One request on its way through an engine."""

    source: Source
    prompt: int
    cached: int  # of the prompt
    output: int  # tokens it will have when it is done
    arrived: float  # Unix seconds
    admitted: float = 0.0
    to_prefill: float = 0.0  # prompt tokens still to compute
    progress: float = 0.0  # output tokens, with the fraction of the one in the making
    generated: int = 0  # output tokens


class Traffic:
    """The requests of some sources, in the order in which they arrive."""

    def __init__(self, sources: tuple[Source, ...], rng: random.Random, start: float, day_seconds: float) -> None:
        self._sources = sources
        self._rng = rng
        self._start = start
        self._day_seconds = day_seconds
        self._noise = dict.fromkeys(sources, 0.0)  # log of the rate's deviation

    def arrivals(self, now: float, dt: float) -> list[Request]:
        """What arrived in the `dt` seconds before `now` (Unix seconds)."""
        since = now - self._start
        hour = (MORNING_HOUR + 24 * since / self._day_seconds) % 24
        keep = math.exp(-dt / NOISE_SECONDS)
        requests: list[Request] = []
        for source in self._sources:
            spread = source.noise * math.sqrt(1 - keep * keep)
            self._noise[source] = keep * self._noise[source] + self._rng.gauss(0, spread)
            asks = source.span[0] < since <= source.span[1]
            rate = source.peak_rate * source.shape(hour) * math.exp(self._noise[source]) if asks else 0.0
            at = self._rng.expovariate(rate) if rate else dt
            while at < dt:
                requests.append(self._request(source, now - dt + at))
                at += self._rng.expovariate(rate)
        return sorted(requests, key=lambda request: request.arrived)

    def _request(self, source: Source, arrived: float) -> Request:
        prompt, output = self._length(source.prompt, 0.8), self._length(source.output, 0.6)
        share = min(0.95, self._rng.uniform(0, 2 * source.cached_share))
        cached = int(prompt * share) // BLOCK * BLOCK
        return Request(source, prompt, cached, output, arrived, to_prefill=prompt - cached)

    def _length(self, median: int, sigma: float) -> int:
        return min(LONGEST, max(1, int(self._rng.lognormvariate(math.log(median), sigma))))
