"""The real server on a real socket: what it answers, and to whom it does not."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from aiohttp import ClientSession

from exporter.errors import ConfigError, Problem, StartError
from exporter.publish.server import Server, Site
from exporter.publish.snapshot import Snapshot
from exporter.publish.view import View
from exporter.publish.writer import Exposition
from tests.publish.world import fleet

DEADLINE = 20.0  # seconds no test comes near unless it fails
LOOPBACK = "127.0.0.1:0"


def site_of(made: View) -> Site:
    return Site(Exposition().update(made), Snapshot(made), ready=True)


@asynccontextmanager
async def serving(site: Site, **options: Any) -> AsyncIterator[tuple[ClientSession, str]]:
    """A client of a running server, and the server's address."""
    server = Server(site, **options)
    address = await server.start(LOOPBACK)
    try:
        plain = {"Accept-Encoding": "identity"}
        session = ClientSession(f"http://{address}", auto_decompress=False, headers=plain)
        async with asyncio.timeout(DEADLINE), session as client:
            yield client, address
    finally:
        await server.stop()


async def talk(address: str, request: bytes) -> bytes:
    """All the server says to these bytes until it closes the connection."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(request)
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_metrics_in_both_formats_plain_and_gzipped() -> None:
    site = site_of(fleet())
    assert site.rendered
    async with serving(site) as (client, _):
        for fmt, accept, content_type in (
            ("text", "*/*", "text/plain; version=0.0.4; charset=utf-8"),
            (
                "openmetrics",
                "application/openmetrics-text;version=1.0.0",
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
            ),
        ):
            for encoding in ("identity", "gzip"):
                headers = {"Accept": accept, "Accept-Encoding": encoding}
                async with client.get("/metrics", headers=headers) as answer:
                    body = await answer.read()
                    assert answer.status == 200
                    assert answer.headers["Content-Type"] == content_type
                    assert answer.headers["Vary"] == "Accept, Accept-Encoding"
                    assert answer.headers.get("Content-Encoding", "identity") == encoding
                    plain = gzip.decompress(body) if encoding == "gzip" else body
                    assert plain == site.rendered.body("openmetrics" if fmt == "openmetrics" else "text")


async def test_before_the_first_tick_and_after() -> None:
    site = Site()
    async with serving(site) as (client, _):
        for path, status in (("/metrics", 503), ("/api/v1/snapshot", 503), ("/-/ready", 503), ("/-/healthy", 200)):
            async with client.get(path) as answer:
                assert answer.status == status
                assert (await answer.text()).endswith(".\n")
        made = fleet()
        site.rendered, site.snapshot, site.ready = Exposition().update(made), Snapshot(made), True
        for path in ("/metrics", "/api/v1/snapshot", "/-/ready", "/-/healthy"):
            async with client.get(path) as answer:
                assert answer.status == 200


async def test_snapshot_is_the_json_of_the_tick() -> None:
    site = site_of(fleet())
    assert site.snapshot
    async with serving(site) as (client, _), client.get("/api/v1/snapshot") as answer:
        assert answer.content_type == "application/json"
        body = await answer.read()
        assert body == site.snapshot.body()
        assert orjson.loads(body)["pools"][0]["pool"] == "a100"


async def test_head_has_headers_and_no_body() -> None:
    async with serving(site_of(fleet())) as (client, _):
        for path in ("/metrics", "/", "/-/healthy", "/api/v1/snapshot"):
            async with client.get(path) as got, client.head(path) as head:
                assert head.status == got.status == 200
                assert head.headers["Content-Length"] == str(len(await got.read()))
                assert await head.read() == b""


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
async def test_other_methods_are_refused(method: str) -> None:
    async with serving(site_of(fleet())) as (client, _):
        for path in ("/metrics", "/", "/-/healthy", "/-/ready", "/api/v1/snapshot", "/page/page.js"):
            async with client.request(method, path) as answer:
                assert answer.status == 405
                assert answer.headers["Allow"] == "GET,HEAD"
                assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_every_answer_carries_the_security_headers() -> None:
    async with serving(site_of(fleet())) as (client, _):
        for path in (
            *("/metrics", "/", "/page/page.js", "/-/healthy", "/api/v1/snapshot", "/api/v1/history"),
            *("/nowhere", "/%ff%fe", "/-/reload"),
        ):
            async with client.get(path) as answer:
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; ")
                assert answer.headers["Referrer-Policy"] == "no-referrer"
                kept = path in {"/", "/page/page.js"}  # after asking whether it is still so
                assert answer.headers["Cache-Control"] == ("no-cache" if kept else "no-store")
                assert "aiohttp" not in answer.headers["Server"]


async def test_nothing_of_a_request_comes_back() -> None:
    async with serving(site_of(fleet())) as (client, _):
        for path in ("/metrics?x=<script>", "/<script>", "/-/reload?<script>"):
            for name in ("X-Attack", "Expect", "Upgrade", "Accept", "If-None-Match", "Range", "Cookie", "Origin"):
                async with client.get(path, headers={name: "<script>"}) as answer:
                    assert b"<script>" not in await answer.read()
                    assert "<script>" not in str(answer.headers)
                    assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_the_telemetry_path_can_be_moved() -> None:
    async with serving(site_of(fleet()), telemetry_path="/cost/metrics") as (client, _):
        async with client.get("/cost/metrics") as answer:
            assert answer.status == 200
        async with client.get("/metrics") as answer:
            assert answer.status == 404


@pytest.mark.parametrize("path", ["metrics", "", "/{name}"])
def test_a_telemetry_path_that_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(StartError, match="telemetry-path"):
        Server(Site(), telemetry_path=path)


async def test_reload_needs_to_be_enabled() -> None:
    async with serving(Site()) as (client, _), client.post("/-/reload") as answer:
        assert answer.status == 403
        assert "--web.enable-lifecycle" in await answer.text()


async def test_reload_answers_with_the_outcome() -> None:
    problem = Problem("tokencost.yml", "pools[0].engine", "no such engine", "try vllm")
    outcomes: list[Exception | None] = [None, ConfigError((problem,)), RuntimeError("secret detail"), None]

    async def reload() -> None:
        if error := outcomes.pop(0):
            raise error

    async with serving(Site(), reload=reload) as (client, _):
        said = []
        for _ in range(4):
            async with client.post("/-/reload") as answer:
                said.append((answer.status, await answer.text()))
        async with client.get("/-/reload") as answer:
            assert answer.status == 405
    assert [status for status, _ in said] == [200, 500, 500, 200]
    assert "tokencost.yml: pools[0].engine: no such engine; try vllm" in said[1][1]
    assert "secret detail" not in said[2][1]


async def test_many_clients_of_one_tick_get_the_same_page() -> None:
    site = site_of(fleet())

    async def fetch(client: ClientSession) -> bytes:
        async with client.get("/metrics", headers={"Accept-Encoding": "gzip"}) as answer:
            return zlib.decompress(await answer.read(), wbits=31)

    async with serving(site) as (client, _):
        pages = await asyncio.gather(*(fetch(client) for _ in range(50)))
    assert len(set(pages)) == 1


@pytest.mark.parametrize(("address", "host"), [("127.0.0.1:0", "127.0.0.1:"), ("localhost:0", "127.0.0.1:")])
async def test_port_0_picks_a_port_and_says_which(address: str, host: str) -> None:
    server = Server(Site())
    bound = await server.start(address)
    await server.stop()
    assert bound.startswith(host)
    assert 0 < int(bound.removeprefix(host)) < 65536


@pytest.mark.parametrize("address", ["9742", "127.0.0.1", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:65536", ""])
async def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(StartError, match="listen-address"):
        await Server(Site()).start(address)


async def test_a_taken_port_is_said_in_one_line() -> None:
    first = Server(Site())
    bound = await first.start(LOOPBACK)
    try:
        with pytest.raises(StartError, match=rf"cannot listen on {bound}: .*in use") as raised:
            await Server(Site()).start(bound)
        assert "\n" not in str(raised.value)
    finally:
        await first.stop()
