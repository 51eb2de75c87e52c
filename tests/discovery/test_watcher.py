"""One source at work: it keeps what it knew, lets go slowly, and says how it is doing."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from exporter.discovery.found import MOST_ADDRESSES, Found
from exporter.discovery.resolve import Listed
from exporter.discovery.watcher import LINGER_NS, LONGEST_WAIT_NS, TOGETHER, Watcher
from exporter.errors import Reason, ScrapeError
from exporter.ledger.changes import State
from exporter.records import NS
from tests.clock import ManualClock
from tests.discovery.given import FILES, NOON, at, flies, spec

BROKEN = ScrapeError(Reason.INVALID, "it is broken")


class Told:
    """A source that says what the test tells it to."""

    def __init__(self) -> None:
        self.says: asyncio.Queue[Found | Exception] = asyncio.Queue()
        self.tries = self.heard = 0
        self.away = False

    async def watch(self) -> AsyncGenerator[Found, None]:
        self.tries += 1
        while True:
            said = BROKEN if self.away else await self.says.get()
            try:
                if isinstance(said, Exception):
                    raise said
                yield said
            finally:
                self.heard += not self.away


class On:
    """A watcher of such a source."""

    def __init__(self, state: State | None = None, **keys: Any) -> None:
        self.clock, self.source, self.changes = ManualClock(NOON), Told(), 0
        self.watcher = Watcher("pool/a/file_sd", spec(**FILES, **keys), self.source, self.clock, self._changed, state)

    def _changed(self) -> None:
        self.changes += 1

    async def hears(self, *said: Found | Exception) -> None:
        """Told this, and heard all of it."""
        before = self.source.heard
        for one in said:
            self.source.says.put_nowait(one)
        await flies(self.clock, lambda: self.source.heard - before == len(said), "it is heard")
        await asyncio.sleep(0)

    def listed(self) -> list[str]:
        return [end.target for end in self.watcher.endpoints().listed]

    def lingering(self) -> list[str]:
        return [end.target for end in self.watcher.endpoints().lingering]


@asynccontextmanager
async def watching(state: State | None = None, **keys: Any) -> AsyncIterator[On]:
    on = On(state, **keys)
    task = asyncio.create_task(on.watcher.run())
    try:
        yield on
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def hosts(*names: str) -> Found:
    return Found(tuple(at(f"{name}:80") for name in names))


def target(name: str) -> str:
    return f"http://{name}:80/metrics"


async def test_a_source_that_fails_keeps_what_it_listed(caplog: pytest.LogCaptureFixture) -> None:
    async with watching() as on:
        assert not on.watcher.tried
        await on.hears(hosts("a"))
        heard = on.watcher.last_success
        assert (on.watcher.tried, on.watcher.up) == (True, True)
        with caplog.at_level(logging.WARNING):
            await on.hears(BROKEN, BROKEN, BROKEN)
        assert (on.listed(), on.watcher.up, on.watcher.last_success) == ([target("a")], False, heard)
        assert on.watcher.failures == {Reason.INVALID: 3}
        assert [record.getMessage() for record in caplog.records] == [
            "discovery pool/a/file_sd failed, invalid: it is broken"
        ]
        assert on.changes == 1
        await on.hears(hosts("a"))
        assert (on.watcher.up, on.changes) == (True, 1)


async def test_a_source_that_is_away_is_asked_less_and_less_often() -> None:
    async with watching() as on:
        on.source.away = True
        await flies(on.clock, lambda: on.source.tries == 1, "the first try")
        waits = []
        for tries in range(1, 9):
            before = on.clock.now().monotonic_ns
            await flies(on.clock, lambda tries=tries: on.source.tries > tries, "the next try")  # type: ignore[misc]
            waits.append(round((on.clock.now().monotonic_ns - before) / NS))
        assert waits == [1, 2, 4, 8, 16, *[LONGEST_WAIT_NS // NS] * 3]


async def test_a_bug_is_a_failure_like_any_other(caplog: pytest.LogCaptureFixture) -> None:
    async with watching() as on:
        await on.hears(hosts("a"), ValueError("surprise"), ValueError("surprise"))
        await flies(on.clock, lambda: on.watcher.failures.total() == 2, "it failed twice")
        assert (on.listed(), on.watcher.failures) == ([target("a")], {Reason.INTERNAL: 2})
        assert len([record for record in caplog.records if record.exc_info]) == 1


async def test_what_leaves_the_list_lingers_for_a_while() -> None:
    async with watching() as on:
        await on.hears(hosts("a", "b"), hosts("b"))
        assert (on.listed(), on.lingering()) == ([target("b")], [target("a")])
        assert on.watcher.next_expiry is not None
        on.watcher.expire(on.watcher.next_expiry - 1)
        assert on.lingering() == [target("a")]
        on.clock.advance(LINGER_NS)
        on.watcher.expire(on.clock.now().monotonic_ns)
        assert (on.listed(), on.lingering()) == ([target("b")], [])


async def test_one_that_returns_is_listed_again_and_its_time_begins_anew() -> None:
    async with watching() as on:
        await on.hears(hosts("a"), hosts())
        first = on.watcher.next_expiry
        await on.hears(hosts("a"))
        assert (on.listed(), on.lingering()) == ([target("a")], [])
        on.clock.advance(NS)
        await on.hears(hosts())
        assert first is not None
        assert on.watcher.next_expiry is not None
        assert on.watcher.next_expiry > first


async def test_one_that_lingers_is_let_go_when_it_cannot_be_read_and_one_that_is_listed_is_not() -> None:
    async with watching() as on:
        await on.hears(hosts("a", "b"), hosts("b"))
        on.watcher.unsaved = False
        for name, reason, gone in (
            ("a", Reason.TIMEOUT, False),
            ("b", Reason.CONNECT, False),
            ("a", Reason.STATUS, False),
            ("a", Reason.TIMEOUT, True),  # the third time
            ("a", Reason.CONNECT, False),
        ):
            assert on.watcher.failed(target(name), reason) is gone
        assert on.watcher.unsaved
        assert (on.listed(), on.lingering()) == ([target("b")], [])
        await on.hears(hosts())
        assert on.watcher.failed(target("b"), Reason.CONNECT)  # nobody is there
        assert (on.listed(), on.lingering()) == ([], [])


async def test_what_is_refused_is_counted_once_and_hurts_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    bad = at("169.254.169.254:80")
    async with watching() as on:
        await on.hears(Found((bad, at("a:80"))), Found((bad, at("b:80"))))
        assert on.listed() == [target("b")]
        assert on.watcher.failures == {Reason.REFUSED: 1}
        assert on.watcher.up
        (said,) = [record.getMessage() for record in caplog.records if "refused" in record.getMessage()]
        assert "169.254.169.254:80" in said
        await on.hears(hosts("b"), Found((bad,)))
        assert on.watcher.failures == {Reason.REFUSED: 2}


async def test_hostile_names_are_logged_in_one_short_line_each(caplog: pytest.LogCaptureFixture) -> None:
    async with watching() as on:
        await on.hears(Found(tuple(at(f"x\n{number} {'y' * 1000}") for number in range(100))))
        said = [record.getMessage() for record in caplog.records]
        assert len(said) < 25
        assert all("\n" not in line and len(line) < 500 for line in said)
        assert on.watcher.failures == {Reason.REFUSED: 100}


async def test_a_set_that_nobody_meant_is_refused_whole() -> None:
    async with watching() as on:
        await on.hears(hosts("a"), hosts(*map(str, range(MOST_ADDRESSES + 1))))
        await flies(on.clock, lambda: on.watcher.failures, "it is refused")
        assert (on.listed(), on.watcher.failures) == ([target("a")], {Reason.TOO_MANY_TARGETS: 1})


async def test_others_have_their_turns_while_many_are_judged() -> None:
    async with watching() as on:
        await on.hears(hosts("a"))
        on.source.says.put_nowait(hosts(*map(str, range(10 * TOGETHER))))
        turns = 0
        while on.listed() == [target("a")]:
            turns += 1
            await asyncio.sleep(0)
        assert turns > 10
        assert len(on.listed()) == 10 * TOGETHER


async def test_what_does_not_match_is_left_out_and_the_first_of_two_alike_counts() -> None:
    async with watching(match={"app": "llama"}, tenant_from="team") as on:
        found = (at("a:80", app="llama", team="x"), at("a:80", app="llama", team="y"), at("b:80", app="other"))
        await on.hears(Found(found))
        assert [(end.target, end.tenant) for end in on.watcher.endpoints().listed] == [(target("a"), "x")]


async def test_a_part_that_was_never_read_may_still_list_what_was_known() -> None:
    async with watching({"found": [["a:80", []], ["b:80", []]]}) as on:
        await on.hears(Found((at("b:80"), at("c:80")), BROKEN, whole=False))
        assert on.listed() == [target("b"), target("c"), target("a")]
        assert (on.watcher.up, on.watcher.failures) == (False, {Reason.INVALID: 1})
        await on.hears(Found((at("c:80"), *(at(f"{n}:80") for n in range(MOST_ADDRESSES - 1))), BROKEN, whole=False))
        assert len(on.listed()) == MOST_ADDRESSES  # bounded, also where nothing may be let go of
        await on.hears(hosts("c"))
        assert on.listed() == [target("c")]
        assert on.lingering()[:2] == [target("a"), target("0")]  # b left first, and is one too many
        await on.hears(hosts("d"), hosts("e"), hosts("f"))
        assert len(on.lingering()) == MOST_ADDRESSES
        assert on.lingering()[-3:] == [target("c"), target("d"), target("e")]


async def test_the_ledger_keeps_all_that_is_read_and_the_config_reads_it_anew() -> None:
    async with watching(tenant_from="team") as on:
        assert on.watcher.state() == {"found": []}
        on.watcher.unsaved = False
        await on.hears(Found((at("a:80", team="x"), at("b:80", team="y"))))
        assert on.watcher.unsaved
        on.watcher.unsaved = False
        await on.hears(Found((at("a:80", team="x"),)))
        assert on.watcher.unsaved
        saved, found = json.loads(json.dumps(on.watcher.state())), on.watcher.endpoints()
    again = On(saved, tenant_from="team")
    assert again.watcher.endpoints() == Listed([end for ends in (found.listed, found.lingering) for end in ends], [])
    assert not again.watcher.tried
    narrower = On(saved, match={"team": "y"})
    assert narrower.listed() == [target("b")]
