"""The HTTP side: finished bytes out, nothing computed on the loop, and no client that can hold it up.

Everything here is public and read-only but the reload, which is off unless asked for. Nothing of a request ever
becomes a label, a log line or part of an answer.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from importlib.resources import files

from aiohttp import web
from isal import igzip

from exporter.errors import StartError, TokencostError
from exporter.publish.answer import Answer
from exporter.publish.history import History
from exporter.publish.negotiation import CONTENT_TYPES, format_for, gzip_for
from exporter.publish.view import View
from exporter.publish.writer import Rendered

MAX_CONNECTIONS = 256  # a Prometheus pair, probes and some browsers need a dozen
HEADER_SECONDS = 10.0  # from connect to the end of the first request's headers
ANSWER_SECONDS = 60.0  # for a whole answer, sending included
KEEPALIVE_SECONDS = 75.0  # above Prometheus's usual scrape intervals
STOP_SECONDS = 3.0  # for answers under way when the program ends

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "Server": "tokencost-exporter",
    "X-Content-Type-Options": "nosniff",
}
PAGE = files("exporter") / "publish" / "page"  # page.html is served as /, what it asks for below /page/
TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
PATH = re.compile(r"/[A-Za-z0-9._~/-]*")
NOT_YET = "Nothing has been measured yet: the first tick is still running.\n"


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
        header_seconds: float = HEADER_SECONDS,
        answer_seconds: float = ANSWER_SECONDS,
        max_connections: int = MAX_CONNECTIONS,
    ) -> None:
        self._site = site
        self._reload = reload
        self._header_seconds = header_seconds
        self._answer_seconds = answer_seconds
        self._max_connections = max_connections
        self._silent: dict[asyncio.BaseProtocol, asyncio.TimerHandle] = {}  # connections without a request so far
        self._listener: asyncio.Server | None = None
        self._runner = web.AppRunner(
            self._app(telemetry_path),
            access_log=None,
            handle_signals=False,
            keepalive_timeout=KEEPALIVE_SECONDS,
            shutdown_timeout=STOP_SECONDS,
        )

    async def start(self, listen_address: str) -> str:
        """Listen; the address bound, as host:port. StartError where the address is wrong or taken."""
        sock = listen(listen_address)
        await self._runner.setup()
        self._listener = await asyncio.get_running_loop().create_server(self._connection, sock=sock)
        host, port = sock.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    async def stop(self) -> None:
        """Stop listening, let answers under way finish, close."""
        if self._listener:
            self._listener.close()
        for timer in self._silent.values():
            timer.cancel()
        await self._runner.cleanup()

    def _app(self, telemetry_path: str) -> web.Application:
        assets = {asset.name: _asset(asset.name, asset.read_bytes()) for asset in PAGE.iterdir() if asset.is_file()}
        pages = {"/": assets.pop("page.html")} | {f"/page/{name}": asset for name, asset in assets.items()}
        pages |= {"/-/healthy": _healthy, "/-/ready": self._ready}
        pages |= {"/api/v1/snapshot": self._snapshot, "/api/v1/history": self._history}
        if not PATH.fullmatch(telemetry_path):
            raise StartError(f"--web.telemetry-path: {telemetry_path!r} is not a path such as /metrics")
        if telemetry_path in pages:
            raise StartError(f"--web.telemetry-path: {telemetry_path!r} is taken by another page")
        pages[telemetry_path] = self._metrics
        app = web.Application(middlewares=[self._within_time])
        app.add_routes([web.get(path, handler) for path, handler in pages.items()])
        app.add_routes([web.post("/-/reload", self._do_reload)])
        app.on_response_prepare.append(_secure)
        return app

    def _connection(self) -> asyncio.BaseProtocol:
        """One more connection. aiohttp times idle connections only after their first request: this times the first."""
        server = self._runner.server
        if server is None or len(server.connections) >= self._max_connections:
            return _Refused()
        protocol = server()
        loop = asyncio.get_running_loop()
        self._silent[protocol] = loop.call_later(self._header_seconds, self._close_silent, protocol)
        return protocol

    def _close_silent(self, protocol: web.RequestHandler) -> None:
        del self._silent[protocol]
        protocol.force_close()

    @web.middleware
    async def _within_time(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Send the answer here and not later, so that a client that does not read it is let go of."""
        if timer := self._silent.pop(request.protocol, None):
            timer.cancel()
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

    async def _metrics(self, request: web.Request) -> web.Response:
        rendered = self._site.rendered
        if rendered is None:
            return web.Response(status=503, text=NOT_YET)
        fmt = format_for(request.headers.get("Accept", ""))
        gzip = gzip_for(request.headers.get("Accept-Encoding", ""))
        body = rendered.ready(fmt, gzip) or await asyncio.to_thread(rendered.body, fmt, gzip)
        headers = {"Content-Type": CONTENT_TYPES[fmt], "Vary": "Accept, Accept-Encoding"}
        return web.Response(body=body, headers=headers | ({"Content-Encoding": "gzip"} if gzip else {}))

    async def _snapshot(self, request: web.Request) -> web.Response:
        return await _json(request, self._site.snapshot)

    async def _history(self, request: web.Request) -> web.Response:
        return await _json(request, self._site.history.latest)

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


class _Refused(asyncio.Protocol):
    """A connection beyond the cap."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


async def _healthy(_: web.Request) -> web.Response:
    return web.Response(text="Healthy.\n")


def _asset(name: str, body: bytes) -> Callable[[web.Request], Awaitable[web.Response]]:
    """A file of the package. It changes with the version only: browsers keep it, and ask whether it is still so."""
    bodies = {False: body, True: igzip.compress(body, 2)}
    tag, content_type = hashlib.sha256(body).hexdigest()[:16], TYPES[name.rpartition(".")[2]]

    async def serve(request: web.Request) -> web.Response:
        gzip = gzip_for(request.headers.get("Accept-Encoding", ""))
        known = _known(request, tag)
        return _tagged(tag, None if known else bodies[gzip], gzip, f"{content_type}; charset=utf-8", "no-cache")

    return serve


async def _json(request: web.Request, answer: Answer | None) -> web.Response:
    if answer is None:
        return web.Response(status=503, text=NOT_YET)
    gzip = gzip_for(request.headers.get("Accept-Encoding", ""))
    body = None if _known(request, answer.tag) else await asyncio.to_thread(answer.body, gzip)
    return _tagged(answer.tag, body, gzip, "application/json", "no-store")


def _known(request: web.Request, tag: str) -> bool:
    """Whether the client has the body of that tag already."""
    return any(known.value in {tag, "*"} for known in request.if_none_match or ())


def _tagged(tag: str, body: bytes | None, gzip: bool, content_type: str, cache: str) -> web.Response:
    """None: not modified. The tag is weak because it names the plain body and the gzipped one."""
    headers = {"ETag": f'W/"{tag}"', "Vary": "Accept-Encoding", "Cache-Control": cache}
    if body is None:
        return web.Response(status=304, headers=headers)
    headers |= {"Content-Type": content_type} | ({"Content-Encoding": "gzip"} if gzip else {})
    return web.Response(body=body, headers=headers)


async def _send(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    await response.prepare(request)
    await response.write_eof()
    return response


async def _secure(_: web.Request, response: web.StreamResponse) -> None:
    cache = response.headers.get("Cache-Control", "no-store")
    response.headers.update(HEADERS | {"Cache-Control": cache})


def listen(address: str) -> socket.socket:
    """A listening socket on `host:port`, `[v6]:port` or `:port` (all interfaces, both families where there are two)."""
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise StartError(f"--web.listen-address: {address!r} is not host:port, such as 127.0.0.1:9742 or :9742")
    both = not host and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both or ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, int(port)), family=family, backlog=128, dualstack_ipv6=both)
    except OSError as error:
        what = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise StartError(f"cannot listen on {address}: {what}") from error
