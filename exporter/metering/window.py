"""Exact sums over a trailing window of time."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from operator import sub
from typing import Generic, TypeVar

from exporter.columns import merge

K = TypeVar("K", bound=Hashable)


class Window(Generic[K]):
    """Integer sums per key over the last `span_ns`, whose edge moves in `steps` of it. Memory follows what changed in
    each step, not what exists."""

    def __init__(self, span_ns: int, steps: int = 60) -> None:
        self.span_ns = span_ns
        self._width_ns = span_ns // steps
        self.totals: dict[K, int] = {}
        self._buckets: deque[tuple[int, dict[K, int]]] = deque()
        self._since: int | None = None

    def add(self, now_ns: int, amounts: dict[K, int]) -> None:
        """Add what happened up to `now_ns` (monotonic)."""
        if not self._buckets or now_ns - self._buckets[-1][0] >= self._width_ns:
            self._buckets.append((now_ns, {}))
        if 0 in amounts.values():
            amounts = {key: amount for key, amount in amounts.items() if amount}
        merge(self._buckets[-1][1], amounts)
        merge(self.totals, amounts)
        self._expire(now_ns)

    def begin(self, now_ns: int) -> None:
        """Say when watching began; the first call counts."""
        if self._since is None:
            self._since = now_ns

    def covered_ns(self, now_ns: int) -> int:
        """How much of the window has been watched: its span, or the time since `begin` while that is shorter."""
        return 0 if self._since is None else min(self.span_ns, now_ns - self._since)

    def _expire(self, now_ns: int) -> None:
        while self._buckets and self._buckets[0][0] <= now_ns - self.span_ns:
            old = self._buckets.popleft()[1]
            totals = self.totals
            totals.update(zip(old, map(sub, map(totals.__getitem__, old), old.values()), strict=True))
            for key in [key for key in old if not totals[key]]:
                del totals[key]
