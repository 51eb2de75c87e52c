"""The ledger on disk: SQLite in WAL mode, one transaction a tick, synced before it counts as saved.

A kill at any instant restores the last tick. A file that is not a sound ledger is set aside under another name and
said so; it is never written over. A disk that is full or read-only fails the save, not the process.
All methods block: call them from a worker thread, one at a time.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import orjson

from exporter.errors import LedgerError
from exporter.ledger import families as f
from exporter.ledger import history
from exporter.ledger.changes import Changes, Past, Saved, Scope, State
from exporter.ledger.schema import ROWS_PER_FAMILY, VERSION, upgrade, version_of

log = logging.getLogger(__name__)


class Store:
    """One ledger file. `open` first; `save` as often as you like; `close` last."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._memory = path == ":memory:"
        self._db: sqlite3.Connection | None = None
        self._lock_fd: int | None = None
        self._families: dict[str, int] = {}
        self._rows: dict[str, int] = {}  # accounts on disk, per family
        self._baselines: dict[str, dict[str, int]] = {}  # target -> series key -> id
        self._last_baseline = 0

    def open(self) -> Saved:
        """Everything the ledger holds. LedgerError when it is in use, too new, or cannot be reached at all."""
        self._lock()
        try:
            return self._open()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError) and not _is_damage(error):
                raise LedgerError(f"ledger {self._path}: {error}") from error
            self._set_aside(error)
            try:
                return self._open()
            except sqlite3.Error as again:
                raise LedgerError(f"ledger {self._path}: {again}") from again

    def save(self, changes: Changes) -> None:
        """Write one tick, all of it or none. LedgerError when it could not be made durable."""
        try:
            if self._db is None:
                self._connect()
            with self._transaction() as db:
                upgrade(db, self._path)  # one that could only be read until now
                opened = self._write(db, changes)
                history.write(db, changes)
        except (sqlite3.Error, OSError) as error:
            self._reconnect_next_time()
            raise LedgerError(f"ledger {self._path}: {error}") from error
        self._remember(changes, *opened)

    def history(self, scope: Scope, since_hour: int) -> list[Past]:
        """What was spent in hours that are over. LedgerError when it cannot be read."""
        try:
            return history.read(self._db or self._connect(), scope, since_hour)
        except (sqlite3.Error, OSError) as error:
            self._reconnect_next_time()
            raise LedgerError(f"ledger {self._path}: {error}") from error

    def close(self) -> None:
        """Fold the write-ahead log back and let go of the file."""
        if self._db is not None:
            with suppress(sqlite3.Error):
                self._db.close()
            self._db = None
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None

    def _lock(self) -> None:
        if self._memory or self._lock_fd is not None:
            return
        if not self._path or Path(self._path).is_dir():
            raise LedgerError(f"ledger {self._path!r} is not a file: give --storage.path a file's path, or :memory:")
        try:
            Path(self._path).parent.mkdir(parents=True, exist_ok=True)
            self._lock_fd = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            if Path(self._path).exists():  # a read-only disk: serve what is there, fail the saves
                log.warning("ledger %s cannot be locked: %s", self._path, error)
                return
            raise LedgerError(f"ledger {self._path} cannot be created: {error.strerror}") from error
        try:
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock_fd)
            self._lock_fd = None
            raise LedgerError(f"ledger {self._path} is in use by another process: one exporter per ledger") from error

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=5)
        self._db = db
        db.execute("PRAGMA synchronous = FULL")
        return db

    def _open(self) -> Saved:
        self._families, self._rows, self._baselines, self._last_baseline = {}, {}, {}, 0
        try:
            db = self._connect()
            version_of(db, self._path)
            db.execute("PRAGMA journal_mode = WAL")
            _check(db)
            with self._transaction():  # a disk that cannot be written says so now
                upgrade(db, self._path)
                db.execute(f"PRAGMA user_version = {VERSION}")
        except sqlite3.OperationalError as error:
            if _is_damage(error) or not self._has_tables():
                raise
            log.warning("ledger %s cannot be written: %s", self._path, error)
            db = self._db = self._read_only()
            _check(db)
        return self._load(db)

    def _has_tables(self) -> bool:
        try:
            return bool(self._read_only().execute("SELECT count(*) FROM account").fetchone())
        except sqlite3.Error:
            return False

    def _read_only(self) -> sqlite3.Connection:
        """The file as it is, when it cannot be written. LedgerError when part of it is in a log that cannot be read."""
        with suppress(sqlite3.Error):
            if self._db is not None:
                self._db.close()
        with suppress(sqlite3.OperationalError):
            db = sqlite3.connect(f"file:{quote(self._path)}?mode=ro", uri=True, check_same_thread=False)
            db.execute("SELECT count(*) FROM sqlite_master")
            return db
        wal = Path(f"{self._path}-wal")
        if wal.exists() and wal.stat().st_size:
            raise LedgerError(
                f"ledger {self._path} cannot be written, and its last ticks are in {wal}: make it writable"
            )
        return sqlite3.connect(f"file:{quote(self._path)}?immutable=1", uri=True, check_same_thread=False)

    def _load(self, db: sqlite3.Connection) -> Saved:
        saved = Saved()
        self._families = {name: number for number, name in db.execute("SELECT id, name FROM family")}
        names = {number: name for name, number in self._families.items()}
        for number, labels, value in db.execute("SELECT id, labels, value FROM account ORDER BY id"):
            family, row = names[number // ROWS_PER_FAMILY], number % ROWS_PER_FAMILY
            rows = saved.accounts.setdefault(family, [])
            if row != len(rows):
                raise sqlite3.DatabaseError(f"account {number} is out of order")
            rows.append((tuple(json.loads(labels)), int(value)))
        self._rows = {family: len(rows) for family, rows in saved.accounts.items()}
        if version_of(db, self._path) == VERSION:  # an older one can be read, and is brought up to date by a save
            history.load(db, saved)
            saved.history = self.history
        else:
            saved.rolled = {row: value for row, (_, value) in enumerate(saved.accounts.get(f.SPEND, ()))}
        with suppress(sqlite3.OperationalError):  # a file from before, which cannot be written, has none
            saved.ledger_id, saved.began = db.execute("SELECT id, began FROM ledger").fetchone() or ("", 0)
        with suppress(sqlite3.OperationalError):  # likewise
            states = db.execute("SELECT name, state FROM discovered")
            saved.discovered = {name: json.loads(state) for name, state in states}
        saved.pools = {name: json.loads(state) for name, state in db.execute("SELECT name, state FROM pool")}
        saved.targets = {name: json.loads(state) for name, state in db.execute("SELECT name, state FROM target")}
        for number, target, series, raw in db.execute("SELECT id, target, series, raw FROM baseline"):
            saved.baselines.setdefault(target, {})[series] = raw
            self._baselines.setdefault(target, {})[series] = number
            self._last_baseline = max(self._last_baseline, number)
        return saved

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        db = self._db
        if db is None:
            raise LedgerError(f"ledger {self._path} is closed")
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
            db.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                db.execute("ROLLBACK")
            raise

    def _write(self, db: sqlite3.Connection, changes: Changes) -> tuple[dict[str, int], dict[str, dict[str, int]]]:
        families = dict(self._families)
        for family in {family for family, *_ in changes.accounts} - families.keys():
            families[family] = max(families.values(), default=0) + 1
            db.execute("REPLACE INTO family (id, name) VALUES (?, ?)", (families[family], family))
        opened, moved = [], []
        for family, rows in changes.fewest.items():
            first = families.get(family, 0) * ROWS_PER_FAMILY
            db.execute("DELETE FROM account WHERE id >= ? AND id < ?", (first + rows, first + ROWS_PER_FAMILY))
        known = {name: min(self._rows.get(name, 0), changes.fewest.get(name, ROWS_PER_FAMILY)) for name in families}
        relabelled = changes.relabelled
        for family, row, labels, value in changes.accounts:
            number = families[family] * ROWS_PER_FAMILY + row
            if row < known[family] and not (relabelled and (family, row) in relabelled):
                moved.append((str(value), number))
            else:
                opened.append((number, json.dumps(labels), str(value)))
        db.executemany("UPDATE account SET value = ? WHERE id = ?", moved)
        # REPLACE: a commit that reported an error may have reached the disk all the same, and is then written again.
        db.executemany("REPLACE INTO account (id, labels, value) VALUES (?, ?, ?)", opened)
        tables = ("pool", changes.pools), ("target", changes.targets), ("discovered", changes.discovered)
        for table, states in tables:
            db.executemany(
                f"REPLACE INTO {table} (name, state) VALUES (?, ?)",  # noqa: S608 - one of three literals
                [(name, _text(state)) for name, state in states.items() if state is not None],
            )
            gone = [(name,) for name, state in states.items() if state is None]
            db.executemany(f"DELETE FROM {table} WHERE name = ?", gone)  # noqa: S608 - likewise
        return families, self._write_baselines(db, changes)

    def _write_baselines(self, db: sqlite3.Connection, changes: Changes) -> dict[str, dict[str, int]]:
        gone = changes.dropped | {target for target, state in changes.targets.items() if state is None}
        db.executemany("DELETE FROM baseline WHERE target = ?", [(target,) for target in gone])
        last, opened, moved = self._last_baseline, [], []
        added: dict[str, dict[str, int]] = {}
        for target, values in changes.baselines.items():
            numbers = {} if target in gone else self._baselines.get(target, {})
            for series, raw in values.items():
                if (number := numbers.get(series)) is not None:
                    moved.append((raw, number))
                else:
                    last += 1
                    added.setdefault(target, {})[series] = last
                    opened.append((last, target, series, raw))
        db.executemany("UPDATE baseline SET raw = ? WHERE id = ?", moved)
        db.executemany("REPLACE INTO baseline (id, target, series, raw) VALUES (?, ?, ?, ?)", opened)
        return added

    def _remember(self, changes: Changes, families: dict[str, int], added: dict[str, dict[str, int]]) -> None:
        self._families = families
        for family, rows in changes.fewest.items():
            self._rows[family] = min(self._rows.get(family, 0), rows)
        for family, row, _, _ in changes.accounts:
            self._rows[family] = max(self._rows.get(family, 0), row + 1)
        for target in changes.dropped | {target for target, state in changes.targets.items() if state is None}:
            self._baselines.pop(target, None)
        for target, numbers in added.items():
            self._baselines.setdefault(target, {}).update(numbers)
            self._last_baseline = max(self._last_baseline, *numbers.values())

    def _reconnect_next_time(self) -> None:
        if self._db is not None and not self._memory:
            with suppress(sqlite3.Error):
                self._db.close()
            self._db = None

    def _set_aside(self, error: Exception) -> None:
        if self._db is not None:
            with suppress(sqlite3.Error):
                self._db.close()
            self._db = None
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        aside = f"{self._path}.damaged-{stamp}"
        try:
            for suffix in ("", "-wal", "-shm"):
                with suppress(FileNotFoundError):
                    os.rename(f"{self._path}{suffix}", f"{aside}{suffix}")
        except OSError as failed:
            raise LedgerError(f"ledger {self._path} is damaged ({error}) and cannot be set aside: {failed}") from failed
        log.error(
            "ledger %s is damaged (%s): set aside as %s; counters start again from zero", self._path, error, aside
        )


def _check(db: sqlite3.Connection) -> None:
    found = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise sqlite3.DatabaseError(found)


def _text(state: State) -> str:
    """As JSON. With ten thousand tenants a pool's state has tens of thousands of rows: json would hold the interpreter
    for a tenth of a second, orjson does for a tenth of that; it knows no integer beyond 64 bits."""
    try:
        return orjson.dumps(state).decode()
    except orjson.JSONEncodeError:
        return json.dumps(state)


def _is_damage(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
