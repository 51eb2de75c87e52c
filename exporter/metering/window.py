"""Exact sums over a trailing window of time."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

_BUCKETS = 60  # the window's edge moves in steps of 1/60 of it


class Window(Generic[K]):
    """Integer sums per key over the last `span_ns`. Memory follows what changed in the window, not what exists."""

    def __init__(self, span_ns: int) -> None:
        self.span_ns = span_ns
        self.totals: dict[K, int] = {}
        self._buckets: deque[tuple[int, dict[K, int]]] = deque()
        self._since: int | None = None

    def add(self, now_ns: int, amounts: dict[K, int]) -> None:
        """Add what happened up to `now_ns` (monotonic)."""
        width = self.span_ns // _BUCKETS
        if not self._buckets or now_ns - self._buckets[-1][0] >= width:
            self._buckets.append((now_ns, {}))
        bucket = self._buckets[-1][1]
        for key, amount in amounts.items():
            if amount:
                bucket[key] = bucket.get(key, 0) + amount
                self.totals[key] = self.totals.get(key, 0) + amount
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
            for key, amount in self._buckets.popleft()[1].items():
                left = self.totals[key] - amount
                if left:
                    self.totals[key] = left
                else:
                    del self.totals[key]
