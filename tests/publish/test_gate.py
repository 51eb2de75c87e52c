"""web.yml on a real server: who is let in, and that a changed file holds from the next request on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import bcrypt
import pytest

from exporter.config.web import RateLimit
from exporter.publish.gate import Bucket, Gate
from exporter.publish.passwords import MOST_FROM_ONE
from exporter.publish.server import Site
from tests.publish.guarded import (
    HASH,
    LOGIN,
    PASSWORD,
    USERS,
    Desk,
    basic,
    client,
    guarding,
    problems,
    status,
)
from tests.publish.test_server import site_of, talk
from tests.publish.world import fleet

# What the server has for one who may come in.
CLOSED = {
    **dict.fromkeys(("/", "/metrics", "/api/v1/snapshot", "/page/page.js"), 200),
    "/api/v1/history": 503,
    "/-/reload": 405,
    **dict.fromkeys(("/nowhere", "/-/healthy/"), 404),
}
DISGUISES = (
    *(b"/-/healthy/../../metrics", b"//metrics", b"/metrics?/-/healthy", b"/metrics;/-/healthy", b"/%2e%2e/metrics"),
    *(b"http://x/metrics", b"/-/healthy#/../metrics", b"/metrics#/-/healthy", b"/-/healthy%2f..%2f..%2fmetrics"),
)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def says(user: str, password: str) -> dict[str, str]:
    return {"Authorization": basic(user, password)}


# -- passwords ----------------------------------------------------------------------------------------------------


async def test_every_page_but_the_probes_asks_for_the_password(desk: Desk) -> None:
    desk.write(USERS)
    async with guarding(desk, site_of(fleet())) as address, client(address) as session:
        for path, there in CLOSED.items():
            for login in ({}, says("prometheus", "wrong"), says("nobody", PASSWORD)):
                async with session.get(path, headers=login) as answer:
                    assert answer.status == 401
                    assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")
                    assert answer.headers["X-Content-Type-Options"] == "nosniff"
                    assert "tokencost_" not in await answer.text()
            assert await status(session, path, headers=LOGIN) == there
        for path in ("/-/healthy", "/-/ready"):
            assert await status(session, path) == 200
            async with session.head(path) as answer:
                assert answer.status == 200
        for method in ("HEAD", "POST", "PUT"):
            for path in ("/metrics", "/-/reload"):
                async with session.request(method, path) as answer:
                    assert answer.status == 401


async def test_a_wrong_password_is_logged_once_and_never_shown(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.write(USERS)
    async with guarding(desk) as address, client(address) as session:
        assert await status(session, "/metrics") == 401  # as a browser does it first
        assert caplog.records == []
        for number in range(5):
            assert await status(session, "/metrics", headers=says("s3cret-user", f"s3cret-{number}")) == 401
    (record,) = caplog.records
    assert record.getMessage() == "refused a login"
    assert vars(record)["address"] == "127.0.0.1"
    assert "s3cret" not in str(vars(record))


async def test_a_reload_needs_the_password(desk: Desk) -> None:
    desk.write(USERS)
    reloads = 0

    async def reload() -> None:
        nonlocal reloads
        reloads += 1

    async with guarding(desk, reload=reload) as address, client(address) as session:
        async with session.post("/-/reload") as answer:
            assert (answer.status, reloads) == (401, 0)
        async with session.post("/-/reload", headers=LOGIN) as answer:
            assert (answer.status, reloads) == (200, 1)


async def test_a_path_in_disguise_is_not_open(desk: Desk) -> None:
    desk.write(USERS)
    async with guarding(desk, site_of(fleet())) as address:
        for path in DISGUISES:
            answer = await talk(address, b"GET %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % path)
            assert b"tokencost_" not in answer
            assert answer.split(b" ")[1] in {b"400", b"401", b"404", b"200"}
            assert b" 200 " not in answer.partition(b"\r\n")[0] or answer.endswith(b"Healthy.\n")


async def test_changed_users_hold_from_the_next_request_on(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.write(USERS)
    async with guarding(desk, site_of(fleet())) as address, client(address) as session:
        assert await status(session, "/metrics", headers=LOGIN) == 200
        new = bcrypt.hashpw(b"another", bcrypt.gensalt(4)).decode()
        desk.write({"basic_auth_users": {"prometheus": new}})
        assert await status(session, "/metrics", headers=LOGIN) == 401
        assert await status(session, "/metrics", headers=says("prometheus", "another")) == 200
        for bad in (b"", b"basic_auth_users: {prometheus: s3cret-plain}\n", b"{", b"\xff"):
            desk.replace("web.yml", bad)
            assert await status(session, "/metrics") == 401  # never open by mistake
            assert await status(session, "/metrics", headers=LOGIN) == 401
        desk.file.unlink()
        assert await status(session, "/metrics") == 401
        assert len(problems(caplog)) == 5  # each once, however many requests
        desk.write(USERS)
        assert await status(session, "/metrics", headers=LOGIN) == 200
        desk.write({"http_server_config": {"headers": {"X-Frame-Options": "deny"}}})
        async with session.get("/metrics") as answer:  # meant: a file that asks for none
            assert (answer.status, answer.headers["X-Frame-Options"]) == (200, "deny")
    assert "s3cret" not in caplog.text
    assert HASH not in caplog.text


async def test_a_flood_of_wrong_passwords_gets_429_and_the_probes_answer(desk: Desk) -> None:
    slow = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(12)).decode()
    desk.write({"basic_auth_users": {"prometheus": slow}})
    async with guarding(desk, site_of(fleet())) as address, client(address) as session:
        assert await status(session, "/metrics", headers=LOGIN) == 200
        guesses = [
            asyncio.create_task(status(session, "/metrics", headers=says("prometheus", str(number))))
            for number in range(50)
        ]
        while not any(guess.done() for guess in guesses):
            assert await status(session) == 200
        assert await status(session, "/metrics", headers=LOGIN) == 200
        assert not all(guess.done() for guess in guesses)  # so it did not stand in line behind them
        said = await asyncio.gather(*guesses)
        assert set(said) == {401, 429}
        assert said.count(401) >= MOST_FROM_ONE


# -- headers and rate -----------------------------------------------------------------------------------------------


async def test_headers_replace_ours_on_every_answer(desk: Desk) -> None:
    chosen = {"Content-Security-Policy": "default-src 'self'", "Strict-Transport-Security": "max-age=1"}
    desk.write({"http_server_config": {"headers": chosen}})
    async with guarding(desk, site_of(fleet())) as address, client(address) as session:
        for path in ("/metrics", "/", "/nowhere", "/-/healthy"):
            async with session.get(path) as answer:
                assert chosen.items() <= answer.headers.items()
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
        bad = await talk(address, b"nonsense\r\n\r\n")
        assert b"Strict-Transport-Security: max-age=1\r\n" in bad


def test_the_bucket_empties_and_fills_again() -> None:
    bucket, limit = Bucket(), RateLimit.model_validate({"interval": "1s", "burst": 3})
    second = 10**9
    assert [bucket.take(limit, second) for _ in range(5)] == [True] * 3 + [False] * 2
    assert [bucket.take(limit, 2 * second) for _ in range(2)] == [True, False]
    assert [bucket.take(limit, 100 * second) for _ in range(4)] == [True] * 3 + [False]
    assert all(bucket.take(None, 100 * second) for _ in range(10))
    assert bucket.take(limit, 100 * second)  # a new limit starts full


async def test_beyond_the_rate_only_the_probes_are_answered(desk: Desk) -> None:
    desk.write({"rate_limit": {"interval": "1h", "burst": 2}})
    async with guarding(desk, site_of(fleet())) as address, client(address) as session:
        assert [await status(session, "/metrics") for _ in range(3)] == [200, 200, 429]
        async with session.get("/nowhere") as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (429, "1")
        assert [await status(session) for _ in range(5)] == [200] * 5


def test_without_a_file_all_is_open() -> None:
    gate = Gate()
    assert (gate.scheme, dict(gate.latest.users), gate.latest.rate) == ("http", {}, None)
    assert Site().rendered is None
