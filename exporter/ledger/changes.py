"""What passes between the books in memory and the ledger on disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from exporter.columns import Column
from exporter.ledger.accounts import Labels

State = dict[str, Any]  # JSON of one pool, one target, one budget or one source of targets
Scope = tuple[str | None, str | None, str | None]  # tenant, model, pool or provider; None: any
Spent = dict[tuple[str, str], Column]  # (model, pool or provider) -> tenant -> pico-USD
Past = tuple[int, int, int, int]  # number of the hour, Unix time of its begin in hours, hours it stands for, pico-USD
Moment = tuple[str, int, int, int]  # budget, width of its level, ns on the stopwatch, pico-USD


@dataclass(frozen=True, slots=True)
class Hour:
    """What was spent in one hour of the wall clock, written once it is over."""

    number: int  # of all hours ever written; an hour that a clock lived twice has two
    hour: int  # Unix time of its begin, in hours
    spent: Spent
    rolled: dict[int, int]  # accounts of the spend family that moved in it: row -> value at its end


@dataclass(frozen=True, slots=True)
class Changes:
    """One transaction: everything that moved since the last one."""

    accounts: tuple[tuple[str, int, Labels, int], ...] = ()  # family, row, labels, value
    relabelled: frozenset[tuple[str, int]] = frozenset()  # family and row of those that have other labels than before
    fewest: dict[str, int] = field(default_factory=dict)  # family -> rows it had meanwhile; those beyond go first
    pools: dict[str, State | None] = field(default_factory=dict)  # None: the pool left the config
    targets: dict[str, State | None] = field(default_factory=dict)  # None: the target left the config
    baselines: dict[str, dict[str, float]] = field(default_factory=dict)  # target -> series key -> raw value
    dropped: frozenset[str] = frozenset()  # targets whose older baselines go first
    hours: tuple[Hour, ...] = ()
    budgets: dict[str, State] = field(default_factory=dict)
    moments: tuple[Moment, ...] = ()
    expired: tuple[tuple[str, int, int], ...] = ()  # budget, width, ns: the moments of that level before it go
    forgotten: frozenset[str] = frozenset()  # budgets of which everything older goes first
    discovered: dict[str, State | None] = field(default_factory=dict)  # None: the source left the config


def no_history(_scope: Scope, _since_hour: int) -> list[Past]:
    """The history of a new ledger."""
    return []


@dataclass(slots=True)
class Saved:
    """What the ledger held when it was opened; empty for a new one."""

    ledger_id: str = ""  # the file's own, random, for as long as its counters go on; "": not known
    began: int = 0  # Unix seconds at which its counters were zero; 0: not known
    accounts: dict[str, list[tuple[Labels, int]]] = field(default_factory=dict)  # family -> rows in order
    pools: dict[str, State] = field(default_factory=dict)
    targets: dict[str, State] = field(default_factory=dict)
    baselines: dict[str, dict[str, float]] = field(default_factory=dict)
    rolled: dict[int, int] = field(default_factory=dict)  # row of the spend family -> value at the end of its last hour
    budgets: dict[str, State] = field(default_factory=dict)
    discovered: dict[str, State] = field(default_factory=dict)  # source -> what it listed last
    moments: dict[str, list[tuple[int, int, int]]] = field(default_factory=dict)  # budget -> width, ns, pico-USD
    # What a scope spent in the hours since that one, as far as they are over and saved. It reads the disk: call it in
    # the ledger's thread. LedgerError when it cannot.
    history: Callable[[Scope, int], list[Past]] = no_history
