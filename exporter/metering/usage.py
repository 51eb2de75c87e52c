"""What one target's meter hands on: integers of what was used, and the last page's gauges."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from exporter.columns import Column, Columns, merge, merge_all
from exporter.records import Measure, Phase

Account = tuple[str, str, str]  # (place, tenant, model); a place is a pool, a provider, or pools joined by ","


@dataclass(slots=True)
class Usage:
    """What was used in one place since the last take. Zero entries say that the account exists."""

    tokens: Columns = field(default_factory=dict)
    requests: dict[str, Column] = field(default_factory=dict)  # by model
    nanoseconds: dict[tuple[str, Phase], int] = field(default_factory=dict)  # (model, phase): request-time
    measures: dict[tuple[str, Measure], int] = field(default_factory=dict)  # (model, measure); seconds in ns

    def merge(self, other: Usage) -> None:
        """Add `other` to this one."""
        merge_all(self.tokens, other.tokens)
        merge_all(self.requests, other.requests)
        merge(self.nanoseconds, other.nanoseconds)
        merge(self.measures, other.measures)


class Taken(NamedTuple):
    """What one target's meter had since the last take."""

    target: str
    usage: dict[str, Usage]  # by place
    resets: int
    measured_ns: int  # time between readings of one process


@dataclass(frozen=True, slots=True)
class Gauges:
    """What the last good page said about now; None where the engine does not say."""

    running: float | None = None
    waiting: float | None = None
    kv_cache: float | None = None
