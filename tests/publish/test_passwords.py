"""Passwords: slow to guess, quick for who has logged in before, and nobody's try is free."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Iterator, Mapping

import bcrypt
import pytest

from exporter.publish.passwords import (
    LONGEST,
    MOST_FROM_ONE,
    MOST_KNOWN,
    MOST_WAITING,
    Passwords,
    TooBusyError,
    matches,
    unmatchable,
)  # fmt: skip
from tests.publish.guarded import basic

HERE, ELSEWHERE = "10.0.0.1", "10.0.0.2"
SLOW = 12  # a fifth of a second or more


def hashed(password: str, cost: int = 4) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(cost)).decode()


USERS = {"alice": hashed("wonder:land"), "bob": hashed("büilder")}
SLOW_USERS = {"carol": hashed("carol's", SLOW)}


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    made = Passwords()
    yield made
    made.close()


@pytest.mark.parametrize(
    ("header", "good"),
    [
        (basic("alice", "wonder:land"), True),
        (basic("bob", "büilder"), True),
        (basic("alice", "wonder:land").replace("Basic", "bAsIc"), True),
        (basic("alice", "wonder:land "), False),
        (basic("alice", "büilder"), False),
        (basic("bob", ""), False),
        (basic("", ""), False),
        (basic("ALICE", "wonder:land"), False),
        (basic("mallory", "wonder:land"), False),
        (basic("alice", USERS["alice"]), False),
        (basic("mallory", unmatchable(USERS)), False),
        (basic("alice", "wonder:land\0"), False),
        ("", False),
        ("Basic", False),
        ("Basic !!!", False),
        ("Basic " + base64.b64encode(b"alice").decode(), False),
        ("Basic " + base64.b64encode(b"\xff\xfe:x").decode(), False),
        ("Bearer " + base64.b64encode(b"alice:wonder:land").decode(), False),
        ("Basic " + "A" * 8000, False),
        ("Basic \udcff", False),
    ],
)
async def test_who_is_let_in(passwords: Passwords, header: str, good: bool) -> None:
    for _ in range(2):  # the second time out of memory, where it was good
        assert await passwords.admit(USERS, header, HERE) is good


async def test_a_hash_is_no_password_even_of_who_is_remembered(passwords: Passwords) -> None:
    """As in CVE-2022-46146: what is remembered must not be made of parts that run into each other."""
    assert await passwords.admit(USERS, basic("alice", "wonder:land"), HERE)
    expected = USERS["alice"]
    for user, password in (("alice", expected), ("alice:" + expected, "wonder:land"), ("alice", expected + ":x")):
        assert not await passwords.admit(USERS, basic(user, password), HERE)


async def test_a_changed_password_and_a_removed_user_are_forgotten(passwords: Passwords) -> None:
    login = basic("alice", "wonder:land")
    assert await passwords.admit(USERS, login, HERE)
    assert not await passwords.admit({"alice": hashed("new")}, login, HERE)
    assert not await passwords.admit({"bob": USERS["bob"]}, login, HERE)


def test_bcrypt_looks_at_no_more_than_it_can() -> None:
    long = "p" * LONGEST
    assert matches(long + "tail", hashed(long))
    assert not matches("p" * (LONGEST - 1), hashed(long))


async def test_a_name_nobody_has_takes_as_long_as_one_that_somebody_has(passwords: Passwords) -> None:
    users = SLOW_USERS | {"quick": hashed("quick")}
    took = {}
    for user in ("carol", "nobody"):
        before = time.perf_counter()
        assert not await passwords.admit(users, basic(user, "wrong"), HERE)
        took[user] = time.perf_counter() - before
    assert took["nobody"] > took["carol"] / 4  # without the check: a ten-thousandth


def test_nothing_matches_what_stands_for_nobody() -> None:
    assert not any(matches(password, unmatchable({})) for password in ("", "x", unmatchable({})))
    assert unmatchable({"a": hashed("a", 4), "b": hashed("b", 6)}).startswith("$2b$06$")


async def flood(passwords: Passwords, count: int, address: str = HERE) -> list[asyncio.Task[bool]]:
    """That many wrong passwords, being checked or in line."""
    tries = [
        asyncio.create_task(passwords.admit(SLOW_USERS, basic("carol", f"guess {number}"), address))
        for number in range(count)
    ]
    await asyncio.sleep(0)
    return tries


async def test_a_flood_delays_nobody_who_has_logged_in_and_leaves_room_for_others(passwords: Passwords) -> None:
    assert await passwords.admit(SLOW_USERS, basic("carol", "carol's"), HERE)
    tries = await flood(passwords, MOST_FROM_ONE)
    for user in ("carol", "nobody"):  # a name nobody has costs the same
        with pytest.raises(TooBusyError):
            await passwords.admit(SLOW_USERS, basic(user, "another guess"), HERE)
    async with asyncio.timeout(0):  # without a wait
        assert await passwords.admit(SLOW_USERS, basic("carol", "carol's"), HERE)
    stranger = asyncio.create_task(passwords.admit(SLOW_USERS, basic("carol", "carol's"), ELSEWHERE))
    assert await asyncio.gather(*tries, stranger) == [False] * MOST_FROM_ONE + [True]
    assert not await passwords.admit(SLOW_USERS, basic("nobody", "x"), HERE)  # there is room again


async def test_there_is_a_bound_over_all_addresses(passwords: Passwords) -> None:
    tries = []
    for number in range(MOST_WAITING // MOST_FROM_ONE):
        tries += await flood(passwords, MOST_FROM_ONE, f"10.0.1.{number}")
    with pytest.raises(TooBusyError):
        await passwords.admit(SLOW_USERS, basic("carol", "carol's"), ELSEWHERE)
    for one in tries:
        one.cancel()
    assert all(isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*tries, return_exceptions=True))


async def test_who_hangs_up_does_not_get_his_place_back(passwords: Passwords) -> None:
    for one in await flood(passwords, MOST_FROM_ONE):
        one.cancel()
    await asyncio.sleep(0)
    with pytest.raises(TooBusyError):
        await passwords.admit(SLOW_USERS, basic("carol", "one more"), HERE)


async def test_the_loop_goes_on_while_a_password_is_checked(passwords: Passwords) -> None:
    checking = asyncio.create_task(passwords.admit(SLOW_USERS, basic("carol", "wrong"), HERE))
    turns = 0
    while not checking.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 100


async def test_what_is_remembered_is_bounded(passwords: Passwords) -> None:
    """Passwords that differ only where bcrypt does not look are all good, and each is remembered on its own."""
    long = "p" * LONGEST
    users: Mapping[str, str] = {"dave": hashed(long)} | SLOW_USERS
    logins = [basic("dave", f"{long}{number}") for number in range(MOST_KNOWN + 1)]
    for login in logins:
        assert await passwords.admit(users, login, HERE)
    await flood(passwords, MOST_FROM_ONE)
    assert await passwords.admit(users, logins[1], HERE)
    with pytest.raises(TooBusyError):  # pushed out
        await passwords.admit(users, logins[0], HERE)
