"""An answer that goes on: whole lines as they come, bounded in time and length."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from exporter.errors import Reason, ScrapeError
from exporter.records import NS
from exporter.sources.fetch import Fetcher
from exporter.sources.target import Target
from tests.sources.servers import Answer, http, says, serve, target

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
async def fetcher() -> AsyncIterator[Fetcher]:
    async with Fetcher() as made:
        yield made


def chunk(text: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(text), text)


def chunks(*texts: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    return HEAD + b"".join(map(chunk, texts)) + end


async def read(fetcher: Fetcher, one: Target) -> tuple[list[bytes], Reason | None]:
    """The lines, and what ended them if it was no end."""
    found: list[bytes] = []
    reason = None
    try:
        async with aclosing(fetcher.lines(one)) as lines:
            async for line in lines:
                found.append(line)  # noqa: PERF401 - those before an error count too
    except ScrapeError as error:
        reason = error.reason
    return found, reason


@pytest.mark.parametrize(
    ("answer", "lines", "reason"),
    [
        (chunks(b"a\nb", b"c\n", b"\nd\n"), [b"", b"a", b"bc", b"", b"d"], None),
        (chunks(b"a\nhalf"), [b"", b"a"], None),
        (chunks(b"a\nhalf", end=b""), [b"", b"a"], Reason.TRUNCATED),
        (chunks(), [b""], None),
        (http(b"a\n"), [b"", b"a"], None),
        (http(b"a\n", status="410 Gone"), [], Reason.STATUS),
        (http(b"", "Location: /other", status="302 Found"), [], Reason.STATUS),
        (b"nonsense\r\n\r\n", [], Reason.INVALID),
        (b"", [], Reason.CONNECT),
    ],
)
async def test_lines_are_whole_or_not_there(
    fetcher: Fetcher, answer: bytes, lines: list[bytes], reason: Reason | None
) -> None:
    async with serve(says(answer)) as (origin, _):
        found, ended = await read(fetcher, target(origin, "/watch?secret=1"))
    assert found == (lines if reason is None else lines[: len(found)])  # the last ones may be lost with the connection
    assert ended is reason


async def test_a_line_comes_as_soon_as_it_is_there(fetcher: Fetcher) -> None:
    go = asyncio.Event()

    async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD)
        await go.wait()
        writer.write(chunk(b"first\n"))
        await asyncio.Event().wait()

    async with serve(answer) as (origin, _), aclosing(fetcher.lines(target(origin))) as lines:
        assert await anext(lines) == b""
        go.set()
        assert await anext(lines) == b"first"


async def drip(_: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + chunk(b"a\n"))
    await asyncio.Event().wait()


async def flood(_: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD)
    while True:
        writer.write(chunk(b"x" * 10_000))
        await writer.drain()


@pytest.mark.parametrize(("answer", "reason"), [(drip, Reason.TIMEOUT), (flood, Reason.TOO_LARGE)])
async def test_silence_and_a_line_without_end_are_bounded(fetcher: Fetcher, answer: Answer, reason: Reason) -> None:
    async with serve(answer) as (origin, _):
        _, ended = await read(fetcher, target(origin, timeout_ns=NS // 5))
    assert ended is reason
