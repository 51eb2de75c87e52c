"""Basic auth against bcrypt hashes: slow by design, so off the loop, one at a time, and never twice for the same login.

What is known good is remembered, so that a flood of wrong passwords delays no client that has logged in before.
Wrong ones are not: they would push out the good.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b

import bcrypt

LONGEST = 72  # bytes of a password that bcrypt looks at; htpasswd and Go ignore the rest too
MOST_WAITING = 32  # checks under way or in line
MOST_FROM_ONE = 4  # of these from one address, so that one flood leaves room for others
MOST_KNOWN = 1024


class TooBusyError(Exception):
    """Too many unknown passwords are being checked; this one was not."""


class Passwords:
    """Says whether an Authorization header is one of the users'."""

    def __init__(self) -> None:
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="bcrypt")
        self._key = secrets.token_bytes(32)  # without it nobody can tell what the digests below are of
        self._known: dict[bytes, None] = {}  # good logins, the oldest first
        self._waiting: Counter[str] = Counter()  # checks by address

    async def admit(self, users: Mapping[str, str], header: str, address: str) -> bool:
        """Whether the header has the password of one of the users (name -> bcrypt hash). TooBusyError: ask later."""
        try:
            user, password = login_in(header)
        except ValueError:
            return False
        # A name nobody has costs the time of one that somebody has.
        expected, real = (users[user], True) if user in users else (unmatchable(users), False)
        login = self._digest(user, expected, password)
        if login in self._known:
            return True
        good = await self._check(password, expected, address) and real
        if good:
            self._known[login] = None
            if len(self._known) > MOST_KNOWN:
                del self._known[next(iter(self._known))]
        return good

    def close(self) -> None:
        """Check no more."""
        self._worker.shutdown(wait=False, cancel_futures=True)

    async def _check(self, password: str, expected: str, address: str) -> bool:
        if self._waiting.total() >= MOST_WAITING or self._waiting[address] >= MOST_FROM_ONE:
            raise TooBusyError
        self._waiting[address] += 1
        work = asyncio.get_running_loop().run_in_executor(self._worker, matches, password, expected)
        work.add_done_callback(lambda _: self._done(address))
        return await asyncio.shield(work)  # a client that leaves does not make room for its next try

    def _done(self, address: str) -> None:
        self._waiting[address] -= 1
        self._waiting += Counter()  # without zeros

    def _digest(self, *parts: str) -> bytes:
        """Of parts that cannot run into each other; the hash is one, so a changed password is not known."""
        return blake2b(":".join(part.encode().hex() for part in parts).encode(), key=self._key).digest()


def login_in(header: str) -> tuple[str, str]:
    """User name and password of an Authorization header (RFC 7617). ValueError where it has none."""
    scheme, _, encoded = header.partition(" ")
    user, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    if scheme.lower() != "basic" or not colon:
        raise ValueError
    return user, password


def matches(password: str, expected: str) -> bool:
    """Whether the password has that hash."""
    try:
        return bcrypt.checkpw(password.encode()[:LONGEST], expected.encode())
    except ValueError:
        return False


def unmatchable(users: Mapping[str, str]) -> str:
    """A hash that takes as long as the slowest of the users', and that no known password has."""
    cost = max((int(known[4:6]) for known in users.values()), default=10)
    return f"$2b${cost:02}$" + "." * 53
