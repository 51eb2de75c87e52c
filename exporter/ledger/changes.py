"""What passes between the books in memory and the ledger on disk."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from exporter.ledger.accounts import Labels

State = dict[str, Any]  # small JSON of one pool or one target


@dataclass(frozen=True, slots=True)
class Changes:
    """One transaction: everything that moved since the last one."""

    accounts: tuple[tuple[str, int, Labels, int], ...] = ()  # family, row, labels, value
    pools: dict[str, State | None] = field(default_factory=dict)  # None: the pool left the config
    targets: dict[str, State | None] = field(default_factory=dict)  # None: the target left the config
    baselines: dict[str, dict[str, float]] = field(default_factory=dict)  # target -> series key -> raw value
    dropped: frozenset[str] = frozenset()  # targets whose older baselines go first


@dataclass(slots=True)
class Saved:
    """What the ledger held when it was opened; empty for a new one."""

    accounts: dict[str, list[tuple[Labels, int]]] = field(default_factory=dict)  # family -> rows in order
    pools: dict[str, State] = field(default_factory=dict)
    targets: dict[str, State] = field(default_factory=dict)
    baselines: dict[str, dict[str, float]] = field(default_factory=dict)
