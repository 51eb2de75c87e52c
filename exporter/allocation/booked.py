"""What one tick books for one pool or provider."""

from __future__ import annotations

from dataclasses import dataclass, field

from exporter.columns import Columns, Kind


@dataclass(frozen=True, slots=True)
class Booked:
    """cost = spend + idle + growth of pending, in pico-USD, exactly. Zero entries say that the account exists."""

    cost: dict[str, int]  # by resource
    tokens: Columns = field(default_factory=dict)
    spend: Columns = field(default_factory=dict)
    unpriced: dict[Kind, int] = field(default_factory=dict)  # tokens used while no price was known
    idle: int = 0
    gpu_ns: int = 0
    busy_ns: int = 0
    microjoules: dict[str, int] = field(default_factory=dict)  # by GPU
