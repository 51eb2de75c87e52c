"""The HTTP side: finished bytes out, nothing computed on the loop, and no client that can hold it up.

Everything here is read-only but the reload, which is off unless asked for, and public unless web.yml says otherwise.
Nothing of a request ever becomes a label, a log line or part of an answer.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import cast

from aiohttp import HttpVersion10, HttpVersion11, web

from exporter.errors import StartError, TokencostError
from exporter.publish import assets
from exporter.publish.answer import Answer
from exporter.publish.connections import (
    HEADER_SECONDS,
    IDLE_SECONDS,
    MAX_CONNECTIONS,
    Connections,
    Handler,
    Held,
    listen,
)
from exporter.publish.gate import Bucket, Gate
from exporter.publish.headers import headers
from exporter.publish.history import History
from exporter.publish.negotiation import CONTENT_TYPES, format_for, gzip_for
from exporter.publish.passwords import Passwords, TooBusyError
from exporter.publish.pieces import PIECE, Pieces
from exporter.publish.view import View
from exporter.publish.writer import Rendered

ANSWER_SECONDS = 60.0  # for a whole answer, sending included
STOP_SECONDS = 3.0  # for answers under way when the program ends
MAX_BODY = 4096  # bytes of a request's body; none is ever read
PATH = re.compile(r"/[A-Za-z0-9._~/-]*")
CONTINUE = "100-continue"
VERSIONS = {HttpVersion10, HttpVersion11}  # the parser takes a line without any, too
OPEN = frozenset({"/-/healthy", "/-/ready"})  # without a password, and at any rate: probes have none
LOGIN = {"WWW-Authenticate": 'Basic realm="tokencost-exporter", charset="UTF-8"'}
LATER = {"Retry-After": "1"}

Answering = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class Site:
    """What is served now. The program assigns these after each tick; requests only read them."""

    rendered: Rendered | None = None
    snapshot: Answer | None = None
    view: View | None = None  # the numbers of the snapshot, for who pushes them
    history: History = field(default_factory=History)
    ready: bool = False


class Server:
    """Serves a site. `reload` raises a TokencostError to refuse; None: reloading over HTTP is not enabled."""

    def __init__(
        self,
        site: Site,
        *,
        telemetry_path: str = "/metrics",
        reload: Callable[[], Awaitable[None]] | None = None,
        gate: Gate | None = None,
        header_seconds: float = HEADER_SECONDS,
        idle_seconds: float = IDLE_SECONDS,
        answer_seconds: float = ANSWER_SECONDS,
        max_connections: int = MAX_CONNECTIONS,
    ) -> None:
        self._site = site
        self._reload = reload
        self._gate = gate or Gate()
        self._answer_seconds = answer_seconds
        self._passwords = Passwords()
        self._bucket = Bucket()
        self._connections = Connections(self._gate, max_connections, header_seconds, idle_seconds)
        self._accepting: asyncio.Task[None] | None = None
        self._runner = web.AppRunner(self._app(telemetry_path), handle_signals=False, shutdown_timeout=STOP_SECONDS)

    async def start(self, listen_address: str) -> str:
        """Listen; the address bound, as host:port. StartError where the address is wrong or taken."""
        sock = listen(listen_address)
        await self._runner.setup()
        server = self._runner.server
        assert server  # noqa: S101 - it has just been set up
        server.request_handler = partial(self._expecting_nothing, server.request_handler)
        self._accepting = asyncio.create_task(self._connections.accept(sock, server), name="accept")
        self._accepting.add_done_callback(lambda _: sock.close())
        host, port = sock.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    async def stop(self) -> None:
        """Stop listening, let answers under way finish, close."""
        if self._accepting:
            self._accepting.cancel()
            await asyncio.wait([self._accepting])
        self._connections.close()
        await self._runner.cleanup()
        self._passwords.close()

    def _app(self, telemetry_path: str) -> web.Application:
        pages = assets.pages() | {"/-/healthy": _healthy, "/-/ready": self._ready}
        pages |= {"/api/v1/snapshot": self._snapshot, "/api/v1/history": self._history}
        if not PATH.fullmatch(telemetry_path):
            raise StartError(f"--web.telemetry-path: {telemetry_path!r} is not a path such as /metrics")
        if telemetry_path in pages:
            raise StartError(f"--web.telemetry-path: {telemetry_path!r} is taken by another page")
        pages[telemetry_path] = self._metrics
        app = web.Application(middlewares=[self._within_time, self._admitted])
        app.add_routes([web.get(path, handler) for path, handler in pages.items()])
        app.add_routes([web.post("/-/reload", self._do_reload)])
        app.on_response_prepare.append(self._secure)
        return app

    async def _expecting_nothing(self, answer: Answering, request: web.BaseRequest) -> web.StreamResponse:
        """aiohttp sends an Expect that it does not know back to the client, before any middleware."""
        if request.headers.get("Expect", CONTINUE).lower() == CONTINUE:
            return await answer(request)
        chosen = headers(self._gate.latest.headers)
        refusal = web.Response(status=417, text="Nothing is to be expected here.\n", headers=chosen)
        refusal.force_close()
        return refusal

    @web.middleware
    async def _within_time(self, request: web.Request, handler: assets.Handler) -> web.StreamResponse:
        """Send the answer here and not later, so that a client that does not read it is let go of."""
        held = _held(request)
        held.asked()
        try:
            async with asyncio.timeout(self._answer_seconds):
                try:
                    response = await handler(request)
                except web.HTTPException as error:
                    await _send(request, error)
                    raise
                return await _send(request, response)
        except TimeoutError:
            if request.transport:
                request.transport.abort()
            raise
        finally:
            held.answered()

    @web.middleware
    async def _admitted(self, request: web.Request, handler: assets.Handler) -> web.StreamResponse:
        """Answer those whom the rules let in, and refuse the others."""
        if refusal := _unfit(request):
            refusal.force_close()
            return refusal
        rules = await self._gate.rules()
        resource = request.match_info.route.resource
        if resource and resource.canonical in OPEN:
            return await handler(request)
        if not self._bucket.take(rules.rate, time.monotonic_ns()):
            return web.Response(status=429, text="More requests than rate_limit allows.\n", headers=LATER)
        if rules.users and (refusal := await self._unknown(request, rules.users)):
            return refusal
        return await handler(request)

    async def _unknown(self, request: web.Request, users: Mapping[str, str]) -> web.Response | None:
        """The refusal of who has not the password of one of these users."""
        login = request.headers.get("Authorization", "")
        try:
            if await self._passwords.admit(users, login, request.remote or ""):
                return None
        except TooBusyError:
            _held(request).refused("a login", "too many passwords are being checked")
            return web.Response(status=429, text="Too many passwords are being checked.\n", headers=LATER)
        if login:  # a browser comes without one first
            _held(request).refused("a login", "no such user, or another password")
        return web.Response(status=401, text="A user name and password, please.\n", headers=LOGIN)

    async def _metrics(self, request: web.Request) -> web.Response:
        rendered = self._site.rendered
        if rendered is None:
            return web.Response(status=503, text=assets.NOT_YET)
        fmt = format_for(request.headers.get("Accept", ""))
        gzip = gzip_for(request.headers.get("Accept-Encoding", ""))
        body = rendered.ready(fmt, gzip) or await asyncio.to_thread(rendered.body, fmt, gzip)
        said = {"Content-Type": CONTENT_TYPES[fmt], "Vary": "Accept, Accept-Encoding"}
        return web.Response(body=body, headers=said | ({"Content-Encoding": "gzip"} if gzip else {}))

    async def _snapshot(self, request: web.Request) -> web.Response:
        return await assets.json(request, self._site.snapshot)

    async def _history(self, request: web.Request) -> web.Response:
        return await assets.json(request, self._site.history.latest)

    async def _ready(self, _: web.Request) -> web.Response:
        if self._site.ready:
            return web.Response(text="Ready.\n")
        return web.Response(status=503, text="Not ready: some targets have not been tried yet.\n")

    async def _do_reload(self, _: web.Request) -> web.Response:
        if self._reload is None:
            return web.Response(status=403, text="Reloading is not enabled: start with --web.enable-lifecycle.\n")
        try:
            await self._reload()
        except TokencostError as error:
            return web.Response(status=500, text=f"The config was not reloaded; the old one still serves.\n{error}\n")
        return web.Response(text="Reloaded.\n")

    async def _secure(self, _: web.Request, response: web.StreamResponse) -> None:
        cache = response.headers.get("Cache-Control", "no-store")
        response.headers.update(headers(self._gate.latest.headers, cache))


def _held(request: web.Request) -> Held:
    """The connection that it came on."""
    return cast(Handler, request.protocol).held


def _unfit(request: web.Request) -> web.Response | None:
    """The refusal of a request that nothing here has an answer to."""
    if request.version not in VERSIONS:
        return web.Response(status=505, text="HTTP/1.1 and 1.0 are spoken here.\n")
    if request.body_exists and (request.content_length is None or request.content_length > MAX_BODY):
        return web.Response(status=413, text="No page here takes a body.\n")
    return None


async def _healthy(_: web.Request) -> web.Response:
    return web.Response(text="Healthy.\n")


async def _send(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    if isinstance(response, web.Response) and isinstance(response.body, bytes) and len(response.body) > PIECE:
        response.body = Pieces(response.body)
    await response.prepare(request)
    await response.write_eof()
    return response
