"""The part of the ledger on disk that says when money was spent and what budgets remember.

Hours are kept one by one for a hundred days, then by the day (UTC) for three hundred more. Both are counted in hours
with spend, not measured by the clock, so that a clock that jumps ahead costs no history.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable

from exporter.ledger.changes import Changes, Hour, Past, Saved, Scope

HOURS_KEPT = 100 * 24
DAYS_KEPT = 300
EVERYBODY = ""  # no tenant is called that
_LARGEST = 2**63


def load(db: sqlite3.Connection, saved: Saved) -> None:
    """Read what is needed from the start on."""
    saved.rolled = {row: int(value) for row, value in db.execute("SELECT row, value FROM rolled")}
    saved.budgets = {name: json.loads(state) for name, state in db.execute("SELECT name, state FROM budget")}
    for budget, width, at, pico in db.execute("SELECT budget, width, at, pico FROM moment"):
        saved.moments.setdefault(budget, []).append((width, at, int(pico)))


def read(db: sqlite3.Connection, scope: Scope, since_hour: int) -> list[Past]:
    """What a scope spent in the hours since that one, each bucket by itself."""
    tenant, model, pool = scope
    rows = db.execute(
        # CROSS JOIN: in each bucket the few spenders that are wanted are looked up; the many others are not walked.
        "SELECT bucket.id, hour, hours, pico FROM bucket CROSS JOIN spent ON spent.bucket = bucket.id "
        "WHERE hour + hours > ? AND spender IN (SELECT id FROM spender "
        "WHERE tenant = ? AND (? IS NULL OR model = ?) AND (? IS NULL OR pool = ?))",
        (since_hour, EVERYBODY if tenant is None else tenant, model, model, pool, pool),
    )
    found: dict[tuple[int, int, int], int] = {}
    for number, hour, hours, pico in rows:
        found[number, hour, hours] = found.get((number, hour, hours), 0) + int(pico)
    return [(*bucket, pico) for bucket, pico in found.items()]


def write(db: sqlite3.Connection, changes: Changes) -> None:
    """Write hours that are over and what budgets remember, inside the tick's transaction."""
    for hour in changes.hours:
        _write_hour(db, hour)
    for table, column in (("budget", "name"), ("moment", "budget")):
        names = [(name,) for name in changes.forgotten]
        db.executemany(f"DELETE FROM {table} WHERE {column} = ?", names)  # noqa: S608 - one of two literals
    states = [(name, json.dumps(state)) for name, state in changes.budgets.items()]
    db.executemany("REPLACE INTO budget (name, state) VALUES (?, ?)", states)
    moments = [(*moment, _stored(pico)) for *moment, pico in changes.moments]
    db.executemany("REPLACE INTO moment (budget, width, at, pico) VALUES (?, ?, ?, ?)", moments)
    db.executemany("DELETE FROM moment WHERE budget = ? AND width = ? AND at < ?", changes.expired)


def _write_hour(db: sqlite3.Connection, hour: Hour) -> None:
    new = db.execute("INSERT OR IGNORE INTO bucket (id, hour, hours) VALUES (?, ?, 1)", (hour.number, hour.hour))
    if not new.rowcount:
        return  # a commit that reported an error had reached the disk all the same
    rows = [
        (tenant, model, pool, pico)
        for (model, pool), column in hour.spent.items()
        for tenant, pico in ((EVERYBODY, sum(column.values())), *column.items())
    ]
    names = [row[:3] for row in rows]
    db.executemany("INSERT OR IGNORE INTO spender (tenant, model, pool) VALUES (?, ?, ?)", names)
    db.executemany(
        "INSERT INTO spent (bucket, spender, pico) "
        "SELECT ?, id, ? FROM spender WHERE tenant = ? AND model = ? AND pool = ?",
        [(hour.number, _stored(pico), *name) for *name, pico in rows],
    )
    rolled = [(row, str(value)) for row, value in hour.rolled.items()]
    db.executemany("REPLACE INTO rolled (row, value) VALUES (?, ?)", rolled)
    if _count(db, hours=1) > HOURS_KEPT:
        _fold(db)
    if _count(db, hours=24) > DAYS_KEPT:
        _drop(db, _oldest(db, hours=24)[0])


def _fold(db: sqlite3.Connection) -> None:
    """Put the oldest hour into its day."""
    number, hour = _oldest(db, hours=1)
    day = hour - hour % 24
    known = db.execute("SELECT id FROM bucket WHERE hours = 24 AND hour = ?", (day,)).fetchone()
    if known is None:
        db.execute("UPDATE bucket SET hour = ?, hours = 24 WHERE id = ?", (day, number))
        return
    sums: dict[int, int] = {}
    for spender, pico in db.execute("SELECT spender, pico FROM spent WHERE bucket IN (?, ?)", (*known, number)):
        sums[spender] = sums.get(spender, 0) + int(pico)
    rows: Iterable[tuple[int, int, int | str]] = ((*known, spender, _stored(pico)) for spender, pico in sums.items())
    db.executemany("REPLACE INTO spent (bucket, spender, pico) VALUES (?, ?, ?)", rows)
    _drop(db, number)


def _drop(db: sqlite3.Connection, number: int) -> None:
    db.execute("DELETE FROM spent WHERE bucket = ?", (number,))
    db.execute("DELETE FROM bucket WHERE id = ?", (number,))


def _count(db: sqlite3.Connection, hours: int) -> int:
    count: int = db.execute("SELECT count(*) FROM bucket WHERE hours = ?", (hours,)).fetchone()[0]
    return count


def _oldest(db: sqlite3.Connection, hours: int) -> tuple[int, int]:
    number, hour = db.execute("SELECT id, hour FROM bucket WHERE hours = ? ORDER BY id LIMIT 1", (hours,)).fetchone()
    return number, hour


def _stored(pico: int) -> int | str:
    return pico if pico < _LARGEST else str(pico)
