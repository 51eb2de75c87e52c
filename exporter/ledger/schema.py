"""The ledger's tables, and how a file of an older format becomes one of this."""

from __future__ import annotations

import sqlite3

from exporter.errors import LedgerError
from exporter.ledger import families as f

ROWS_PER_FAMILY = 2**40  # an account's id is its family's id times this, plus its row

# What leads from each format to the next one. Money is text where it outgrows 64 bits: at nine million dollars.
_STEPS = (
    """
CREATE TABLE family   (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE account  (id INTEGER PRIMARY KEY, labels TEXT NOT NULL, value TEXT NOT NULL) STRICT;
CREATE TABLE pool     (name TEXT PRIMARY KEY, state TEXT NOT NULL) STRICT;
CREATE TABLE target   (name TEXT PRIMARY KEY, state TEXT NOT NULL) STRICT;
CREATE TABLE baseline (id INTEGER PRIMARY KEY, target TEXT NOT NULL, series TEXT NOT NULL, raw REAL NOT NULL) STRICT;
CREATE INDEX baseline_target ON baseline (target)
""",
    # Tenant "" is everybody. A bucket stands for one hour or, later, for a day; `hour` is its first, in Unix time.
    # Money that was spent before there was a history belongs to none of its hours.
    f"""
CREATE TABLE spender  (id INTEGER PRIMARY KEY, tenant TEXT NOT NULL, model TEXT NOT NULL, pool TEXT NOT NULL,
                       UNIQUE (tenant, model, pool)) STRICT;
CREATE TABLE bucket   (id INTEGER PRIMARY KEY, hour INTEGER NOT NULL, hours INTEGER NOT NULL) STRICT;
CREATE TABLE spent    (bucket INTEGER NOT NULL, spender INTEGER NOT NULL, pico ANY NOT NULL,
                       PRIMARY KEY (bucket, spender)) STRICT, WITHOUT ROWID;
CREATE TABLE rolled   (row INTEGER PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE budget   (name TEXT PRIMARY KEY, state TEXT NOT NULL) STRICT;
CREATE TABLE moment   (budget TEXT NOT NULL, width INTEGER NOT NULL, at INTEGER NOT NULL, pico ANY NOT NULL,
                       PRIMARY KEY (budget, width, at)) STRICT, WITHOUT ROWID;
INSERT INTO rolled SELECT account.id % {ROWS_PER_FAMILY}, value FROM account
    JOIN family ON family.id = account.id / {ROWS_PER_FAMILY} WHERE family.name = '{f.SPEND}'
""",  # noqa: S608 - of our own constants
)
VERSION = len(_STEPS)
# The file's own name, and when its counters began; what sources of targets listed. Older programs read past these.
_ADDED = """
CREATE TABLE IF NOT EXISTS discovered (name TEXT PRIMARY KEY, state TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS ledger (id TEXT NOT NULL, began INTEGER NOT NULL) STRICT;
INSERT INTO ledger SELECT lower(hex(randomblob(16))), CAST(strftime('%s', 'now') AS INTEGER)
    WHERE NOT EXISTS (SELECT * FROM ledger)
"""


def version_of(db: sqlite3.Connection, path: str) -> int:
    """The file's format; 0 for an empty one. LedgerError when it is newer than this program."""
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise LedgerError(f"ledger {path} was written by a newer version (format {version})")
    return version


def upgrade(db: sqlite3.Connection, path: str) -> None:
    """Bring the file to this program's format, inside the transaction that is open."""
    version = version_of(db, path)
    if version == 0 and db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise LedgerError(f"ledger {path} is another program's database: give --storage.path another file")
    for step in _STEPS[version:]:
        for statement in step.split(";"):
            db.execute(statement)
    if version < VERSION:
        db.execute(f"PRAGMA user_version = {VERSION}")
    for statement in _ADDED.split(";"):  # a file from before there were these gets its own now
        db.execute(statement)
