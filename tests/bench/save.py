"""Saving a tick of 100,000 accounts: the ledger beside a table whose key is the text of the labels.

Both in memory's file system: the disk is not what is measured. Run: python -m tests.bench.save
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from random import Random
from time import perf_counter

from exporter.ledger.accounts import Labels
from exporter.ledger.changes import Changes
from exporter.ledger.store import Store
from tests.bench.render import SERIES, accounts
from tests.bench.table import Row, alone, compared, markdown
from tests.laws.world import folder_in_memory
from tests.publish.world import SPEND

ROUNDS = 7
MOST_MS = 100.0
Account = tuple[str, int, Labels, int]


class Plain:
    """One table: labels, value."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("CREATE TABLE account (family TEXT, labels TEXT, value TEXT, PRIMARY KEY (family, labels))")

    def save(self, changed: tuple[Account, ...]) -> None:
        self._db.execute("BEGIN")
        rows = [(family, json.dumps(labels), str(value)) for family, _, labels, value in changed]
        self._db.executemany("REPLACE INTO account VALUES (?, ?, ?)", rows)
        self._db.execute("COMMIT")

    def close(self) -> None:
        self._db.close()


def timed_ms(work: Callable[[], object]) -> float:
    began = perf_counter()
    work()
    return (perf_counter() - began) * 1e3


def rows(rounds: int = ROUNDS) -> list[Row]:
    """A hundredth, a tenth and all of the accounts moved."""
    dice, labels, folder = Random(1), accounts(), folder_in_memory()
    store, plain = Store(str(folder / "ledger.db")), Plain(folder / "plain.db")
    store.open()

    def moved(share: float) -> tuple[Account, ...]:
        picked = sorted(dice.sample(range(SERIES), round(SERIES * share)))
        return tuple((SPEND, row, labels[row], dice.randrange(10**16)) for row in picked)

    found: list[Row] = []
    try:
        first = moved(1.0)
        store.save(Changes(accounts=first))
        plain.save(first)
        for share in (0.01, 0.1, 1.0):
            ours, theirs = [], []
            for _ in range(rounds):
                changed = moved(share)
                ours.append(timed_ms(lambda: store.save(Changes(accounts=changed))))  # noqa: B023 - called at once
                theirs.append(timed_ms(lambda: plain.save(changed)))  # noqa: B023
            title = f"save {SERIES:,} accounts, {share:.0%} of them moved"
            peer = f"SQLite {sqlite3.sqlite_version}, labels as the key"
            found.append(compared(title, "ms", ours, peer, theirs))
            if share == 0.1:
                found.append(alone(title, "ms", ours, MOST_MS))
    finally:
        store.close()
        plain.close()
        shutil.rmtree(folder)
    return found


if __name__ == "__main__":
    print(markdown(rows()))
