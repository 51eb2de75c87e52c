"""The records that travel from sources to the money core. Frozen, typed, checked once at the edge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

NS = 1_000_000_000  # nanoseconds in a second

TokenClass = Literal["input", "cache_read", "cache_write", "output", "reasoning"]
TOKEN_CLASSES: tuple[TokenClass, ...] = ("input", "cache_read", "cache_write", "output", "reasoning")
PROMPT_CLASSES: frozenset[TokenClass] = frozenset({"input", "cache_read", "cache_write"})

# What else an engine counts of its own work: its scheduler's steps; the gaps between output tokens, how many and how
# long in all; and requests that ended, with the tokens of their prompts and answers.
Measure = Literal["steps", "inter_tokens", "inter_token_seconds", "done_requests", "done_prompt", "done_output"]

Phase = Literal["queue", "prefill", "decode"]
Role = Literal["any", "prefill", "decode"]

# Reserved tenants (CONTRACT.md section 4).
DEFAULT_TENANT = "default"
UNATTRIBUTED = "_unattributed"
OTHER = "_other"


@dataclass(frozen=True, slots=True)
class Instant:
    """One moment on both clocks. Money accrues on `monotonic_ns`; `wall_ns` (Unix) only dates prices and periods."""

    monotonic_ns: int
    wall_ns: int


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """The identity of one line of a page. Compared by identity: a target's scanner makes each series once."""

    name: str
    labels: tuple[tuple[str, str], ...]  # sorted by label name
    key: str  # canonical `name{a="b",c="d"}`; the ledger keeps the baseline under it

    def label(self, name: str) -> str:
        """The label's value; "" when it is absent, as in Prometheus."""
        for label, value in self.labels:
            if label == name:
                return value
        return ""


Samples = dict[Series, float]


@dataclass(frozen=True, slots=True)
class Reading:
    """What one good scrape of one target said."""

    target: str
    engine: str
    at: Instant
    process_start: float | None  # process_start_time_seconds, Unix seconds; None when the page has none
    samples: Samples  # the wanted lines of the page, raw, with all their labels
