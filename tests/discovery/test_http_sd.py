"""A service that lists targets, asked as Prometheus asks, and held to JSON."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from exporter.config.discovery import HttpSd
from exporter.discovery.found import MOST_BYTES, Found
from exporter.discovery.http_sd import HttpService
from exporter.errors import Reason, ScrapeError
from exporter.records import NS
from exporter.sources.fetch import Fetcher
from tests.discovery.given import at
from tests.sources.servers import http, says, serve

BODY = json.dumps([{"targets": ["a:1"], "labels": {"team": "blue"}}]).encode()
JSON = "Content-Type: application/json; charset=utf-8"


@pytest.fixture
async def fetcher() -> AsyncIterator[Fetcher]:
    async with Fetcher() as made:
        yield made


def service(fetcher: Fetcher, origin: str, **more: Any) -> HttpService:
    config = HttpSd.model_validate({"url": f"{origin}/sd?key=s3cret", "interval": "30s", **more})
    return HttpService(config, 20 * NS, fetcher)


async def test_it_is_asked_as_prometheus_asks(fetcher: Fetcher, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("t0ken")
    async with serve(says(http(BODY, JSON))) as (origin, requests):
        assert await service(fetcher, origin, bearer_token_file=str(token)).look() == Found((at("a:1", team="blue"),))
    head = requests[0].decode()
    assert head.startswith("GET /sd?key=s3cret HTTP/1.1\r\n")
    for line in (
        "Accept: application/json", "X-Prometheus-Refresh-Interval-Seconds: 30", "Authorization: Bearer t0ken"
    ):  # fmt: skip
        assert f"\r\n{line}\r\n" in head


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (http(BODY, "Content-Type: text/html"), Reason.INVALID),
        (http(BODY), Reason.INVALID),
        (http(BODY[:-1], JSON), Reason.INVALID),
        (http(b"{}", JSON), Reason.INVALID),
        (http(b"", JSON), Reason.INVALID),
        (http(BODY, JSON, length=len(BODY) + 1), Reason.TRUNCATED),
        (http(BODY, JSON, status="503 Away"), Reason.STATUS),
        (http(BODY, JSON, "Location: http://169.254.169.254/", status="302 Found"), Reason.REDIRECT),
        (http(b"", JSON, length=MOST_BYTES + 1), Reason.TOO_LARGE),
        (http(json.dumps([{"targets": ["a:1"] * 10_001}]).encode(), JSON), Reason.TOO_MANY_TARGETS),
    ],
)
async def test_anything_else_is_a_failure_without_the_query(fetcher: Fetcher, answer: bytes, reason: Reason) -> None:
    async with serve(says(answer)) as (origin, _):
        with pytest.raises(ScrapeError) as error:
            await service(fetcher, origin).look()
    assert error.value.reason is reason
    assert "s3cret" not in str(error.value)
