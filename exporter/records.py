"""The records that travel from sources to the money core. Frozen, typed, checked once at the edge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

NS = 1_000_000_000  # nanoseconds in a second

TokenClass = Literal["input", "cache_read", "cache_write", "output", "reasoning"]
TOKEN_CLASSES: tuple[TokenClass, ...] = ("input", "cache_read", "cache_write", "output", "reasoning")
PROMPT_CLASSES: frozenset[TokenClass] = frozenset({"input", "cache_read", "cache_write"})
OUTPUT_CLASSES: frozenset[TokenClass] = frozenset({"output", "reasoning"})

# What else an engine counts of its own work: its scheduler's steps; the gaps between output tokens, how many and how
# long in all; requests that ended, with the tokens of their prompts and answers; tokens that a draft model proposed and
# those of them that were taken (output tokens already); and requests that ended before their answer did.
Measure = Literal[
    "steps", "inter_tokens", "inter_token_seconds", "done_requests", "done_prompt", "done_output",
    "drafted", "accepted", "aborted",
]  # fmt: skip

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


NVML = "nvml://localhost"  # the driver of this machine, as a target


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU, or one part of it (a MIG instance, an AMD partition), as a source saw it. None: nobody says.

    With MIG on, the GPU itself and each of its instances are entries of their own.
    """

    uuid: str  # the driver's; unique and lasting. "GPU-...", "MIG-...", or "GPU-.../1" where an instance has none
    name: str  # short, unique among the source's: "0"; "0:1" for GPU instance 1; "host:0" where there are hosts
    product: str  # "NVIDIA H100 80GB HBM3"; of an instance, its GPU's
    parent: str = ""  # uuid of the GPU that an instance is part of
    mig_profile: str = ""  # of an instance: "1g.10gb"
    slices: int = 0  # of an instance: compute slices it has
    of_slices: int = 7  # compute slices that the GPU could be cut into
    utilization: float | None = None  # 0 to 1: mean share of time at work since the source's last reading
    memory_used: int | None = None  # bytes
    memory_total: int | None = None  # bytes
    power: float | None = None  # watts
    energy: float | None = None  # joules since the driver was loaded: a counter, of the whole GPU; None on instances
    temperature: float | None = None  # degrees Celsius
    # Where a source knows who holds the GPU (dcgm-exporter's pod labels): the labels of each holder, sorted. More than
    # one: it is shared in time. Empty: nobody is known to.
    holders: tuple[tuple[tuple[str, str], ...], ...] = ()


@dataclass(frozen=True, slots=True)
class GpuReading:
    """What one good look at one source of GPUs said: all of its GPUs."""

    target: str  # NVML, or the address of an exporter of GPUs
    engine: str  # "nvml", or the name of that exporter in sources/gpus.py
    at: Instant
    gpus: tuple[Gpu, ...]
