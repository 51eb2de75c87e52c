"""Clients that mean harm, against the real process: refused or waited out, and nobody else notices."""

from __future__ import annotations

import asyncio
import resource
import socket
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from exporter.publish.connections import HEADER_SECONDS, IDLE_SECONDS, MAX_CONNECTIONS
from tests.process.exporter import DEADLINE, Running, config, exporter, pool
from tests.process.test_hostile import assert_small

IDLE = config(pool("chat", "http://127.0.0.1:9/metrics"))
CLIENTS = 1000


@contextmanager
def sockets(count: int) -> Iterator[list[socket.socket]]:
    """Room for that many, and an end to all of them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = max(soft, min(hard, count + 500) if hard >= 0 else count + 500)
    resource.setrlimit(resource.RLIMIT_NOFILE, (enough, hard))
    held: list[socket.socket] = []
    try:
        yield held
    finally:
        for one in held:
            one.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def connect(running: Running, first: bytes) -> socket.socket:
    host, _, port = running.url.removeprefix("http://").rpartition(":")
    made = socket.create_connection((host, int(port)), timeout=DEADLINE)
    made.setblocking(False)
    if first:
        made.send(first)
    return made


def is_open(held: socket.socket) -> bool:
    """Whether the server has not closed it; what it has said stays unread."""
    try:
        return held.recv(1, socket.MSG_PEEK) != b""
    except BlockingIOError:
        return True
    except ConnectionError:
        return False


async def answers(running: Running, path: str = "/-/healthy", times: int = 20) -> list[float]:
    """How long each took, in seconds, on a connection of its own. Well within what makes an idle client time out."""
    took = []
    for _ in range(times):
        before = time.perf_counter()
        async with running.http.get(f"{running.url}{path}", headers={"Connection": "close"}) as answer:
            assert answer.status == 200
            await answer.read()
        took.append(time.perf_counter() - before)
    print(f"{path}: median {statistics.median(took) * 1e3:.1f} ms, longest {max(took) * 1e3:.1f} ms")
    assert max(took) < HEADER_SECONDS < IDLE_SECONDS
    return took


HARM = {  # what they begin with, and go on with
    "a request line without an end": (b"GET /metr", b"a"),
    "headers without an end": (b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-Slow: ", b"a"),
    "lines without a request": (b"", b"\r\n"),
    "many requests whose answers nobody reads": (b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 1000, b""),
}


@pytest.mark.parametrize("name", HARM)
async def test_slow_clients_hold_nobody_up(tmp_path: Path, name: str) -> None:
    first, more = HARM[name]
    async with exporter(tmp_path, IDLE) as running:
        await running.page_when(lambda page: page.samples, "there is a page")
        with sockets(MAX_CONNECTIONS) as held:
            for _ in range(MAX_CONNECTIONS - 8):
                held.append(connect(running, first))
            await answers(running)
            await answers(running, "/metrics")
            assert all(is_open(one) for one in held)  # so they were there all the while
            for _ in range(10):
                for one in held:
                    one.send(more)
                await answers(running, times=2)
            assert all(is_open(one) for one in held)
        assert running.events("error") == []
        assert_small(running.program.process.pid)


async def test_a_thousand_idle_connections_hold_nobody_up(tmp_path: Path) -> None:
    async with exporter(tmp_path, IDLE) as running:
        await running.page_when(lambda page: page.samples, "there is a page")
        with sockets(CLIENTS) as held:
            for number in range(CLIENTS):
                held.append(connect(running, b""))
                if number % 50 == 0:
                    await answers(running, times=1)
            await answers(running)
            await answers(running, "/metrics")
            assert 0 < sum(is_open(one) for one in held) <= MAX_CONNECTIONS
        assert running.events("error") == []
        assert_small(running.program.process.pid)


@pytest.mark.skipif(sys.platform != "linux", reason="needs a second address on loopback")
async def test_a_thousand_connections_of_one_address_cost_another_none_of_its_own(tmp_path: Path) -> None:
    async with exporter(tmp_path, IDLE) as running:
        host, _, port = running.url.removeprefix("http://").rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port), local_addr=("127.0.0.2", 0))
        with sockets(CLIENTS) as held:
            for _ in range(CLIENTS):
                held.append(connect(running, b""))
            await answers(running, times=1)  # by now all of them were taken in
            writer.write(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await reader.readuntil(b"Healthy.\n")).startswith(b"HTTP/1.1 200 ")
        writer.close()


MALFORMED = {
    "10 MB header": b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 10_000_000 + b"\r\n\r\n",
    "10 MB of headers": b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-One: two\r\n" * 1_000_000 + b"\r\n",
    "10 MB path": b"GET /" + b"a" * 10_000_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "10 MB without a line": b"\xff" * 10_000_000,
    "no request": b"s3cret nonsense\r\n\r\n",
    "no version": b"GET /metrics\r\n\r\n",
    "bad escape": b"GET /%zz\x01 HTTP/1.1\r\nHost: x\r\n\r\n",
    "bad host": b"GET http://[::1 HTTP/1.1\r\nHost: x\r\n\r\n",
    "bad port": b"GET http://x:99999/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "no colon": b"GET / HTTP/1.1\r\nHost x\r\n\r\n",
    "nul": b"GET / HTTP/1.1\r\nHost: \x00\r\n\r\n",
    "two lengths": b"POST /-/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "negative length": b"POST /-/reload HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "bad chunk": b"POST /-/reload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "CONNECT": b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "upgrade": b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\ns3cret nonsense\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
}


async def test_what_is_no_request_is_refused_and_told_nobody(tmp_path: Path) -> None:
    async with exporter(tmp_path, IDLE, "--log.level=debug") as running:
        host, _, port = running.url.removeprefix("http://").rpartition(":")

        async def send(data: bytes) -> bytes:
            reader, writer = await asyncio.open_connection(host, int(port))
            try:
                writer.write(data)
                if data.startswith(b"\x16"):
                    writer.write_eof()
                async with asyncio.timeout(DEADLINE):
                    return await reader.read()
            except ConnectionError:
                return b""
            finally:
                writer.close()

        for name, data in MALFORMED.items():
            said, took = await asyncio.gather(send(data), answers(running, times=5))
            head = said.partition(b"\r\n")[0]
            assert name == "upgrade" or b" 200 " not in head, name
            assert b"s3cret" not in said, name
            assert len(took) == 5
        assert running.events("error") == []
        log = running.program.output()
        assert "Traceback" not in log
        assert "s3cret" not in log
        assert_small(running.program.process.pid)
        said_of_requests = [event for event in running.events("warning") if event["msg"] == "refused a request"]
        assert len(said_of_requests) == 1
