"""What sources of targets listed last is in the ledger, in files from before there were any, too."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from exporter.errors import LedgerError
from exporter.ledger.changes import Changes, State
from exporter.ledger.store import Store
from tests.ledger.test_store import files_end_at

FOUND: State = {"found": [["10.0.0.1:8000", [["team", "blue"]]]]}


def kept(path: Path) -> dict[str, State]:
    store = Store(str(path))
    try:
        return store.open().discovered
    finally:
        store.close()


def test_what_was_listed_comes_back_until_its_source_leaves_the_config(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    store = Store(str(path))
    assert store.open().discovered == {}
    store.save(Changes(discovered={"pool/a/dns": FOUND, "pool/b/dns": {"found": []}}))
    store.save(Changes(discovered={"pool/b/dns": None}))
    store.close()
    assert kept(path) == {"pool/a/dns": FOUND}


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """The file of a program that discovered nothing."""
    path = tmp_path / "l.db"
    assert kept(path) == {}
    with closing(sqlite3.connect(path)) as db:
        db.execute("DROP TABLE discovered")
        db.execute("PRAGMA journal_mode = DELETE")
    return path


def test_an_older_file_takes_it(older: Path) -> None:
    assert kept(older) == {}
    store = Store(str(older))
    store.open()
    store.save(Changes(discovered={"pool/a/dns": FOUND}))
    store.close()
    assert kept(older) == {"pool/a/dns": FOUND}


def test_an_older_file_that_can_be_written_only_later_takes_it_then(older: Path) -> None:
    store = Store(str(older))
    changes = Changes(discovered={"pool/a/dns": FOUND})
    with files_end_at(100):  # a full disk
        assert store.open().discovered == {}
        with pytest.raises(LedgerError):
            store.save(changes)
    store.save(changes)
    store.close()
    assert kept(older) == {"pool/a/dns": FOUND}
