"""Pools that together would pay for more than there is of a device, as far as the config alone can tell.

What an index, a UUID or a label stands for is known when GPUs are read, not here: only the same index, the same UUID
and the same labels are surely the same device. A GPU and a MIG instance never clash: whoever has the GPU pays for what
its instances leave.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

from exporter.config.gpus import ExportedGpus, Gpus, NvmlGpus
from exporter.config.schema import Pool
from exporter.config.types import Loc, Mistake

# An index or a UUID of this host; EVERY GPU of it; or the address of an exporter and what `match` says.
Device: TypeAlias = int | str | tuple[str, frozenset[tuple[str, str]]]
EVERY = "every GPU"
MOST_NAMES = 4  # of pools in one message


@dataclass(frozen=True, slots=True)
class Sold:
    """The part of a device that pools pay for."""

    part: Fraction = Fraction(0)
    pools: tuple[str, ...] = ()

    def __add__(self, other: Sold) -> Sold:
        return Sold(self.part + other.part, self.pools + other.pools)


def oversold(pools: Sequence[Pool]) -> Iterator[Mistake]:
    """Every pool with which the shares of some device come to more than the device."""
    sold: defaultdict[Device, Sold] = defaultdict(Sold)
    for index, pool in enumerate(pools):
        for device, loc, part in devices(pool.gpus):
            fullest = max(rivals(sold, device), key=lambda rival: sold_of(sold, rival).part)
            total = sold_of(sold, fullest) + Sold(part, (pool.name,))
            if total.part > 1:
                wrong = f"{names(total.pools)} together pay for {float(total.part):.9g} of {name(fullest)}"
                fix = "give them shares that add up to 1 at most (share, replicas), or other devices"
                yield ("pools", index, "gpus", *loc), wrong, fix
            else:
                sold[device] += Sold(part, (pool.name,))


def devices(gpus: Gpus) -> Iterator[tuple[Device, Loc, Fraction]]:
    """What a pool asks for: the device, where that stands below `gpus`, and the part of it."""
    match gpus:
        case NvmlGpus(select=()):
            yield EVERY, (), gpus.part()
        case NvmlGpus(select=select):
            yield from ((device, ("select", number), gpus.part()) for number, device in enumerate(select))
        case ExportedGpus():
            yield (gpus.target, frozenset(gpus.match.items())), ("match",) if gpus.match else (), gpus.part()


def rivals(sold: dict[Device, Sold], device: Device) -> Iterator[Device]:
    """The devices in which this one is contained."""
    yield device
    if device == EVERY:
        yield from filter(is_gpu, sold)


def sold_of(sold: dict[Device, Sold], device: Device) -> Sold:
    """What was sold of a device, by its own name and as one of all."""
    own = sold.get(device, Sold())
    return own + sold.get(EVERY, Sold()) if is_gpu(device) else own


def is_gpu(device: Device) -> bool:
    """A whole GPU of this host that is named."""
    return isinstance(device, int) or (isinstance(device, str) and device.startswith("GPU-"))


def name(device: Device) -> str:
    if isinstance(device, tuple):
        return f"the same GPUs of {device[0]}"
    return f"GPU {device}" if isinstance(device, int) else device


def names(pools: Sequence[str]) -> str:
    """`pools 'a' and 'b'`; of many, the first and the last."""
    shown = [repr(pool) for pool in pools]
    if len(shown) > MOST_NAMES:
        shown[MOST_NAMES - 1 : -1] = [f"{len(shown) - MOST_NAMES} more"]
    return f"pools {', '.join(shown[:-1])} and {shown[-1]}"
