"""Whatever a receiver does costs one failed push; secrets go to it and nowhere else."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from exporter.publish.otlp_link import ANSWER_BYTES
from tests.publish.collector import Answer, collecting, endless, rejects, says, silent
from tests.publish.desk import pushing


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (endless(), "too_large"),
        (endless(500), "status"),
        (says(200, b"x" * (ANSWER_BYTES + 1)), "too_large"),
        (says(200, b"no gzip", encoding="gzip"), "encoding"),
        (says(200, b"x", encoding="br"), "encoding"),
        (silent(), "timeout"),
    ],
    ids=["endless", "endless-error", "large", "broken", "brotli", "silent"],
)
async def test_a_hostile_answer_costs_one_failure(answer: Answer, reason: str) -> None:
    timeout = "200ms" if reason == "timeout" else "10s"
    async with collecting(answer) as collector, pushing(collector, timeout=timeout) as desk:
        await desk.slot()
        assert desk.failures() == ({} if reason == "timeout" else {reason: 1}), "what is late is tried again"
        desk.tick()
        await desk.slot()
        assert len(collector.pushes) >= 2
        assert set(desk.failures()) <= {reason}


async def test_no_redirect_takes_the_numbers_or_the_secrets_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret\n")
    async with collecting() as elsewhere, collecting() as collector:
        collector.answers = [says(status, Location=elsewhere.url) for status in (301, 302, 303, 307, 308)]
        collector.answers += [says(307, Location=collector.url)]
        async with pushing(collector, bearer_token_file=str(tmp_path / "token")) as desk:
            for pushes in range(1, 7):
                desk.tick()
                await desk.slot()
                assert len(collector.pushes) == pushes
            assert elsewhere.pushes == []
            assert desk.failures() == {"status": 6}


async def test_credentials_and_headers_are_read_from_files_at_every_push(tmp_path: Path) -> None:
    token, headers = tmp_path / "token", tmp_path / "headers"
    token.write_text("old\n")
    headers.write_text("X-Scope-OrgID: team-1\n\nApi-Key:k:1 2\r\n")
    files: dict[str, Any] = {"bearer_token_file": str(token), "headers_file": str(headers)}
    async with collecting() as collector, pushing(collector, **files) as desk:
        await desk.slot()
        token.write_text("new\n")
        headers.write_text("X-Scope-OrgID: team-2")
        desk.tick()
        await desk.slot()
        first, second = (push.headers for push in collector.pushes)
        assert (first["authorization"], first["x-scope-orgid"], first["api-key"]) == ("Bearer old", "team-1", "k:1 2")
        assert (second["authorization"], second["x-scope-orgid"]) == ("Bearer new", "team-2")
        assert "api-key" not in second
        for push in (first, second):
            assert push["user-agent"].startswith("tokencost-exporter/")
            assert "text/plain" not in push["accept"]


@pytest.mark.parametrize(
    "text",
    [
        b"no colon s3cret", b": s3cret", b"a b: s3cret", b"X: s3cret\x00", "X: s3cret é".encode(), b"X: s3cret \xff",
        b"Host: s3cret", b"content-LENGTH: s3cret", b"Content-Type: s3cret", b"Authorization: s3cret",
        b"X: s3cret\nx: s3cret", b"X:", b"X: \n", None,
    ],
)  # fmt: skip
async def test_headers_that_cannot_be_sent_are_not_and_not_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: bytes | None
) -> None:
    (tmp_path / "token").write_text("s3cret")
    if text is not None:
        (tmp_path / "headers").write_bytes(text)
    files: dict[str, Any] = {"bearer_token_file": str(tmp_path / "token"), "headers_file": str(tmp_path / "headers")}
    async with collecting() as collector, pushing(collector, **files) as desk:
        await desk.slot()
        assert collector.pushes == []
        assert desk.failures() == {"credentials": 1}
    assert "s3cret" not in caplog.text
    assert str(tmp_path / "headers") in caplog.text


async def test_tls_trusts_the_given_authority_and_no_other(tmp_path: Path) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    stranger.cert_pem.write_to_path(tmp_path / "other.pem")
    async with collecting(tls=context) as collector:
        async with pushing(collector, tls={"ca_file": str(tmp_path / "ca.pem")}) as desk:
            await desk.slot()
            assert (len(collector.pushes), desk.failures()) == (1, {})
        async with pushing(collector, tls={"ca_file": str(tmp_path / "other.pem")}) as desk:
            await desk.slot()
            assert (len(collector.pushes), desk.failures()) == (1, {"tls": 1})


async def test_nothing_that_a_receiver_says_is_shown(caplog: pytest.LogCaptureFixture) -> None:
    """It may be what we sent: secrets."""
    caplog.set_level(logging.DEBUG)
    echo = says(400, b"s3cret", after="s3cret", X="s3cret")
    for answer in (echo, rejects(1, "s3cret\x1b[31m"), says(302, Location="http://s3cret/")):
        async with collecting(answer) as collector:
            collector.url += "?key=s3cret"
            async with pushing(collector) as desk:
                await desk.slot()
                assert sum(desk.failures().values()) == 1
    assert caplog.text.count("fails, ") == 3
    assert "s3cret" not in caplog.text
