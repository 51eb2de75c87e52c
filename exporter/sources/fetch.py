"""One HTTP request with nothing left open: time, size, encoding, redirects and credentials are all bounded.

A target that misbehaves costs one ScrapeError. Its text says what happened and holds no query and no secret.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from base64 import b64encode
from collections.abc import AsyncGenerator, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self, TypeVar

import aiohttp
from aiohttp.abc import AbstractResolver
from isal import isal_zlib
from yarl import URL

from exporter import __version__
from exporter.errors import Reason, ScrapeError
from exporter.records import NS
from exporter.sources.connect import ForbiddenAddressError, guarded
from exporter.sources.target import Basic, Target, TlsFiles

REDIRECTS = 3
MOVED = frozenset({301, 302, 303, 307, 308})
SECRET_BYTES = 65_536
# Bodies beyond this many bytes take turns, so that memory is bounded however many targets misbehave at once.
LARGE = 1 << 22
TURNS = 2
PIECE = 1 << 20
GZIP = 31  # zlib's wbits: a gzip header and nothing else
HEADERS = {
    "Accept": "text/plain;version=0.0.4",
    "Accept-Encoding": "identity",  # within a cluster, compression costs more than it saves
    "User-Agent": f"tokencost-exporter/{__version__}",
}
NO_HEADERS: Mapping[str, str] = MappingProxyType({})

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said to a POST. It may repeat what it was sent: none of it is fit to be shown."""

    status: int
    retry_after: str  # the header; "" where there is none
    body: bytes  # decoded; empty where the status is not 2xx: then it is not read


class Fetcher:
    """Fetches pages over one session; connections stay open between scrapes. An async context manager.

    `resolver`: who turns names into addresses; None: the system. To which of them it connects is not left to it.
    """

    def __init__(self, resolver: AbstractResolver | None = None) -> None:
        self._resolver = resolver
        self._sessions: dict[bool, aiohttp.ClientSession] = {}  # by whether link-local addresses are allowed
        self._turns = asyncio.Semaphore(TURNS)
        self._contexts: dict[TlsFiles, tuple[tuple[int, ...], ssl.SSLContext]] = {}

    async def __aenter__(self) -> Self:
        self._sessions = {link_local: self._new_session(link_local) for link_local in (False, True)}
        return self

    async def __aexit__(self, *_: object) -> None:
        for session in self._sessions.values():
            await session.close()
        self._sessions = {}

    def _new_session(self, link_local: bool) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            # No limit: a target has one scrape at a time, and slow ones must not make the others wait.
            connector=aiohttp.TCPConnector(
                limit=0,
                keepalive_timeout=120,
                ttl_dns_cache=30,
                resolver=self._resolver,
                socket_factory=partial(guarded, link_local=link_local),
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=HEADERS,
            timeout=aiohttp.ClientTimeout(total=None),  # get() sets its own
            auto_decompress=False,
            trust_env=False,
            read_bufsize=1 << 18,
        )

    def _session(self, target: Target) -> aiohttp.ClientSession:
        if not self._sessions:
            raise RuntimeError("the fetcher is not open")
        return self._sessions[target.link_local]

    async def get(self, target: Target, headers: Mapping[str, str] = NO_HEADERS, media_type: str = "") -> bytes:
        """The decoded body of the page, which must be of that media type if one is given.

        Raises ScrapeError: timeout, connect, forbidden, tls, credentials, status, redirect, encoding, too_large,
        truncated or invalid (not HTTP, another media type).
        """
        return await self._bounded(target, self._get(target, headers, media_type))

    async def lines(self, target: Target, headers: Mapping[str, str] = NO_HEADERS) -> AsyncGenerator[bytes, None]:
        """An empty line as soon as the answer begins, then those of a body that goes on as long as the server likes.
        Each piece comes within the target's time after the one before, and no line is longer than `max_body_bytes`.
        Close the iterator when done (contextlib.aclosing).

        Raises ScrapeError as `get` does; a line that the end cuts off is dropped.
        """
        response = await self._bounded(target, self._open(target, headers))
        try:
            yield b""
            rest = b""
            while piece := await self._bounded(target, response.content.readany()):
                *lines, rest = (rest + piece).split(b"\n")
                if len(rest) > target.max_body_bytes:
                    raise _too_large(target)
                for line in lines:
                    yield line
        finally:
            response.close()

    async def post(self, target: Target, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send a body; a redirect is an answer like any other. The target's own credentials win over `headers`.

        Raises ScrapeError as `get` does, but for status and redirect.
        """
        return await self._bounded(target, self._post(target, body, headers))

    async def _bounded(self, target: Target, work: Coroutine[Any, Any, T]) -> T:
        """Within the target's time; whatever the network does wrong becomes a ScrapeError."""
        try:
            async with asyncio.timeout(target.timeout_ns / NS):
                return await work
        except TimeoutError:
            reason, what = Reason.TIMEOUT, f"no complete answer within {target.timeout_ns / NS:g} s"
        except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError, ssl.SSLError) as error:
            reason, what = Reason.TLS, _tls_text(error)
        except aiohttp.ClientPayloadError:
            reason, what = Reason.TRUNCATED, "the body stopped before its end"
        except aiohttp.ClientConnectorError as error:
            forbidden = isinstance(error.os_error, ForbiddenAddressError)
            reason = Reason.FORBIDDEN if forbidden else Reason.CONNECT
            what = f"cannot connect: {_connect_text(error.os_error)}"
        except aiohttp.ClientResponseError:
            reason, what = Reason.INVALID, "the answer is not HTTP, or its headers are too long"
        except (aiohttp.ClientError, OSError) as error:
            reason, what = Reason.CONNECT, f"the connection failed ({type(error).__name__})"
        raise ScrapeError(reason, f"{target.name}: {what}")

    async def _open(self, target: Target, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        """An answer whose body is still to come. It is for the caller to close."""
        sent = {**headers, **_authorization(target)}
        tls = self._context(target) if target.tls else True
        response = await self._session(target).get(URL(target.url), headers=sent, ssl=tls, allow_redirects=False)
        if response.status != 200:
            response.close()
            raise ScrapeError(Reason.STATUS, f"{target.name}: HTTP status {response.status}")
        return response

    async def _get(self, target: Target, more: Mapping[str, str], media_type: str) -> bytes:
        headers = {**more, **_authorization(target)}
        tls = self._context(target) if target.tls else True
        session, url = self._session(target), URL(target.url)
        for _ in range(REDIRECTS + 1):
            async with session.get(url, headers=headers, ssl=tls, allow_redirects=False) as response:
                if response.status in MOVED:
                    url = _next(target, url, response.headers.get("Location", ""))
                    continue
                if response.status != 200:
                    raise ScrapeError(Reason.STATUS, f"{target.name}: HTTP status {response.status}")
                if media_type and response.content_type != media_type:
                    raise ScrapeError(Reason.INVALID, f"{target.name}: the answer is not {media_type}")
                async with AsyncExitStack() as turn:
                    return await self._body(target, response, turn)
        raise ScrapeError(Reason.REDIRECT, f"{target.name}: more than {REDIRECTS} redirects")

    async def _post(self, target: Target, body: bytes, headers: Mapping[str, str]) -> Answer:
        sent = {**headers, **_authorization(target)}
        tls = self._context(target) if target.tls else True
        session = self._session(target)
        async with (
            session.post(URL(target.url), data=body, headers=sent, ssl=tls, allow_redirects=False) as response,
            AsyncExitStack() as turn,
        ):
            good = 200 <= response.status < 300
            said = await self._body(target, response, turn) if good else b""
            return Answer(response.status, response.headers.get("Retry-After", ""), said)

    async def _body(self, target: Target, response: aiohttp.ClientResponse, turn: AsyncExitStack) -> bytes:
        """The whole body, decoded. Neither the bytes received nor the bytes they decode to pass the limit. `turn` is
        let go of when the body is done with."""
        limit = target.max_body_bytes
        encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in {"identity", "", "gzip", "x-gzip"}:
            raise ScrapeError(Reason.ENCODING, f"{target.name}: Content-Encoding is neither identity nor gzip")
        if (response.content_length or 0) > limit:
            raise _too_large(target)
        gzip = isal_zlib.decompressobj(wbits=GZIP) if "gzip" in encoding else None
        parts: list[bytes] = []
        received = size = 0
        async for chunk in response.content.iter_any():
            received += len(chunk)
            for part in _decoded(target, gzip, chunk) if gzip else (chunk,):
                if size <= LARGE < size + len(part):
                    await turn.enter_async_context(self._turns)
                size += len(part)
                if max(received, size) > limit:
                    raise _too_large(target)
                parts.append(part)
        if gzip and (not gzip.eof or gzip.unused_data):
            raise ScrapeError(Reason.ENCODING, f"{target.name}: the gzip body does not end where the answer ends")
        # So many bytes take longer to copy than the loop may be held; the copying lets go of the interpreter.
        return await asyncio.to_thread(b"".join, parts) if size > LARGE else b"".join(parts)

    def _context(self, target: Target) -> ssl.SSLContext:
        """Made again when one of its files changes, so renewed certificates are taken up."""
        files = target.tls
        assert files is not None  # noqa: S101 - the caller has looked
        try:
            times = tuple(path.stat().st_mtime_ns if path else 0 for path in (files.ca, files.cert, files.key))
            known = self._contexts.get(files)
            if known and known[0] == times:
                return known[1]
            context = ssl.create_default_context(cafile=files.ca)
            if files.cert:
                context.load_cert_chain(files.cert, files.key)
        except OSError as error:  # ssl.SSLError is one
            what = f"a TLS file cannot be read: {error.strerror or type(error).__name__}"
            raise ScrapeError(Reason.TLS, f"{target.name}: {what}") from None
        self._contexts[files] = times, context
        return context


def _decoded(target: Target, gzip: Any, chunk: bytes) -> Iterator[bytes]:
    """What a chunk decodes to, in pieces, so that a bomb is found out while it is small."""
    full = True
    while chunk or full:
        try:
            part = gzip.decompress(chunk, PIECE)
        except isal_zlib.error:  # type: ignore[misc]  # isal's types do not say that it is an exception
            raise ScrapeError(Reason.ENCODING, f"{target.name}: the gzip body is broken") from None
        chunk, full = gzip.unconsumed_tail, len(part) == PIECE
        if part:
            yield part


def _too_large(target: Target) -> ScrapeError:
    return ScrapeError(Reason.TOO_LARGE, f"{target.name}: the body is larger than {target.max_body_bytes} bytes")


def _next(target: Target, url: URL, location: str) -> URL:
    """Where a redirect leads. Credentials belong to one origin, so it may lead nowhere else."""
    try:
        there = url.join(URL(location))
        same = bool(location) and there.origin() == url.origin()
    except ValueError:
        same = False
    if not same:
        raise ScrapeError(Reason.REDIRECT, f"{target.name}: a redirect to another origin is not followed")
    return there


def _authorization(target: Target) -> dict[str, str]:
    if target.auth is None:
        return {}
    if isinstance(target.auth, Basic):
        pair = f"{target.auth.username}:{_secret(target, target.auth.password_file)}"
        return {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}
    return {"Authorization": f"Bearer {_secret(target, target.auth.token_file)}"}


def _secret(target: Target, path: Path) -> str:
    """The file's text without its last newline; read at every scrape, since secrets are rotated."""
    try:
        with path.open("rb") as file:
            secret = file.read(SECRET_BYTES).decode().rstrip("\r\n")
    except (OSError, UnicodeError) as error:
        what = (isinstance(error, OSError) and error.strerror) or "it is not text"
        raise ScrapeError(Reason.CREDENTIALS, f"{target.name}: cannot read {path}: {what}") from None
    if not secret or not secret.isprintable():
        raise ScrapeError(Reason.CREDENTIALS, f"{target.name}: {path} is empty or holds control characters")
    return secret


def _tls_text(error: Exception) -> str:
    cause = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
    text = getattr(cause, "verify_message", "") or getattr(cause, "reason", "") or type(cause).__name__
    return f"TLS failed: {text}"


def _connect_text(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return "the name was not found"
    if isinstance(error, ForbiddenAddressError):
        return str(error)
    return os.strerror(error.errno) if error.errno else "none of its addresses answers"
