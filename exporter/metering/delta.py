"""From two looks at a counter to what was counted between them (CONTRACT.md section 5, laws 3 and 4)."""

from __future__ import annotations

# A sum of floats that several processes add up in turn can come out a hair lower than last time. That is not a reset.
_WOBBLE = 1e-9


def fell(last: float, now: float) -> bool:
    """True when the counter is lower than before by more than float noise: it started again from zero."""
    return now < last and last - now > _WOBBLE * last


def grown(last: float | None, now: float) -> float:
    """What was counted since `last`. None: the series is new, or its process is, on a page that was being watched, so
    it began at zero."""
    if last is None or fell(last, now):
        return now
    return max(0.0, now - last)
