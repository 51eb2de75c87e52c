"""Whatever is sent to the port, the server answers in HTTP or hangs up, says nothing of what it was sent, logs no error
and serves the next client."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.publish.server import Server, Site
from exporter.publish.snapshot import Snapshot
from exporter.publish.writer import Exposition
from tests.fuzz.mutations import bounded, mutated
from tests.publish.world import fleet

MARK = b"s3cr3t-m4rk"
CLOSE = b"Connection: close\r\n\r\n"
SEEDS = [
    b"GET /metrics HTTP/1.1\r\nHost: h\r\nAccept: text/plain\r\n" + CLOSE,
    b"HEAD / HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\n" + CLOSE,
    b'GET /api/v1/snapshot?%s HTTP/1.1\r\nHost: %s\r\nIf-None-Match: W/"%s"\r\n' % (MARK, MARK, MARK) + CLOSE,
    b"POST /-/reload HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n" + CLOSE + MARK,
    b"GET /%s HTTP/1.0\r\nX-Mark: %s\r\n\r\n" % (MARK, MARK),
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n" + CLOSE + b"5\r\nhello\r\n0\r\n\r\n",
]
HEADERS = (
    "Content-Length: -1", "Content-Length: 99999999999999999999", "Expect: 100-continue", "Transfer-Encoding: chunked",
    "Upgrade: websocket\r\nConnection: upgrade", "Content-Encoding: gzip", "Accept: ;;q=,", "Accept-Encoding: *;q=nan",
    "If-None-Match: *", "Host: [", 'Cookie: a="', "Range: bytes=9-1",
)  # fmt: skip
WORDS = [
    *(f"{header}\r\n".encode() for header in HEADERS),
    b"\r\n", b"\n", b"\r\n\r\n", b" ", b"\t", b"\0", b"\xff\xfe", b"%", b"%00", b"%zz", b"%2e%2e/", b"//", b"\\", b"?",
    b"#", b"*", b"http://", b"://", b"[", b"]", b"@", b":99999", b"HTTP/1.1", b"HTTP/9.9", b"HTTP/2.0", b"CONNECT",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"OPTIONS", b"A" * 9000, b"../" * 20, "\u202e".encode(), MARK, b"<script>",
]  # fmt: skip
SECONDS, SILENCE = 20, 0.03
HEALTHY = b"GET /-/healthy HTTP/1.1\r\nHost: h\r\n" + CLOSE


class Port:
    """A server that runs between the examples on a loop of its own."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner()
        made = fleet()
        self.server = Server(Site(Exposition().update(made), Snapshot(made), ready=True), header_seconds=0.2)
        self.host, _, port = self.runner.run(self.server.start("127.0.0.1:0")).rpartition(":")
        self.port = int(port)

    def close(self) -> None:
        self.runner.run(self.server.stop())
        self.runner.close()

    def says(self, sent: bytes) -> bytes:
        """What it answers before it hangs up, or has nothing to say for a while: it waits for the rest of a request."""

        async def talk() -> bytes:
            reader, writer = await asyncio.open_connection(self.host, self.port)
            said = bytearray()
            with suppress(ConnectionError, TimeoutError):
                writer.write(sent)
                while piece := await asyncio.wait_for(reader.read(1 << 16), SECONDS if sent == HEALTHY else SILENCE):
                    said += piece
            writer.close()
            return bytes(said)

        return self.runner.run(talk())


@pytest.fixture(scope="module")
def port() -> Iterator[Port]:
    made = Port()
    yield made
    made.close()


class Heard(logging.Handler):
    """What anybody logged as an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record.getMessage())


def test_it_answers_or_hangs_up_and_serves_the_next(port: Port) -> None:
    heard = Heard()
    logging.getLogger().addHandler(heard)

    @bounded
    @given(mutated(SEEDS, WORDS) | st.binary(max_size=200))
    def holds(sent: bytes) -> None:
        said = port.says(sent)
        assert not said or said.startswith(b"HTTP/")
        assert MARK not in said
        assert b" 500 " not in said.split(b"\r\n")[0]
        assert heard.records == []
        assert port.says(HEALTHY).startswith(b"HTTP/1.1 200 OK")

    try:
        holds()
    finally:
        logging.getLogger().removeHandler(heard)
