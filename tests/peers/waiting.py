"""Waiting for another process: ask until it is so, with a deadline. Nothing here guesses how long a thing takes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import aiohttp

from tests.peers.process import Program

T = TypeVar("T")
PAUSE = 0.02  # seconds between two questions


async def eventually(
    ask: Callable[[], Awaitable[T | None]],
    what: str,
    *,
    until: Callable[[T], object] = bool,
    deadline: float = 30.0,
    process: Program | None = None,
) -> T:
    """The first answer of `ask` that `until` finds true.

    No answer (None) and a refused connection are "not yet"; a program that has ended is a failure.
    """
    last: object = "never asked"
    try:
        async with asyncio.timeout(deadline):
            while True:
                try:
                    last = answer = await ask()
                    if answer is not None and until(answer):
                        return answer
                except aiohttp.ClientConnectionError as error:
                    last = error
                if process is not None and process.ended:
                    raise AssertionError(f"{what}: the program ended\n{process.output()}")
                await asyncio.sleep(PAUSE)
    except TimeoutError:
        raise AssertionError(f"{what}: not within {deadline} s; last answer: {last!r}") from None
