"""A server with a web.yml, its certificates, and clients that may come in."""

from __future__ import annotations

import asyncio
import base64
import gc
import ssl
from asyncio.sslproto import SSLProtocol
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bcrypt
import pytest
import trustme
import yaml
from aiohttp import ClientSession, TCPConnector

from exporter.publish.connections import Handler, Held
from exporter.publish.gate import Gate
from exporter.publish.server import Server, Site

DEADLINE = 30.0  # seconds no test comes near unless it fails
PASSWORD = "s3cret-password"  # noqa: S105 - made up
HASH = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
USERS = {"basic_auth_users": {"prometheus": HASH}}
TLS = {"tls_server_config": {"cert_file": "tls.crt", "key_file": "tls.key"}}


def basic(user: str, password: str) -> str:
    """The Authorization header."""
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


LOGIN = {"Authorization": basic("prometheus", PASSWORD)}


class Desk:
    """The folder of a web.yml, as its owner keeps it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "web.yml"
        self.authority = trustme.CA()
        self.authority.cert_pem.write_to_path(folder / "ca.crt")

    def write(self, *parts: dict[str, Any]) -> Path:
        """web.yml of these parts."""
        self.replace("web.yml", yaml.safe_dump({key: value for part in parts for key, value in part.items()}).encode())
        return self.file

    def replace(self, name: str, content: bytes) -> None:
        """Another file in its place, as Kubernetes does it."""
        new = self.folder / f"{name}.new"
        new.write_bytes(content)
        new.replace(self.folder / name)

    def issue(self, name: str = "127.0.0.1", *, days: float = 30.0, parts: tuple[str, ...] = ("key", "crt")) -> None:
        """A certificate that ends in so many days, as tls.crt and tls.key."""
        now = datetime.now(UTC)
        made = self.authority.issue_cert(
            name, not_before=now - timedelta(days=60), not_after=now + timedelta(days=days)
        )
        content = {"key": made.private_key_pem.bytes(), "crt": made.cert_chain_pems[0].bytes()}
        for part in parts:
            self.replace(f"tls.{part}", content[part])

    def trusting(self, client: trustme.LeafCert | None = None) -> ssl.SSLContext:
        """A client's context, with that certificate of its own."""
        made = ssl.create_default_context()
        self.authority.configure_trust(made)
        if client:
            client.configure_cert(made)
        return made


@asynccontextmanager
async def guarding(desk: Desk, site: Site | None = None, **options: Any) -> AsyncIterator[str]:
    """The address of a server under that web.yml."""
    server = Server(site or Site(), gate=Gate(desk.file), **options)
    address = await server.start("127.0.0.1:0")
    try:
        async with asyncio.timeout(DEADLINE):
            yield address
    finally:
        await server.stop()


@asynccontextmanager
async def client(address: str, context: ssl.SSLContext | None = None) -> AsyncIterator[ClientSession]:
    """One that connects again for each request; over TLS where it has a context."""
    connector = TCPConnector(ssl=context or True, force_close=True)
    async with ClientSession(f"http{'s' if context else ''}://{address}", connector=connector) as session:
        yield session


async def status(session: ClientSession, path: str = "/-/healthy", **options: Any) -> int:
    async with session.get(path, **options) as answer:
        await answer.read()
        return answer.status


async def serial(address: str, context: ssl.SSLContext) -> object:
    """The serial number of the certificate that is shown there."""
    host, _, port = address.rpartition(":")
    _, writer = await asyncio.open_connection(host, int(port), ssl=context)
    try:
        return writer.get_extra_info("peercert")["serialNumber"]
    finally:
        writer.transport.abort()


@contextmanager
def uncollected() -> Iterator[Callable[[], Awaitable[int]]]:
    """How many connections there are, or are left behind: those that only a collection would find are counted."""

    async def count() -> int:
        return sum(isinstance(one, Held | Handler | SSLProtocol) for one in gc.get_objects())

    gc.collect()
    gc.disable()
    try:
        yield count
    finally:
        gc.enable()


def problems(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Those of web.yml that were said."""
    return [str(vars(record)["problem"]) for record in caplog.records if "problem" in vars(record)]
