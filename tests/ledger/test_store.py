"""The ledger file: all of a tick or none of it, whatever happens to the process or the disk."""

from __future__ import annotations

import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from exporter.errors import LedgerError
from exporter.ledger.changes import Changes
from exporter.ledger.store import Store

HUGE = 10**30  # more than a 64-bit integer holds


def tick(number: int) -> Changes:
    """A transaction whose parts can be told to belong together."""
    return Changes(
        accounts=(("cost", 0, ("p", "gpu"), number * HUGE), ("spend", number, (f"t{number}", "m"), number)),
        pools={"p": {"tick": number}},
        targets={"http://e": {"tick": number}},
        baselines={"http://e": {"a": float(number), f"s{number}": 1.0}},
    )


def reopened(path: Path) -> Store:
    return Store(str(path))


def test_what_was_saved_is_what_comes_back(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "deep" / "ledger.db"))
    assert store.open().accounts == {}
    for number in range(3):
        store.save(tick(number))
    store.close()
    saved = reopened(tmp_path / "deep" / "ledger.db").open()
    assert saved.accounts == {
        "cost": [(("p", "gpu"), 2 * HUGE)],
        "spend": [(("t0", "m"), 0), (("t1", "m"), 1), (("t2", "m"), 2)],
    }
    assert (saved.pools, saved.targets) == ({"p": {"tick": 2}}, {"http://e": {"tick": 2}})
    assert saved.baselines == {"http://e": {"a": 2.0, "s0": 1.0, "s1": 1.0, "s2": 1.0}}


@pytest.mark.parametrize(
    "state",
    [{"cost": 2**63}, {"cost": -(2**200)}, {"tenant": "\ud800"}, {"rows": [("é", 1.1, None, True)]}, {"at": 1e300}],
)
def test_every_state_comes_back_as_it_was(tmp_path: Path, state: dict[str, Any]) -> None:
    """Integers of any size, and text that UTF-8 cannot hold."""
    store = reopened(tmp_path / "l.db")
    store.open()
    store.save(Changes(pools={"p": state}))
    store.close()
    assert reopened(tmp_path / "l.db").open().pools == {"p": json.loads(json.dumps(state))}


def test_what_left_the_config_leaves_the_file_but_accounts_stay(tmp_path: Path) -> None:
    store = reopened(tmp_path / "l.db")
    store.open()
    store.save(tick(0))
    store.save(tick(1))
    store.save(Changes(pools={"p": None}, targets={"http://e": None}))
    store.save(Changes(targets={"http://e": {"tick": 9}}, baselines={"http://e": {"a": 7.0}}))
    store.close()
    saved = reopened(tmp_path / "l.db").open()
    assert (saved.pools, saved.baselines) == ({}, {"http://e": {"a": 7.0}})
    assert saved.accounts["cost"] == [(("p", "gpu"), HUGE)]


def test_a_restarted_process_drops_its_older_baselines(tmp_path: Path) -> None:
    store = reopened(tmp_path / "l.db")
    store.open()
    store.save(tick(0))
    store.save(Changes(baselines={"http://e": {"a": 0.5}}, dropped=frozenset({"http://e"})))
    store.save(Changes(baselines={"http://e": {"a": 0.75, "b": 2.0}}))
    store.close()
    assert reopened(tmp_path / "l.db").open().baselines == {"http://e": {"a": 0.75, "b": 2.0}}


@contextmanager
def files_end_at(size: int) -> Iterator[None]:
    """A disk that is full: no file may grow beyond `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_fails_the_save_and_the_next_one_catches_up(tmp_path: Path) -> None:
    store = reopened(tmp_path / "l.db")
    store.open()
    store.save(tick(0))
    store.save(tick(1))
    with files_end_at(4096), pytest.raises(LedgerError, match=r"l\.db"):
        store.save(tick(2))
    with files_end_at(4096), pytest.raises(LedgerError):
        store.save(tick(2))
    store.save(tick(2))
    store.close()
    saved = reopened(tmp_path / "l.db").open()
    assert saved.pools == {"p": {"tick": 2}}
    assert saved.accounts["spend"][-1] == (("t2", "m"), 2)


@pytest.mark.parametrize("damage", ["garbage", "middle"])
def test_a_damaged_file_is_set_aside_and_never_written_over(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "l.db"
    store = reopened(path)
    store.open()
    for number in range(200):
        store.save(tick(number))
    store.close()
    before = bytearray(path.read_bytes())
    before[: 100 if damage == "garbage" else 0] = b"x" * (100 if damage == "garbage" else 0)
    before[4096:12288] = os.urandom(8192)
    path.write_bytes(before)

    store = reopened(path)
    assert store.open().accounts == {}
    store.save(tick(0))
    store.close()
    aside = [file for file in tmp_path.iterdir() if ".damaged-" in file.name]
    assert [file.read_bytes() for file in aside] == [bytes(before)]
    assert "set aside as" in caplog.text


def test_a_second_exporter_on_the_same_ledger_is_refused(tmp_path: Path) -> None:
    first = reopened(tmp_path / "l.db")
    first.open()
    with pytest.raises(LedgerError, match="in use by another process"):
        reopened(tmp_path / "l.db").open()
    first.close()
    reopened(tmp_path / "l.db").open()


def test_a_ledger_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "l.db") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    before = (tmp_path / "l.db").read_bytes()
    with pytest.raises(LedgerError, match="newer version"):
        reopened(tmp_path / "l.db").open()
    assert (tmp_path / "l.db").read_bytes() == before


def test_a_folder_that_cannot_be_made_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match="cannot be created"):
        reopened(tmp_path / "file" / "l.db").open()


def test_memory_keeps_nothing() -> None:
    store = Store(":memory:")
    store.open()
    store.save(tick(1))
    store.close()
    again = Store(":memory:")
    assert again.open().pools == {}
    again.close()


def test_a_file_is_the_same_ledger_for_as_long_as_its_counters_go_on(tmp_path: Path) -> None:
    def opened(name: str) -> tuple[str, int]:
        store = reopened(tmp_path / name)
        saved = store.open()
        store.save(tick(0))
        store.close()
        return saved.ledger_id, saved.began

    before = int(time.time())
    first, began = opened("l.db")
    assert len(first) == 32
    assert before <= began <= time.time()
    assert opened("l.db") == (first, began)
    assert opened("other.db")[0] != first

    damaged = bytearray((tmp_path / "l.db").read_bytes())
    damaged[:100] = b"x" * 100
    (tmp_path / "l.db").write_bytes(damaged)
    assert opened("l.db")[0] != first, "its counters start again from zero"


def test_a_file_from_before_it_had_an_identity_gets_one_if_it_can_be_written(tmp_path: Path) -> None:
    store = reopened(tmp_path / "l.db")
    store.open()
    store.save(tick(0))
    store.close()
    with closing(sqlite3.connect(tmp_path / "l.db")) as db:
        db.execute("DROP TABLE ledger")
    with files_end_at(0):
        store = reopened(tmp_path / "l.db")
        saved = store.open()
        store.close()
        assert (saved.ledger_id, saved.began, saved.pools) == ("", 0, {"p": {"tick": 0}})
    store = reopened(tmp_path / "l.db")
    identity = store.open().ledger_id
    store.close()
    assert identity
    assert reopened(tmp_path / "l.db").open().ledger_id == identity


WRITER = """
import sys
sys.path.insert(0, {root!r})
from pathlib import Path
from tests.ledger.test_store import tick
from exporter.ledger.store import Store
store = Store(sys.argv[1])
number = store.open().pools.get("p", {{"tick": -1}})["tick"]
while True:
    number += 1
    store.save(tick(number))
    print(number, flush=True)
"""


def test_kill_9_at_any_moment_leaves_the_last_tick_whole(tmp_path: Path) -> None:
    """What was reported as saved is there; what is there is whole, never half a tick."""
    path = tmp_path / "l.db"
    script = WRITER.format(root=str(Path(__file__).parents[2]))
    last = -1
    for round_ in range(8):
        process = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True)
        assert process.stdout
        for _ in range(3 + round_ * 5):
            last = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().split()
        process.wait()
        process.stdout.close()
        last = max([last, *map(int, rest)])

        store = reopened(path)
        saved = store.open()
        store.close()
        number = saved.pools["p"]["tick"]
        assert number >= last, "a save that was reported is lost"
        assert saved.targets["http://e"]["tick"] == number
        assert saved.accounts["cost"][0][1] == number * HUGE
        assert len(saved.accounts["spend"]) == number + 1
        assert saved.baselines["http://e"]["a"] == number
        assert len(saved.baselines["http://e"]) == number + 2
