"""How busy a GPU was between two readings, from the driver's own buffer of samples.

The driver samples utilisation every 1/6 s to 1 s and keeps some 100 samples, about 16 s. Each is the share of its own
sample period in which a kernel ran, in percent, stamped at its end with the CPU's clock in microseconds. A reading
takes those that are newer than the last it saw, so a burst between two readings is not missed.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from exporter.records import NS

LONGEST = 2_000_000  # microseconds: twice the longest sample period there is; a gap beyond it was not sampled
PATIENCE = 30 * NS  # without anything new: the clock was set back, or a stamp was absurd


class Utilization:
    """The place in one GPU's buffer up to which it was read."""

    def __init__(self) -> None:
        self.since = 0  # the stamp of the newest sample seen; 0: none yet
        self._moved_ns = 0  # when it last moved

    def take(self, samples: Iterable[tuple[int, float]], now_ns: int) -> float | None:
        """The mean share, 0 to 1, over samples (stamp, percent) newer than `since`. None: there is nothing to say.

        What is in the buffer at the first look is from before it, and says nothing about any two readings.
        """
        started, newer = self.since, {stamp: percent for stamp, percent in samples if stamp > self.since}
        if newer:
            self.since, self._moved_ns = max(newer), now_ns
        elif now_ns - self._moved_ns > PATIENCE:
            self.since = 0
        return mean(started, newer) if started else None


def mean(since: int, samples: dict[int, float]) -> float | None:
    """The mean of samples (stamp -> percent) as a share, each weighted by the time from the one before it.

    Where that is unknown, because the buffer overran or samples are missing, by the usual time between two. Values
    outside 0 to 100 are left out; drivers do give them (github.com/NVIDIA/dcgm-exporter/issues/418).
    """
    stamps = sorted(samples)
    gaps = [later - earlier for earlier, later in pairwise((since, *stamps))]
    sampled = sorted(gap for gap in gaps if gap <= LONGEST)
    usual = sampled[len(sampled) // 2] if sampled else 1
    weighted = [
        (gap if gap <= LONGEST else usual, samples[stamp])
        for gap, stamp in zip(gaps, stamps, strict=True)
        if 0 <= samples[stamp] <= 100
    ]
    total = sum(weight for weight, _ in weighted)
    return sum(weight * percent for weight, percent in weighted) / total / 100 if total else None
