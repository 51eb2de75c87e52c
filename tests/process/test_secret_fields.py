"""Whatever key of the config leads to a secret, it is sent to its own server and shown nowhere, even when that server
throws back all it was sent: not in a log, an error, on a page, in an answer, in the ledger, nor in what is pushed."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import date
from io import StringIO
from pathlib import Path
from typing import Any, Literal

import aiohttp
import pytest
import yaml
from aiohttp import web
from pydantic import BaseModel

from exporter.app import App, Options
from exporter.config import types as t
from exporter.config.load import load
from exporter.errors import ConfigError
from exporter.logs import Formatter
from exporter.records import NS
from tests.clock import ManualClock
from tests.process.secret_fields import Key, secret_keys, with_secret

SECRET = "s3cret-of-this-key"  # noqa: S105
SHOWN_AS = (SECRET, base64.b64encode(f"scraper:{SECRET}".encode()).decode().rstrip("="))
KEYS = list(dict.fromkeys(secret_keys()))
SLEEPERS = 5  # three pollers, the tick and the push


def sleepers(key: Key) -> int:
    """With the source of targets that the key is about, and what that finds."""
    if "discover" not in key:
        return SLEEPERS
    return SLEEPERS + (1 if {"http_sd", "kubernetes"} & set(key) else 2)


PATHS = ("/", "/metrics", "/api/v1/snapshot", "/api/v1/history", "/-/config", "/config", "/api/v1/status/config")


class Echo:
    """A server that lets nobody in, and throws back everything that it was sent."""

    def __init__(self) -> None:
        self.heads = ""
        self.bodies = b""

    async def answer(self, request: web.Request) -> web.Response:
        sent = f"{request.path_qs} {list(request.headers.items())}"
        self.heads += sent
        self.bodies += await request.read()  # aiohttp has undone the gzip
        return web.Response(status=401, reason=f"No {request.path_qs}", text=sent, headers={"X-Back": sent})

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Yields its origin."""
        server = web.Application()
        server.router.add_route("*", "/{path:.*}", self.answer)
        runner = web.AppRunner(server, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        await runner.cleanup()


def base(origin: str) -> dict[str, Any]:
    """A config with one of everything that has an address."""
    return {
        "scrape": {"interval": "15s", "timeout": "5s"},
        "prices": {"catalog": "none"},
        "pools": [{
            "name": "chat", "engine": "vllm", "endpoints": [{"url": f"{origin}/pool"}],
            "gpus": {"source": "dcgm", "url": f"{origin}/gpus"}, "usd_per_gpu_hour": 1,
        }],
        "gateways": [{
            "name": "edge", "engine": "litellm", "endpoints": [{"url": f"{origin}/gateway"}],
            "routes": [{"model": "*", "pool": "chat"}],
        }],
        "otlp": {"endpoint": f"{origin}/otlp", "resource": {"service.name": "here"}},
    }  # fmt: skip


@pytest.fixture
def log() -> Iterator[StringIO]:
    """All that is logged, as the program writes it."""
    lines, root = StringIO(), logging.getLogger()
    handler, level = logging.StreamHandler(lines), root.level
    handler.setFormatter(Formatter("logfmt"))
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield lines
    root.removeHandler(handler)
    root.setLevel(level)


def broken(config: dict[str, Any], key: Key) -> Iterator[str]:
    """The file with mistakes beside the secret, and in its place."""
    address = () if key[-1].endswith("_file") else (f"http://{SECRET}@h/x", f"http://h/{SECRET} x", SECRET)
    for wrong in ([SECRET], {SECRET: SECRET}, f"{SECRET}\x01", *address):
        changed = yaml.safe_load(yaml.safe_dump(config))
        place = changed
        for step in key[:-1]:
            place = place[step][0] if isinstance(place[step], list) else place[step]
        place[key[-1]] = wrong
        yield yaml.safe_dump(changed)
    yield yaml.safe_dump(config) + f"\nunknown: {SECRET}\n"
    yield yaml.safe_dump(config) + f"\n{{ {SECRET}: [\n"


@pytest.mark.parametrize("key", KEYS, ids=".".join)
async def test_it_is_shown_nowhere(key: Key, tmp_path: Path, log: StringIO) -> None:
    echo, clock = Echo(), ManualClock(1_795_348_800 * NS)
    path, ledger = tmp_path / "tokencost.yml", tmp_path / "ledger.db"
    shown: dict[str, str] = {}
    async with echo.serving() as origin:
        config = with_secret(base(origin), key, SECRET, tmp_path)
        path.write_text(yaml.safe_dump(config))
        options = Options(path, listen_address="127.0.0.1:0", storage_path=str(ledger), enable_lifecycle=True)
        app = App(options, load(path, today=date(2026, 11, 22)), clock)
        listening: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        running = asyncio.create_task(app.run(on_listening=listening.set_result))
        async with aiohttp.ClientSession(f"http://{await listening}") as session:
            await clock.settled(sleepers(key))
            for seconds in (15, 15, 35):
                clock.advance(seconds * NS)
                await clock.settled(sleepers(key))
            for where in PATHS:
                async with session.get(where) as answer:
                    shown[where] = f"{answer.headers} {await answer.text()}"
            for number, text in enumerate(broken(config, key)):
                path.write_text(text)
                async with session.post("/-/reload") as answer:
                    assert answer.status == 500
                    shown[f"reload {number}"] = await answer.text()
                with pytest.raises(ConfigError) as refused:
                    load(path, today=date(2026, 11, 22))
                shown[f"check {number}"] = f"{refused.value} {refused.value!r}"
        app.stop()
        await running
    shown |= {"log": log.getvalue(), "ledger": ledger.read_bytes().decode(errors="replace")}
    shown["pushed"] = echo.bodies.decode(errors="replace")

    if "tls" in key:
        assert "reason=" in shown["log"] or "tls" in shown["log"]  # the file is none, and so is the server
    else:
        assert any(secret in echo.heads for secret in SHOWN_AS), "the secret was not sent: nothing was tested"
    assert len(shown["pushed"]) > 1000 or key[0] == "otlp"
    for where, text in shown.items():
        for secret in SHOWN_AS:
            assert secret not in text, f"in {where}: {text[max(0, text.find(secret) - 300) :][:400]}"


def test_new_kinds_of_secrets_would_be_found() -> None:
    class Login(BaseModel):
        api_key: str
        words: str
        file: t.File | None = None

    class New(BaseModel):
        logins: tuple[Login, ...]
        kind: Literal["a"]
        address: t.Url | None = None

    assert set(secret_keys(New)) == {("logins", "api_key"), ("logins", "file"), ("address",)}
    assert {key[-1] for key in KEYS} >= {"password_file", "bearer_token_file", "key_file", "headers_file", "url"}
