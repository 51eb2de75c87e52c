"""What one target's meter hands on: integers of what was used, and the last page's gauges."""

from __future__ import annotations

from dataclasses import dataclass, field

from exporter.records import Measure, Phase, TokenClass

TokenKey = tuple[str, str, TokenClass]  # (tenant, model, class)
Account = tuple[str, str, str]  # (place, tenant, model); a place is a pool, a provider, or pools joined by ","


@dataclass(slots=True)
class Usage:
    """What was used in one place since the last take. Zero entries say that the account exists."""

    tokens: dict[TokenKey, int] = field(default_factory=dict)
    requests: dict[tuple[str, str], int] = field(default_factory=dict)  # (tenant, model)
    nanoseconds: dict[tuple[str, Phase], int] = field(default_factory=dict)  # (model, phase): request-time
    measures: dict[tuple[str, Measure], int] = field(default_factory=dict)  # (model, measure); seconds in ns

    def merge(self, other: Usage) -> None:
        """Add `other` to this one."""
        for token, amount in other.tokens.items():
            self.tokens[token] = self.tokens.get(token, 0) + amount
        for request, amount in other.requests.items():
            self.requests[request] = self.requests.get(request, 0) + amount
        for phase, amount in other.nanoseconds.items():
            self.nanoseconds[phase] = self.nanoseconds.get(phase, 0) + amount
        for measure, amount in other.measures.items():
            self.measures[measure] = self.measures.get(measure, 0) + amount


@dataclass(frozen=True, slots=True)
class Gauges:
    """What the last good page said about now; None where the engine does not say."""

    running: float | None = None
    waiting: float | None = None
    kv_cache: float | None = None
