"""What the GPUs that a pool holds did in one tick: how long they were at work, and what they drew.

A GPU is at work while any kernel runs on it: that is the time in which nobody else can have it, and so the time that
somebody has to pay for. How well the kernels use it is another question (README.md, "Busy is not efficient").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from exporter.allocation.holdings import Held
from exporter.metering.gpus import GpuUse
from exporter.records import Gpu

Counts = Mapping[str, Fraction]  # product -> GPUs, parts of a GPU as parts; "" is a product that nobody named


@dataclass(frozen=True, slots=True)
class Device:
    """One GPU or instance that a pool holds, in one tick."""

    held: Held
    now: Gpu | None = None  # as its source last saw it; None: not in this tick
    busy: Fraction | None = None  # part of the tick at work; None: its source does not say
    microjoules: int = 0


@dataclass(frozen=True, slots=True)
class GpuTime:
    """The GPUs of one pool in one tick."""

    counts: tuple[tuple[int, Counts], ...]  # (ns after the tick began, what the pool held from then on), in order
    devices: tuple[Device, ...] = field(default=())  # as held at the end

    @property
    def microjoules(self) -> int:
        """Energy drawn, in this pool's shares."""
        return sum(device.microjoules for device in self.devices)


def gpu_time(changes: Sequence[tuple[int, tuple[Held, ...]]], uses: Mapping[str, GpuUse]) -> GpuTime:
    """One pool's tick. `changes`: (ns after it began, what was held from then on); `uses` by uuid."""
    return GpuTime(
        tuple((after_ns, counts(held)) for after_ns, held in changes),
        tuple(Device(one, _now(one, uses), _busy(one, uses), _microjoules(one, uses)) for one in changes[-1][1]),
    )


def counts(held: Iterable[Held]) -> Counts:
    """GPUs by product."""
    found: dict[str, Fraction] = {}
    for one in held:
        found[one.gpu.product] = found.get(one.gpu.product, Fraction(0)) + one.share
    return found


def _now(held: Held, uses: Mapping[str, GpuUse]) -> Gpu | None:
    use = uses.get(held.gpu.uuid)
    return use.gpu if use and use.fresh else None


def _busy(held: Held, uses: Mapping[str, GpuUse]) -> Fraction | None:
    own = _ratio(uses.get(held.gpu.uuid))
    if own is not None or not held.parts:
        return own
    parts = [(_ratio(uses.get(uuid)), size) for uuid, size in held.parts]  # slices in no instance stand still
    if any(ratio is None for ratio, _ in parts):
        return None
    return min(Fraction(1), sum((ratio * size for ratio, size in parts if ratio), Fraction(0)) / held.share)


def _ratio(use: GpuUse | None) -> Fraction | None:
    return Fraction(min(use.busy_ns, use.covered_ns), use.covered_ns) if use and use.covered_ns else None


def _microjoules(held: Held, uses: Mapping[str, GpuUse]) -> int:
    use = uses.get(held.device)
    return int(use.microjoules * held.share) if use else 0
