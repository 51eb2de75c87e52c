"""When money was spent, on disk: nothing is lost or doubled when it is saved, folded, upgraded or too large."""

from __future__ import annotations

import sqlite3
from collections import Counter
from pathlib import Path

import pytest

from exporter.errors import LedgerError
from exporter.ledger import families as f
from exporter.ledger import history
from exporter.ledger.accounts import Family
from exporter.ledger.changes import Changes, Hour, Past, Saved, Scope
from exporter.ledger.hours import Hours
from exporter.ledger.money import NS_PER_HOUR
from exporter.ledger.store import Store
from tests.ledger.test_store import files_end_at

ALL: Scope = (None, None, None)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(str(tmp_path / "l.db"))
    store.open()
    return store


def hour(number: int, when: int, **spent: int) -> Hour:
    return Hour(number, when, {("m", "p"): dict(spent)}, {})


def sums(past: list[Past]) -> int:
    return sum(pico for *_, pico in past)


def test_each_scope_is_told_its_own(store: Store) -> None:
    spent = {("m", "p"): {"a": 1, "b": 20}, ("m", "q"): {"a": 300}, ("n", "q"): {"b": 4000}}
    store.save(Changes(hours=(Hour(1, 480_000, spent, {}),)))
    store.save(Changes(hours=(Hour(2, 480_001, {("m", "p"): {"a": 50_000}}, {}),)))
    told = {
        ALL: 54321, ("a", None, None): 50301, (None, "m", None): 50321, (None, None, "q"): 4300, ("b", "m", "p"): 20,
        ("b", "m", "q"): 0, ("c", None, None): 0, ("", None, None): 54321,
    }  # fmt: skip
    assert {scope: sums(store.history(scope, 0)) for scope in told} == told
    assert store.history(ALL, 480_001) == [(2, 480_001, 1, 50_000)]
    assert store.history(ALL, 480_002) == []


def test_an_hour_that_a_clock_lived_twice_is_told_twice(store: Store) -> None:
    store.save(Changes(hours=(hour(1, 7, a=1), hour(2, 8, a=2), hour(3, 7, a=4))))
    assert store.history(ALL, 7) == [(1, 7, 1, 1), (2, 8, 1, 2), (3, 7, 1, 4)]


def test_a_save_that_is_repeated_adds_nothing(store: Store) -> None:
    """A commit may report an error and have reached the disk all the same."""
    for _ in range(2):
        store.save(Changes(hours=(hour(1, 7, a=5),)))
    assert sums(store.history(ALL, 0)) == 5


def test_amounts_beyond_64_bits(store: Store) -> None:
    huge = 10**30
    store.save(Changes(hours=tuple(hour(n, n, a=huge + n, b=2**63 - 1, c=2**63) for n in range(1, 50))))
    assert sums(store.history(("a", None, None), 0)) == 49 * huge + sum(range(50))
    assert sums(store.history(ALL, 0)) == 49 * (huge + 2**64 - 1) + sum(range(50))


def test_old_hours_become_days_and_old_days_go(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "HOURS_KEPT", 48)
    monkeypatch.setattr(history, "DAYS_KEPT", 5)
    kept: list[tuple[int, int]] = []
    for number in range(1, 24 * 14):
        when = 480_000 + number + number // 50  # some hours without any spend
        store.save(Changes(hours=(hour(number, when, a=number, b=10**20),)))
        kept.append((when, number))
    found = store.history(("a", None, None), 0)
    hours = {(when, pico) for _, when, width, pico in found if width == 1}
    assert hours == set(kept[-48:])
    days = Counter[int]()
    for when, pico in kept[:-48]:
        days[when - when % 24] += pico
    assert {when: pico for _, when, width, pico in found if width == 24} == dict(sorted(days.items())[-5:])
    assert sums(store.history(("b", None, None), 0)) % 10**20 == 0
    assert sums(store.history(ALL, 0)) == sums(found) + sums(store.history(("b", None, None), 0))


def test_a_clock_that_jumps_ahead_costs_no_history(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "HOURS_KEPT", 48)
    for number in range(1, 48):
        store.save(Changes(hours=(hour(number, 480_000 + number, a=1),)))
    store.save(Changes(hours=(hour(48, 600_000, a=1),)))
    assert len(store.history(ALL, 480_000)) == 48


# -- the hour under way ---------------------------------------------------------------------------------------------


def test_hours_say_what_moved_in_each(store: Store) -> None:
    spend = Family(f.SPEND)
    hours = Hours(spend, Saved(history=store.history), 100, 1)

    def told() -> list[tuple[int, int]]:
        return [(start // NS_PER_HOUR, spent) for start, _, spent in next(hours.of([(ALL, 0)], 102 * NS_PER_HOUR))]

    spend.add(("a", "m", "p", "input"), 5)
    hours.enter(100)
    spend.add(("a", "m", "p", "output"), 6)
    assert told() == [(100, 11)]
    hours.enter(101)
    assert told() == [(100, 11)], "waits to be saved"
    spend.add(("b", "m", "p", "input"), 700)
    changes = Changes(hours=hours.drain())
    hours.undrain(changes.hours)
    store.save(changes)  # although an error was reported
    assert told() == [(100, 11), (101, 700)], "neither lost nor told twice"
    store.save(Changes(hours=hours.drain()))
    hours.enter(102)
    hours.enter(105)
    (last,) = hours.drain()
    assert (last.number, last.hour, last.spent) == (2, 101, {("m", "p"): {"b": 700}})
    assert last.rolled == {2: 700}
    assert hours.number == 3, "an hour in which nothing was spent is none"


# -- formats --------------------------------------------------------------------------------------------------------

FIRST_FORMAT = """
CREATE TABLE family   (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE account  (id INTEGER PRIMARY KEY, labels TEXT NOT NULL, value TEXT NOT NULL) STRICT;
CREATE TABLE pool     (name TEXT PRIMARY KEY, state TEXT NOT NULL) STRICT;
CREATE TABLE target   (name TEXT PRIMARY KEY, state TEXT NOT NULL) STRICT;
CREATE TABLE baseline (id INTEGER PRIMARY KEY, target TEXT NOT NULL, series TEXT NOT NULL, raw REAL NOT NULL) STRICT;
CREATE INDEX baseline_target ON baseline (target);
INSERT INTO family VALUES (1, 'tokencost_tokens_total'), (2, 'tokencost_spend_usd_total');
INSERT INTO account VALUES (1099511627776, '["acme", "m", "p", "input"]', '77'),
    (2199023255552, '["acme", "m", "p", "input"]', '1000000000000000000000'),
    (2199023255553, '["acme", "m", "p", "output"]', '5');
INSERT INTO pool VALUES ('p', '{"tick": 1}');
PRAGMA user_version = 1;
"""


@pytest.fixture
def first_format(tmp_path: Path) -> Path:
    """A ledger as the first format had it, by its own hand."""
    path = tmp_path / "old.db"
    with sqlite3.connect(path) as db:
        db.executescript(FIRST_FORMAT)
    db.close()
    return path


def test_a_ledger_of_the_first_format_is_brought_up_to_date_in_place(first_format: Path) -> None:
    """What was spent before there was a history is in the counters, and in no hour."""
    store = Store(str(first_format))
    saved = store.open()
    assert saved.accounts[f.SPEND][0] == (("acme", "m", "p", "input"), 10**21)
    assert saved.pools == {"p": {"tick": 1}}
    assert saved.rolled == {0: 10**21, 1: 5}
    spend = Family(f.SPEND)
    for labels, value in saved.accounts[f.SPEND]:
        spend.add(labels, value)
    hours = Hours(spend, saved, 480_000, 1)
    spend.add(("acme", "m", "p", "output"), 3)
    hours.enter(480_001)
    account = (f.SPEND, 1, ("acme", "m", "p", "output"), 8)
    store.save(Changes(accounts=(account,), hours=hours.drain(), budgets={"b": {}}))
    store.close()
    again = Store(str(first_format))
    saved = again.open()
    assert (saved.rolled, saved.budgets) == ({0: 10**21, 1: 8}, {"b": {}})
    assert saved.history(ALL, 0) == [(1, 480_000, 1, 3)]
    again.close()
    with sqlite3.connect(first_format) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (2,)


def test_an_upgrade_is_all_or_nothing(first_format: Path) -> None:
    with sqlite3.connect(first_format) as db:
        db.execute("CREATE TABLE moment (in_the_way INTEGER)")
    db.close()
    before = _tables(first_format)
    store = Store(str(first_format))
    assert store.open().pools == {"p": {"tick": 1}}, "what is there is served"
    for reason in ("readonly", "already exists"):
        with pytest.raises(LedgerError, match=reason):
            store.save(Changes(pools={"p": {"tick": 2}}))
    store.close()
    assert _tables(first_format) == before
    with sqlite3.connect(first_format) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1,)


def test_a_ledger_that_cannot_be_written_is_read_in_its_old_format_and_upgraded_later(first_format: Path) -> None:
    store = Store(str(first_format))
    with files_end_at(100):  # a full disk
        saved = store.open()
    assert saved.rolled == {0: 10**21, 1: 5}
    assert saved.history(ALL, 0) == []
    with sqlite3.connect(first_format) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
    with files_end_at(100), pytest.raises(LedgerError):
        store.save(Changes(hours=(hour(1, 480_000, a=3),)))
    store.save(Changes(hours=(hour(1, 480_000, a=3),)))
    assert store.history(ALL, 0) == [(1, 480_000, 1, 3)]
    store.close()
    again = Store(str(first_format))
    assert again.open().rolled == {0: 10**21, 1: 5}
    again.close()


def test_another_programs_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "l.db") as db:
        db.execute("CREATE TABLE photos (id INTEGER PRIMARY KEY)")
    db.close()
    with pytest.raises(LedgerError, match="another program's database"):
        Store(str(tmp_path / "l.db")).open()
    assert _tables(tmp_path / "l.db") == ["photos"]


def _tables(path: Path) -> list[str]:
    with sqlite3.connect(path) as db:
        found = [name for (name,) in db.execute("SELECT name FROM sqlite_master")]
    db.close()
    return found
