"""Hostile and broken servers cost one named failure: bounded in time and memory, without a secret in the text."""

from __future__ import annotations

import asyncio
import gzip
import os
import resource
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import trustme

from exporter.errors import Reason, ScrapeError
from exporter.records import NS
from exporter.sources.fetch import Fetcher
from exporter.sources.target import Basic, Bearer, Target, TlsFiles
from tests.sources.servers import PAGE, Answer, http, says, serve, target

FAST = NS // 5


@pytest.fixture
async def fetcher() -> AsyncIterator[Fetcher]:
    async with Fetcher() as made:
        yield made


async def refusal(fetcher: Fetcher, one: Target) -> ScrapeError:
    with pytest.raises(ScrapeError) as error:
        await fetcher.get(one)
    assert one.name in str(error.value)
    assert "?" not in str(error.value)
    return error.value


async def stall(_: bytes, writer: asyncio.StreamWriter) -> None:
    """A header and one byte, then silence."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nx")
    await writer.drain()
    await asyncio.Event().wait()


async def endless(_: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    while True:
        writer.write(b"vllm:x 1\n" * 10_000)
        await writer.drain()


async def endless_headers(_: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X-Flood: %s\r\n" % (b"y" * 1000) * 100)
        await writer.drain()


BOMB = gzip.compress(b"\0" * (200 << 20))

HOSTILE: dict[str, tuple[Answer, Reason]] = {
    "stalled body": (stall, Reason.TIMEOUT),
    "endless body": (endless, Reason.TOO_LARGE),
    "endless headers": (endless_headers, Reason.INVALID),
    "a gigabyte announced": (says(http(length=1 << 30)), Reason.TOO_LARGE),
    "gzip bomb": (says(http(BOMB, "Content-Encoding: gzip")), Reason.TOO_LARGE),
    "broken gzip": (says(http(b"not gzip at all", "Content-Encoding: gzip")), Reason.ENCODING),
    "cut gzip": (says(http(gzip.compress(PAGE)[:-9], "Content-Encoding: gzip")), Reason.ENCODING),
    "more after the gzip": (says(http(gzip.compress(PAGE) * 2, "Content-Encoding: gzip")), Reason.ENCODING),
    "brotli": (says(http(PAGE, "Content-Encoding: br")), Reason.ENCODING),
    "less than announced": (says(http(length=9_999)), Reason.TRUNCATED),
    "not HTTP": (says(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), Reason.INVALID),
    "nothing": (says(b""), Reason.CONNECT),
    "server error": (says(http(b"password=hunter2", status="500 Oops hunter2")), Reason.STATUS),
    "not allowed": (says(http(status="401 Unauthorized")), Reason.STATUS),
    "no content": (says(b"HTTP/1.1 204 No Content\r\n\r\n"), Reason.STATUS),
    "redirect to itself": (says(http(b"", "Location: /again", status="302 Found")), Reason.REDIRECT),
    "redirect to nowhere": (says(http(b"", status="302 Found")), Reason.REDIRECT),
    "redirect to a file": (says(http(b"", "Location: file:///etc/passwd", status="302 Found")), Reason.REDIRECT),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_server_is_a_named_failure(name: str, fetcher: Fetcher) -> None:
    answer, reason = HOSTILE[name]
    async with serve(answer) as (origin, _):
        timeout = FAST if reason is Reason.TIMEOUT else 20 * NS
        error = await refusal(fetcher, target(origin, "/metrics?token=hunter2", timeout_ns=timeout))
    assert error.reason is reason
    assert "hunter2" not in str(error)


async def test_all_of_them_at_once_harm_no_one_else_and_stay_small() -> None:
    """Beside every hostile server a good one is read; memory grows by far less than what they send."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with Fetcher() as fetcher, serve(says(http())) as (good, _):
        for answer, reason in HOSTILE.values():
            async with serve(answer) as (origin, _):
                timeout = FAST if reason is Reason.TIMEOUT else 20 * NS
                bad = asyncio.create_task(refusal(fetcher, target(origin, timeout_ns=timeout)))
                assert await fetcher.get(target(good)) == PAGE
                assert (await bad).reason is reason
    unit = 1 if os.uname().sysname == "Darwin" else 1024
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit < 100 << 20


async def test_a_page_arrives_plain_or_gzipped_and_is_asked_for_plainly(fetcher: Fetcher) -> None:
    async with serve(says(http())) as (origin, requests):
        assert await fetcher.get(target(origin, "/metrics?model=m")) == PAGE
    assert requests[0].startswith(b"GET /metrics?model=m HTTP/1.1\r\n")
    assert b"\r\nAccept-Encoding: identity\r\n" in requests[0]
    assert b"\r\nAccept: text/plain;version=0.0.4\r\n" in requests[0]
    async with serve(says(http(gzip.compress(PAGE), "Content-Encoding: gzip"))) as (origin, _):
        assert await fetcher.get(target(origin)) == PAGE


async def test_the_limit_is_the_last_size_that_is_read(fetcher: Fetcher) -> None:
    for headers, body in (((), PAGE), (("Content-Encoding: gzip",), gzip.compress(PAGE * 100))):
        async with serve(says(http(body, *headers))) as (origin, _):
            size = len(PAGE) * (100 if headers else 1)
            assert len(await fetcher.get(target(origin, max_body_bytes=size))) == size
            error = await refusal(fetcher, target(origin, max_body_bytes=size - 1))
            assert error.reason is Reason.TOO_LARGE


async def test_a_closed_port_is_a_connect_failure(fetcher: Fetcher) -> None:
    async with serve(says(b"")) as (origin, _):
        pass
    assert (await refusal(fetcher, target(origin))).reason is Reason.CONNECT


async def test_a_redirect_within_the_origin_is_followed_with_the_credentials(fetcher: Fetcher, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret\n")

    async def answer(request: bytes, writer: asyncio.StreamWriter) -> None:
        moved = request.startswith(b"GET /metrics ")
        writer.write(http(b"", "Location: /metrics/", status="307 Temporary Redirect") if moved else http())

    async with serve(answer) as (origin, requests):
        assert await fetcher.get(target(origin, auth=Bearer(tmp_path / "token"))) == PAGE
    assert [b"\r\nAuthorization: Bearer s3cret\r\n" in request for request in requests] == [True, True]


async def test_credentials_never_leave_their_origin(fetcher: Fetcher, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret\n")
    async with AsyncExitStack() as stack:
        other, theirs = await stack.enter_async_context(serve(says(http())))
        away = http(b"", f"Location: {other}/metrics", status="302 Found")
        origin, _ = await stack.enter_async_context(serve(says(away)))
        error = await refusal(fetcher, target(origin, auth=Bearer(tmp_path / "token")))
    assert error.reason is Reason.REDIRECT
    assert "s3cret" not in str(error)
    assert theirs == []


async def test_a_password_is_read_at_every_scrape(fetcher: Fetcher, tmp_path: Path) -> None:
    file = tmp_path / "password"
    async with serve(says(http())) as (origin, requests):
        one = target(origin, auth=Basic("scraper", file))
        for password in ("old", "nëw"):
            file.write_text(f"{password}\n", encoding="utf-8")
            await fetcher.get(one)
        assert b"Authorization: Basic c2NyYXBlcjpvbGQ=\r\n" in requests[0]
        assert b"Authorization: Basic c2NyYXBlcjpuw6t3\r\n" in requests[1]
        for bad in (b"", b"two\nlines\n", b"\xff\xfe"):
            file.write_bytes(bad)
            assert (await refusal(fetcher, one)).reason is Reason.CREDENTIALS
        file.unlink()
        assert (await refusal(fetcher, one)).reason is Reason.CREDENTIALS
    assert len(requests) == 2


async def test_tls_trusts_the_given_authority_and_no_other(fetcher: Fetcher, tmp_path: Path) -> None:
    """Server and client certificates; a wrong name, an unknown authority and a missing client certificate fail."""
    authority, stranger = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    stranger.cert_pem.write_to_path(tmp_path / "stranger.pem")
    mine = authority.issue_cert("scraper.example")
    mine.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    mine.private_key_pem.write_to_path(tmp_path / "key.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    whole = TlsFiles(tmp_path / "ca.pem", tmp_path / "cert.pem", tmp_path / "key.pem")
    async with serve(says(http()), context) as (origin, _):
        assert await fetcher.get(target(origin, tls=whole)) == PAGE
        for bad in (
            None,  # the system's authorities
            TlsFiles(tmp_path / "stranger.pem", whole.cert, whole.key),
            TlsFiles(tmp_path / "missing.pem", None, None),
        ):
            assert (await refusal(fetcher, target(origin, tls=bad))).reason is Reason.TLS
        error = await refusal(fetcher, target(origin, tls=TlsFiles(whole.ca, None, None)))
        assert error.reason in {Reason.TLS, Reason.CONNECT}  # TLS 1.3 tells the client only after the handshake
        error = await refusal(fetcher, target(origin.replace("127.0.0.1", "localhost"), tls=whole))
        assert error.reason is Reason.TLS


async def test_a_renewed_authority_is_taken_up(fetcher: Fetcher, tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trustme.CA().cert_pem.write_to_path(ca)
    os.utime(ca, ns=(1, 1))
    async with serve(says(http()), context) as (origin, _):
        one = target(origin, tls=TlsFiles(ca, None, None))
        assert (await refusal(fetcher, one)).reason is Reason.TLS
        authority.cert_pem.write_to_path(ca)
        assert await fetcher.get(one) == PAGE


async def test_cancelling_a_fetch_cancels_it(fetcher: Fetcher) -> None:
    arrived = asyncio.Event()

    async def hang(_: bytes, __: asyncio.StreamWriter) -> None:
        arrived.set()
        await asyncio.Event().wait()

    async with serve(hang) as (origin, _):
        task = asyncio.create_task(fetcher.get(target(origin)))
        await asyncio.wait_for(arrived.wait(), 20)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
