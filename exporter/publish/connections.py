"""Connections, from accept to their end: a newcomer always gets in, and nobody stays without asking for something.

At the cap, the address with the most connections loses one: that which has been waiting for a request the longest;
where all are being answered, the one that has been at it the longest. A thousand idle connections thus take each
other's places, not Prometheus's; behind one address with them, it connects again, and asks at once. Bytes that are no
whole request yet do not count as asking. Until there are any, a connection costs a timer and a look: a thousand that
come together keep nobody waiting.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections import Counter
from itertools import chain, count
from typing import Any, cast

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from exporter.errors import StartError
from exporter.publish.complaints import Complaints
from exporter.publish.gate import Gate, Rules
from exporter.publish.headers import headers
from exporter.publish.tls import subject_names

MAX_CONNECTIONS = 128  # a Prometheus pair, probes and some browsers need a dozen
HEADER_SECONDS = 10.0  # from connect to the end of the first request's headers, TLS included
IDLE_SECONDS = 75.0  # from an answer to the next request; above Prometheus's usual scrape intervals
TLS_END_SECONDS = 1.0  # for a client to say goodbye
BACKLOG = 1024  # connections that the system keeps for us until they are accepted
TOGETHER = 8  # newcomers that are taken in one turn of the loop, 0.03 ms each
PAUSE = 0.1  # seconds, where the system has no more file descriptors
MAX_LINE = 8190  # bytes of the request line, and of a header
MAX_HEADERS = 64
LINGER_SECONDS = 1.0  # for a body that nobody asked for, so that its sender sees the refusal
REFUSALS = {400: "This is not a request that is understood here.\n", 500: "This exporter has a bug; see its log.\n"}


class Connections:
    """Those that are open now."""

    def __init__(self, gate: Gate, most: int, header_seconds: float, idle_seconds: float) -> None:
        self.gate = gate
        self.complaints = Complaints()
        self.header_seconds = header_seconds
        self.idle_seconds = idle_seconds
        self.waiting: dict[Held, None] = {}  # for a request, the longest first
        self.busy: dict[Held, None] = {}  # with an answer, the longest first
        self._most = most
        self._each: Counter[str] = Counter()  # connections by address

    async def accept(self, sock: socket.socket, server: web.Server) -> None:
        """Take connections until cancelled."""
        loop = asyncio.get_running_loop()
        sock.setblocking(False)
        for number in count():
            try:
                client, peer = await loop.sock_accept(sock)
            except OSError:  # no file descriptor is left, or the client has gone
                self._make_room()
                await asyncio.sleep(PAUSE)
                continue
            if len(self.waiting) + len(self.busy) >= self._most:
                self._make_room()
            Held(client, str(peer[0]), self, server)
            if number % TOGETHER == 0:
                await asyncio.sleep(0)  # others have their turn

    def close(self) -> None:
        """End those on which nothing is being answered."""
        for held in list(self.waiting):
            held.end()

    def enter(self, held: Held) -> None:
        """One more, which has asked for nothing yet."""
        self.waiting[held] = None
        self._each[held.address] += 1

    def leave(self, held: Held) -> None:
        """One less; that it has left may be said again."""
        if self.waiting.pop(held, held) is None or self.busy.pop(held, held) is None:
            self._each[held.address] -= 1
            if not self._each[held.address]:
                del self._each[held.address]

    def _make_room(self) -> None:
        most = max(self._each.values(), default=0)
        for held in chain(self.waiting, self.busy):
            if self._each[held.address] == most:
                held.end()
                return


class Held(asyncio.Protocol):
    """One connection: its protocol until TLS is agreed on, then aiohttp's handler is."""

    def __init__(self, client: socket.socket, address: str, room: Connections, server: web.Server) -> None:
        self.room = room
        self.address = address
        self._server = server
        self._rules = Rules()
        self._client: socket.socket | None = client  # while no transport has it
        self._transport: asyncio.Transport | None = None
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(room.header_seconds, self.end)
        self._opening: asyncio.Task[None] | None = None
        room.enter(self)
        loop.add_reader(client, self._begin, client)

    def _begin(self, client: socket.socket) -> None:
        """There is something to read: in HTTP and TLS the client speaks first."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(client)
        self._opening = loop.create_task(self._open(client), name="open a connection")
        self._opening.add_done_callback(self._opened)

    async def _open(self, client: socket.socket) -> None:
        self._rules = await self.room.gate.rules()
        self._client = None
        tls, seconds = self._rules.context, {}
        if tls:
            seconds = {"ssl_handshake_timeout": self.room.header_seconds, "ssl_shutdown_timeout": TLS_END_SECONDS}
        await asyncio.get_running_loop().connect_accepted_socket(lambda: self, client, ssl=tls, **seconds)

    def _opened(self, opening: asyncio.Task[None]) -> None:
        self._opening = None  # which has such a traceback, too, where it was cancelled
        if self._client:
            self._client.close()
        if not opening.cancelled() and (error := opening.exception()):
            self.gone()
            if isinstance(error, ssl.SSLError):
                self.refused("a TLS handshake", (error.reason or "broken").lower().replace("_", " "))
            elif not isinstance(error, OSError):
                self.room.complaints.bug(error)
            _forget(error)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """In plain text at once, else when TLS is agreed on."""
        self._transport = cast(asyncio.Transport, transport)
        if self._rules.names and not self._rules.names & subject_names(transport.get_extra_info("ssl_object")):
            self.refused("a TLS handshake", "none of client_allowed_sans is in the certificate")
            self.end()
            return
        handler = Handler(self._server, self)
        self._transport.set_protocol(handler)
        handler.connection_made(self._transport)

    def asked(self) -> None:
        """A request has come whole."""
        self._timer.cancel()
        if self.room.waiting.pop(self, self) is None:
            self.room.busy[self] = None

    def answered(self) -> None:
        """It has been answered."""
        if self.room.busy.pop(self, self) is None:
            self.room.waiting[self] = None
            self._timer = asyncio.get_running_loop().call_later(self.room.idle_seconds, self.end)

    def end(self) -> None:
        """Close it at once, whatever has not been sent. Closing in good order could wait for the client for ever."""
        self.gone()
        if self._transport:
            self._transport.abort()
        elif self._opening:
            self._opening.cancel()
        elif self._client:
            client, self._client = self._client, None
            asyncio.get_running_loop().remove_reader(client)
            client.close()

    def gone(self) -> None:
        """It is closed."""
        self._timer.cancel()
        self.room.leave(self)

    def refused(self, what: str, why: str) -> None:
        """Say so in the log, where it is time for it."""
        self.room.complaints.refused(what, why, self.address, asyncio.get_running_loop().time())


class Handler(web.RequestHandler):
    """aiohttp's, which tells nothing of a request, neither back to the client nor to the log."""

    __slots__ = ("held",)

    def __init__(self, server: web.Server, held: Held) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # as aiohttp's own runner allows
            max_line_size=MAX_LINE,
            max_field_size=MAX_LINE,
            max_headers=MAX_HEADERS,
            lingering_time=LINGER_SECONDS,
            auto_decompress=False,
        )
        self.held = held

    async def start(self) -> None:
        """Answer one request after the other."""
        try:
            await super().start()
        except Exception as error:  # no request may leave a task behind that nobody asks
            self._bug(error)

    def data_received(self, data: bytes) -> None:
        """Some bytes of requests."""
        try:
            super().data_received(data)
        except Exception as error:  # asyncio would log every one
            self._bug(error)

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection is closed."""
        self.held.gone()
        super().connection_lost(exc)
        for message, _ in self._messages:  # those that nobody will answer now
            _forget(getattr(message, "exc", None))

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it quotes the request
    ) -> web.StreamResponse:
        """The answer to what is no request, or to one that met a bug."""
        bad = isinstance(exc, HttpProcessingError)
        if bad:
            self.held.refused("a request", type(exc).__name__)
            _forget(exc)
        elif exc and not isinstance(exc, ConnectionError):
            self.held.room.complaints.bug(exc)
        if request.writer.output_size > 0:
            raise ConnectionError("part of an answer is on its way")
        status = 400 if bad else status
        text = REFUSALS.get(status, REFUSALS[500])
        response = web.Response(status=status, text=text, headers=headers(self.held.room.gate.latest.headers))
        response.force_close()
        return response

    def log_exception(self, *_: Any, **kw: Any) -> None:
        """A bug, or a connection that broke."""
        if isinstance(error := kw.get("exc_info"), BaseException) and not isinstance(error, ConnectionError):
            self.held.room.complaints.bug(error)

    def _bug(self, error: Exception) -> None:
        self.held.room.complaints.bug(error)
        self.held.end()


def _forget(error: BaseException | None) -> None:
    """Let go of what an error's traceback holds: all that was read, the 256 KiB of a TLS connection. They hold each
    other, so it would stay until the next collection, and a flood comes faster than that."""
    if error:
        error.__traceback__ = None


def listen(address: str) -> socket.socket:
    """A listening socket on `host:port`, `[v6]:port` or `:port` (all interfaces, both families where there are two)."""
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise StartError(f"--web.listen-address: {address!r} is not host:port, such as 127.0.0.1:9742 or :9742")
    both = not host and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both or ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, int(port)), family=family, backlog=BACKLOG, dualstack_ipv6=both)
    except OSError as error:
        what = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise StartError(f"cannot listen on {address}: {what}") from error
