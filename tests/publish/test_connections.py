"""Clients that are slow, silent, greedy or talk nonsense: what becomes of them, and of everybody else."""

from __future__ import annotations

import asyncio
import re
import sys
import tracemalloc
from contextlib import suppress
from io import BytesIO
from random import Random

import pytest

from exporter.publish.server import Site
from tests.peers.waiting import eventually
from tests.publish.guarded import uncollected
from tests.publish.test_server import serving, site_of, talk
from tests.publish.world import IDLE, family, fleet, view


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 10_000_000 + b"\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(100_000)) + b"\r\n",
        b"GET /" + b"a" * 10_000_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http://[::1 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET /metrics HTTP/9.9\r\nHost: x\r\n\r\n",
        b"GET /metrics\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\r\n" * 5 + b"\x00\xff nonsense\r\n\r\n",
    ],
    ids=[
        "long header",
        "many headers",
        "long path",
        "bad address",
        "smuggling",
        "version",
        "no version",
        "tls",
        "nonsense",
    ],
)
async def test_a_bad_request_is_refused_and_health_still_answers(request_bytes: bytes) -> None:
    async with serving(site_of(fleet()), header_seconds=0.2) as (client, address):
        answer = await talk(address, request_bytes)
        assert b" 200 " not in answer.partition(b"\r\n")[0]
        assert b"<script" not in answer
        assert b"aiohttp" not in answer
        assert b"nonsense" not in answer
        assert not answer or b"X-Content-Type-Options: nosniff" in answer
        async with client.get("/-/healthy") as health:
            assert health.status == 200


async def test_a_client_that_never_ends_its_headers_is_closed() -> None:
    async with serving(Site(), header_seconds=0.05) as (client, address):
        assert await talk(address, b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nX-Slow:") == b""
        async with client.get("/-/healthy") as answer:
            assert answer.status == 200


async def test_a_client_that_spoke_in_time_keeps_its_connection() -> None:
    async with serving(Site(), header_seconds=0.05) as (_, address):
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        for _ in range(2):
            writer.write(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"200 OK" in await reader.readuntil(b"Healthy.\n")
            silent = await asyncio.open_connection(host, int(port))
            assert await silent[0].read() == b""  # by now the first connection is past its header time too
            silent[1].close()
        writer.close()


async def test_a_client_that_does_not_read_its_answer_is_let_go() -> None:
    many = view(family(IDLE, {(f"pool-{number:0100}",): number for number in range(100_000)}))
    async with serving(site_of(many), answer_seconds=0.2) as (client, address):
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        await wait_closed(writer, reader)
        async with client.get("/-/healthy") as answer:
            assert answer.status == 200


async def test_clients_that_do_not_read_a_large_answer_have_no_copy_of_it() -> None:
    """asyncio copies what the system does not take at once; a copy for each of fifty could end the program."""
    many = view(family(IDLE, {(f"pool-{number:0100}",): number for number in range(100_000)}))
    site = site_of(many)
    assert site.rendered
    page = len(site.rendered.body("text"))
    async with serving(site) as (client, address):
        tracemalloc.start()
        try:
            idle, _ = tracemalloc.get_traced_memory()
            slow = [await connect(address) for _ in range(10)]
            for reader, writer in slow:
                writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
                await reader.read(1)
                writer.transport.pause_reading()  # type: ignore[attr-defined]
            async with client.get("/metrics") as answer:
                assert len(await answer.read()) == page  # the others hold it up in nothing
            used = tracemalloc.get_traced_memory()[0] - idle
        finally:
            tracemalloc.stop()
        assert used < 3 * page  # two of them are the client's
        for _, writer in slow:
            writer.transport.abort()


async def wait_closed(writer: asyncio.StreamWriter, reader: asyncio.StreamReader) -> None:
    """Until the peer has reset a connection on which nothing is read: writing then fails."""
    while not writer.is_closing() and not reader.at_eof():
        writer.write(b"\r\n")
        await asyncio.sleep(0)


HEALTH = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connect(address: str) -> Streams:
    host, _, port = address.rpartition(":")
    return await asyncio.open_connection(host, int(port))


async def healthy(streams: Streams) -> bool:
    """Whether the connection still gets an answer."""
    reader, writer = streams
    try:
        writer.write(HEALTH)
        return (await reader.readuntil(b"Healthy.\n")).startswith(b"HTTP/1.1 200 ")
    except (ConnectionError, asyncio.IncompleteReadError):
        return False


async def test_at_the_cap_the_connection_that_asked_longest_ago_makes_room() -> None:
    async with serving(Site(), max_connections=3) as (_, address):
        silent, first, second = [await connect(address) for _ in range(3)]
        silent[1].write(b"GET /-/healthy HTT")  # not a request yet
        assert await healthy(first)
        assert await healthy(second)
        third = await connect(address)  # for the silent one
        assert await healthy(third)
        assert await silent[0].read() == b""
        assert await healthy(first)
        fourth = await connect(address)  # for the second: the first has asked again
        assert await healthy(fourth)
        assert not await healthy(second)
        assert [await healthy(streams) for streams in (first, third, fourth)] == [True] * 3
        for _, writer in (silent, first, second, third, fourth):
            writer.close()


async def test_a_silent_connection_costs_no_task() -> None:
    """A thousand that come together would hold up those behind them in the line."""
    async with serving(Site()) as (_, address):
        asking = await connect(address)
        assert await healthy(asking)
        before = asyncio.all_tasks()
        silent = [await connect(address) for _ in range(50)]
        last = await connect(address)
        assert await healthy(last)  # the others, which came before, have been let in
        opened = {task.get_name() for task in asyncio.all_tasks() - before}
        assert len(opened) <= 2, opened  # the last one's
        assert await healthy(silent[0])
        for _, writer in (asking, *silent, last):
            writer.close()


@pytest.mark.skipif(sys.platform != "linux", reason="needs a second address on loopback")
async def test_at_the_cap_the_address_with_the_most_connections_makes_room() -> None:
    async with serving(Site(), max_connections=4) as (_, address):
        host, _, port = address.rpartition(":")
        other = await asyncio.open_connection(host, int(port), local_addr=("127.0.0.2", 0))
        assert await healthy(other)  # and then asks for nothing for longer than anybody
        crowd = [await connect(address) for _ in range(8)]
        for streams in crowd:
            await healthy(streams)
        assert [await healthy(streams) for streams in crowd] == [False] * 5 + [True] * 3
        assert await healthy(other)
        for _, writer in (other, *crowd):
            writer.close()


async def test_where_all_are_being_answered_the_longest_at_it_makes_room() -> None:
    asked, release = asyncio.Semaphore(0), asyncio.Event()

    async def reload() -> None:
        asked.release()
        await release.wait()

    async with serving(Site(), reload=reload, max_connections=2) as (_, address):
        slow = [await connect(address) for _ in range(2)]
        for _, writer in slow:
            writer.write(b"POST /-/reload HTTP/1.1\r\nHost: x\r\n\r\n")
            await asked.acquire()
        newcomer = await connect(address)
        assert await healthy(newcomer)
        assert await slow[0][0].read() == b""
        release.set()
        assert b"200 OK" in await slow[1][0].readuntil(b"Reloaded.\n")
        for _, writer in (*slow, newcomer):
            writer.close()


async def test_an_idle_connection_is_closed_and_one_that_asks_is_not() -> None:
    async with serving(Site(), idle_seconds=0.1) as (_, address):
        asking, idle = await connect(address), await connect(address)
        assert await healthy(idle)
        closed = asyncio.create_task(idle[0].read())
        while not closed.done():
            assert await healthy(asking)
        assert await closed == b""
        for _, writer in (asking, idle):
            writer.close()


async def test_a_body_is_refused_early() -> None:
    """The refusal comes before the body, and the rest of it is not waited for."""
    async with serving(Site()) as (client, address):
        for head in (b"Content-Length: 10000000", b"Transfer-Encoding: chunked"):
            for line in (b"GET /-/healthy", b"POST /-/reload"):
                reader, writer = await connect(address)
                writer.write(b"%b HTTP/1.1\r\nHost: x\r\n%b\r\n\r\n" % (line, head))
                answer = await reader.read()  # until it is closed
                assert answer.startswith(b"HTTP/1.1 413 ")
                assert b"Connection: close" in answer
                writer.close()
        async with client.post("/-/healthy", data=BytesIO(bytes(10_000_000))) as refused:
            assert refused.status == 413
        async with client.post("/-/reload", data=b"{}") as answered:
            assert answered.status == 403


async def test_pipelined_requests_are_answered_in_order() -> None:
    request = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    async with serving(Site()) as (_, address):
        answer = await talk(address, request * 200 + last)
        assert answer.count(b"HTTP/1.1 200 OK\r\n") == 200
        assert answer.rindex(b"HTTP/1.1 404") > answer.rindex(b"HTTP/1.1 200")


async def test_a_refused_request_leaves_nothing_behind() -> None:
    with uncollected() as count:
        async with serving(Site()) as (_, address):
            for request in (b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nX: " + b"a" * 200_000, b"GET /\r\n\r\n") * 10:
                await talk(address, request)
            await eventually(count, "none is left", until=lambda left: left == 0)


SOUND = [
    b"\r\n".join((*head, b"", body))
    for *head, body in (
        (b"GET /metrics HTTP/1.1", b"Host: x", b"Accept: text/plain;q=0.5, */*", b"Accept-Encoding: gzip;q=1", b""),
        (b"HEAD http://x:80/-/ready?a=%20b#c HTTP/1.0", b"Authorization: Basic eDp5", b'If-None-Match: W/"a", *', b""),
        (b"POST /-/reload HTTP/1.1", b"Host: [::1]:1", b"Transfer-Encoding: chunked", b"2\r\nab\r\n0\r\n\r\n"),
        (b"POST /-/reload HTTP/1.1", b"Host: x", b"Expect: 100-continue", b"Content-Length: 2", b"ab"),
        (b"GET /page/page.js HTTP/1.1", b"Host: x", b"Connection: Upgrade", b"Upgrade: websocket", b"ab"),
    )
]
SPOILT = 300
BYTES = (b"", b"\0", b"\r\n", b"\n", b" ", b":", b"/", b"%", b"%zz", b"\xff", b"[", b"@", b"-1", b"9" * 30, b"a" * 9000)


def spoilt(dice: Random) -> bytes:
    """A request with one to four changes."""
    made = dice.choice(SOUND)
    for _ in range(dice.randint(1, 4)):
        start = dice.randrange(len(made) + 1)
        made = made[:start] + dice.choice(BYTES) + made[start + dice.choice((0, 0, 1, 5, 500)) :]
    return made


async def test_no_spoilt_request_meets_a_bug(caplog: pytest.LogCaptureFixture) -> None:
    """As in CVE-2026-44902, where one malformed address ended the process."""
    dice = Random(7)
    async with serving(site_of(fleet())) as (client, address):
        for _ in range(SPOILT):
            reader, writer = await connect(address)
            sent = spoilt(dice)
            writer.write(sent)
            writer.write_eof()
            answer = b""
            with suppress(ConnectionError):
                answer = await reader.read()
            assert not answer or re.match(rb"HTTP/1\.[01] (?!500)\d{3} ", answer), sent
            writer.close()
        async with client.get("/-/healthy") as health:
            assert health.status == 200
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
