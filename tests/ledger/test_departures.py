"""Accounts about targets that left are dropped in the end: from memory, the page and the disk, and no others."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.ledger import families as f
from exporter.ledger import saving
from exporter.ledger.accounts import Family, Labels
from exporter.ledger.changes import Changes
from exporter.ledger.departures import ABOUT_TARGETS, KEPT_NS, MOST_KEPT, Departures
from exporter.ledger.families import open_books
from exporter.ledger.store import Store
from exporter.publish.catalog import by_name
from exporter.publish.snapshot import Snapshot, values
from exporter.publish.view import View
from exporter.publish.writer import Exposition
from exporter.records import Instant

NOW = Instant(1, 1)
NAMES = [f"http://pod-{number}:8000/metrics" for number in range(6)]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.sampled_from(NAMES), st.integers(0, 9)),
        st.tuples(st.just("drop"), st.sets(st.sampled_from(NAMES)), st.just(0)),
        st.tuples(st.just("save"), st.sampled_from(["well", "badly", "reported badly"]), st.just(0)),
        st.tuples(st.just("render"), st.just(""), st.just(0)),
    ),
    max_size=40,
)


def rows(family: Family) -> dict[Labels, int]:
    assert family.rows == {labels: row for row, labels in enumerate(family.labels)}
    return dict(zip(family.labels, family.values, strict=True))


def loaded(path: Path) -> dict[Labels, int]:
    store = Store(str(path))
    saved = store.open()
    store.close()
    return dict(saved.accounts.get(f.SCRAPES, []))


@given(STEPS)
@settings(max_examples=150, deadline=None)
def test_memory_page_and_disk_agree_whatever_comes_and_goes(steps: list[tuple[str, object, int]]) -> None:
    """Also when a save fails, and when one that reported an error had reached the disk all the same."""
    with TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:  # noqa: S108
        path = Path(folder) / "ledger.db"
        store, books, page = Store(str(path)), open_books(), Exposition()
        store.open()
        family = books[f.SCRAPES]
        expected: dict[Labels, int] = {}
        on_disk: dict[Labels, int] = {}
        for step, what, amount in steps:
            if step == "add":
                expected[(str(what),)] = expected.get((str(what),), 0) + amount
                family.add((str(what),), amount)
            elif step == "drop":
                gone = [(name,) for name in what if (name,) in expected]  # type: ignore[attr-defined]
                family.drop(gone)
                expected = {labels: value for labels, value in expected.items() if labels not in gone}
            elif step == "save":
                changes = saving.take(books, Changes())
                if what != "badly":
                    known = dict(store._rows)
                    store.save(changes)
                    store._rows = known if what == "reported badly" else store._rows
                    on_disk = dict(expected)
                if what != "well":
                    saving.give_back(books, changes)
            else:
                rendered = page.update(View(NOW, NOW, books, {})).body("text").decode()
                lines = {line for line in rendered.splitlines() if not line.startswith("#")}
                assert lines == {f'{f.SCRAPES}{{target="{name}"}} {value}' for (name,), value in expected.items()}
            assert rows(family) == expected
        store.close()
        assert loaded(path) == on_disk
        store.open()
        store.save(saving.take(books, Changes()))
        store.close()
        assert loaded(path) == expected


def test_a_snapshot_that_is_made_later_still_shows_its_own_tick() -> None:
    books = open_books()
    for number, name in enumerate(NAMES):
        books[f.SCRAPES].add((name,), number)
    snapshot = Snapshot(View(NOW, NOW, books, {}))
    books[f.SCRAPES].drop([(NAMES[0],), (NAMES[3],)])
    books[f.SCRAPES].add(("http://new/metrics",), 99)
    seen = {labels: value for value, labels in values(snapshot.view, by_name()[f.SCRAPES])}
    assert seen == {(name,): number for number, name in enumerate(NAMES)}


def test_they_go_an_hour_after_their_target() -> None:
    books = open_books()
    departures = Departures(books)
    for name in NAMES[:3]:
        books[f.SCRAPES].add((name,), 5)
        books[f.RESETS].open((name,))
        for reason in ("timeout", "connect"):
            books[f.FAILURES].add((name, reason), 1)
    books[f.TOKENS].add(("acme", "m", NAMES[0], "input"), 7)
    departures.configure(NAMES[:3], 0)
    departures.configure(NAMES[2:3], 10)
    departures.configure(NAMES[1:3], 20)  # one is back
    departures.settle(KEPT_NS + 9)
    assert len(books[f.SCRAPES].labels) == 3
    departures.settle(KEPT_NS + 10)
    for name in ABOUT_TARGETS:
        assert {labels[0] for labels in books[name].labels} == set(NAMES[1:3])
    assert len(books[f.FAILURES].labels) == 4
    assert books[f.TOKENS].labels == [("acme", "m", NAMES[0], "input")]
    assert departures._since == {}


def test_leaving_again_begins_the_hour_again() -> None:
    books = open_books()
    departures = Departures(books)
    books[f.SCRAPES].add((NAMES[0],), 5)
    departures.configure([], 0)
    departures.configure(NAMES[:1], KEPT_NS - 1)
    departures.configure([], KEPT_NS)
    departures.settle(2 * KEPT_NS - 1)
    assert rows(books[f.SCRAPES]) == {(NAMES[0],): 5}
    departures.settle(2 * KEPT_NS)
    assert rows(books[f.SCRAPES]) == {}


def test_where_very_many_leave_those_that_left_first_go_at_once() -> None:
    books = open_books()
    departures = Departures(books)
    left = [f"http://pod-{number}:8000/metrics" for number in range(MOST_KEPT + 3)]
    departures.configure(left, 0)
    departures.configure(left[2:], 1)
    departures.configure([], 2)
    departures.settle(3)
    kept = {labels[0] for labels in books[f.SCRAPES].rows}
    assert len(kept) == MOST_KEPT
    assert not {left[0], left[1]} & kept
