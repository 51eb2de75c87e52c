"""What is remembered of targets that left is bounded, and what is forgotten of them is never counted twice."""

from __future__ import annotations

from exporter.ledger.changes import Changes, Saved
from exporter.metering.meters import MOST_REMEMBERED, Meters
from exporter.metering.route import Scope
from exporter.records import NS, Instant, Reading, Series
from tests.columns import flat

SCOPE = Scope("any", "m", lambda _, model, __: ("p", "t", model), watched_since_ns=NS)
SERIES = Series("vllm:prompt_tokens_total", (), "vllm:prompt_tokens_total")
START = 1_800_000_000


def configure(meters: Meters, at: int, *names: str) -> None:
    meters.configure(dict.fromkeys(names, SCOPE), at * NS)


def tokens(meters: Meters, name: str, at: int, start: float, value: float) -> int:
    """What a page of that target adds."""
    assert meters.observe(Reading(name, "vllm", Instant(at * NS, at * NS), start, {SERIES: value}))
    for target, places, _, _ in meters.take():
        if target == name:
            return sum(flat(places["p"].tokens).values())
    raise AssertionError(name)


def on_disk(disk: dict[str, dict[str, object]], changes: Changes) -> None:
    for name, state in changes.targets.items():
        if state is None:
            disk.pop(name, None)
        else:
            disk[name] = state


def churned(disk: dict[str, dict[str, object]]) -> tuple[Meters, int]:
    """`first` was read and left; so did many others after it. What the ledger was told, and the time."""
    meters = Meters(Saved())
    configure(meters, START, "first")
    assert tokens(meters, "first", START + 1, START - 50, 100) == 100
    on_disk(disk, meters.drain())
    for step in range(2 * MOST_REMEMBERED):
        configure(meters, START + 10 + step, f"pod-{step}")
        tokens(meters, f"pod-{step}", START + 10 + step, START + 10 + step, 5)
        on_disk(disk, meters.drain())
    return meters, START + 10 + 2 * MOST_REMEMBERED


def test_memory_and_ledger_stay_small_however_many_come_and_go() -> None:
    disk: dict[str, dict[str, object]] = {}
    meters, _ = churned(disk)
    assert len(meters._left) == MOST_REMEMBERED + 1
    assert len(disk) == MOST_REMEMBERED + 2  # and the one that is there
    assert len(meters._gone) + len(meters._forgotten) + len(meters._meters) + len(meters._scopes) == 2


def test_a_forgotten_target_that_returns_is_not_counted_again_and_a_new_one_is_counted_whole() -> None:
    """Also by the next process, which knows only what is in the ledger."""
    disk: dict[str, dict[str, object]] = {}
    living, now = churned(disk)
    for meters in (living, Meters(Saved(targets=dict(disk)))):
        assert "first" not in meters._left
        configure(meters, now, "first", "new")
        assert tokens(meters, "first", now + 1, START - 50, 130) == 0
        assert tokens(meters, "first", now + 2, START - 50, 150) == 20
        assert tokens(meters, "new", now + 1, now - 3, 9) == 9


def test_a_target_that_is_back_keeps_what_it_counts_from_when_its_leaving_is_forgotten() -> None:
    disk: dict[str, dict[str, object]] = {}
    meters, now = churned(disk)
    configure(meters, now, "back")
    configure(meters, now + 1, "other")
    configure(meters, now + 2, "back")
    assert tokens(meters, "back", now + 3, now, 100) == 0
    on_disk(disk, meters.drain())
    for step in range(MOST_REMEMBERED + 5):
        configure(meters, now + 10 + step, "back", f"late-{step}")
        changes = meters.drain()
        assert "back" not in {name for name, state in changes.targets.items() if state is None}
        on_disk(disk, changes)
    assert "back" not in meters._left
    assert tokens(meters, "back", now + 5000, now, 107) == 7
