"""web.yml and the real process: from the command line to curl and Prometheus, and under clients that mean harm."""

from __future__ import annotations

import asyncio
import re
import resource
import shutil
import socket
import statistics
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from exporter.config.web import load_web
from exporter.publish.connections import HEADER_SECONDS, IDLE_SECONDS, MAX_CONNECTIONS
from tests.conftest import require_peer
from tests.peers.exporter import ROOT
from tests.peers.process import program
from tests.peers.waiting import eventually
from tests.process.exporter import ANY_PORT, DEADLINE, Running, config, exporter, pool, run, stop, write_config
from tests.process.test_hostile import assert_small
from tests.publish.guarded import HASH, LOGIN, PASSWORD, TLS, USERS, Desk

IDLE = config(pool("chat", "http://127.0.0.1:9/metrics"))
DOCS = (ROOT / "docs" / "web.md").read_text()
EXAMPLES = re.findall(r"```yaml\n# (\S+)\n(.*?)```", DOCS, re.DOTALL)
CLIENTS = 1000


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """With a good config and a good pair in it."""
    write_config(tmp_path, IDLE)
    made = Desk(tmp_path)
    made.issue()
    return made


@asynccontextmanager
async def guarded(desk: Desk, *flags: str) -> AsyncIterator[Running]:
    """The exporter under the desk's web.yml, and a client that trusts it and has no password."""
    web = f"--web.config.file={desk.file}"
    async with exporter(desk.folder, IDLE, web, "--log.level=debug", *flags, ready=False) as running:
        connector = aiohttp.TCPConnector(ssl=desk.trusting())
        async with aiohttp.ClientSession(connector=connector, timeout=running.http.timeout) as http:
            yield replace(running, url=running.url.replace("http:", "https:"), http=http)


# -- the command line -------------------------------------------------------------------------------------------------


async def test_a_check_reads_both_files(desk: Desk) -> None:
    desk.write(TLS, USERS)
    ended = await run("--config.check", "--web.config.file=web.yml", folder=desk.folder)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == "tokencost.yml is valid: pools 1, endpoints 1\nweb.yml is valid: https, users 1\n"


async def test_every_problem_of_both_files_has_its_line(desk: Desk) -> None:
    desk.write({"basic_auth_users": {"prometheus": PASSWORD}, "colour": "blue"})
    write_config(desk.folder, config(pool("chat", "ftp://127.0.0.1/metrics")))
    ended = await run("--config.check", "--web.config.file=web.yml", folder=desk.folder)
    assert (ended.code, ended.out) == (1, "")
    assert [line.split(": ")[1] for line in ended.err.splitlines()] == [
        "pools[0].endpoints[0].url",
        "basic_auth_users.prometheus",
        "colour",
    ]
    assert PASSWORD not in ended.err


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("web.yml", b"", "web.yml: the file is empty"),
        ("web.yml", b"basic_auth_users: {a: b}", "web.yml:1: basic_auth_users.a: not a bcrypt hash"),
        ("web.yml", b"{", "web.yml:2: not YAML: "),
        ("tls.key", b"s3cret", "web.yml: tls_server_config.key_file: not usable: "),
        ("missing", b"", ""),
    ],
)
async def test_a_bad_web_config_at_the_start_is_one_line(desk: Desk, name: str, content: bytes, says: str) -> None:
    desk.write(TLS, USERS)
    desk.replace(name, content)
    if name == "missing":
        desk.file.unlink()
        says = "web.yml: cannot be read: No such file or directory; check --web.config.file"
    for command in ((ANY_PORT,), ("--config.check",)):
        ended = await run(*command, "--web.config.file=web.yml", folder=desk.folder)
        assert (ended.code, ended.out) == (1, "")
        assert ended.err.startswith(says)
        assert len(ended.err.splitlines()) == 1
        assert "s3cret" not in ended.err
    assert not (desk.folder / "data").exists()  # nothing was started


# -- TLS and passwords ------------------------------------------------------------------------------------------------


async def test_tls_and_a_password_and_nothing_of_them_is_ever_shown(desk: Desk) -> None:
    desk.write(TLS, USERS)
    async with guarded(desk, "--web.enable-lifecycle") as running:
        assert await running.get("/-/healthy") == (200, "Healthy.\n")
        shown = {}
        for path in ("/", "/metrics", "/api/v1/snapshot", "/nowhere"):
            status, shown[f"401 of {path}"] = await running.get(path)
            assert status == 401
        assert (await running.post("/-/reload"))[0] == 401

        async def measured() -> bool:
            async with running.http.get(f"{running.url}/metrics", headers=LOGIN) as answer:
                shown["metrics"] = await answer.text()
                return answer.status == 200

        await eventually(measured, "the password is taken", deadline=DEADLINE, process=running.program)
        for path in ("/", "/api/v1/snapshot", "/api/v1/history", "/-/ready"):
            async with running.http.get(f"{running.url}{path}", headers=LOGIN) as answer:
                shown[path] = await answer.text()
        async with running.http.post(f"{running.url}/-/reload", headers=LOGIN) as answer:
            assert answer.status == 200

        key = (desk.folder / "tls.key").read_bytes()
        desk.issue(parts=("crt",))  # the key is of another
        desk.write(TLS, {"basic_auth_users": {"prometheus": "s3cret-plain"}})
        assert (await running.get("/-/healthy"))[0] == 200
        desk.issue()
        desk.write(TLS, USERS)
        async with running.http.get(f"{running.url}/metrics", headers=LOGIN) as answer:
            assert answer.status == 200
        await stop(running)
    shown["log"] = running.program.output()
    shown["ledger"] = (desk.folder / "ledger.db").read_bytes().decode(errors="replace")
    assert "basic_auth_users.prometheus" in shown["log"]
    secrets = (PASSWORD, "s3cret", HASH, HASH[7:29], LOGIN["Authorization"].split()[1], key.splitlines()[1].decode())
    for where, text in shown.items():
        for secret in secrets:
            assert secret not in text, f"{secret} in {where}"


# -- the page on it ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "text"), EXAMPLES)
def test_the_examples_of_the_docs_are_valid(tmp_path: Path, name: str, text: str) -> None:
    if name == "web.yml":
        (tmp_path / name).write_text(text)
        assert load_web(tmp_path / name).tls_server_config
    else:
        assert name == "prometheus.yml"
        assert yaml.safe_load(text)["scrape_configs"]


async def test_curl_as_in_the_docs(desk: Desk) -> None:
    require_peer(shutil.which("curl"), "curl")
    desk.write(TLS, USERS)
    (desk.folder / "curlrc").write_text(f'user = "prometheus:{PASSWORD}"\n')
    async with guarded(desk) as running:

        async def curl(*arguments: str) -> str:
            command = ("curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}", *arguments)
            process = await asyncio.create_subprocess_exec(*command, cwd=desk.folder, stdout=asyncio.subprocess.PIPE)
            async with asyncio.timeout(DEADLINE):
                return (await process.communicate())[0].decode()

        assert await curl("--cacert", "ca.crt", f"{running.url}/-/healthy") == "200"
        assert await curl("--cacert", "ca.crt", f"{running.url}/api/v1/history") == "401"
        assert await curl("--cacert", "ca.crt", "--config", "curlrc", f"{running.url}/") == "200"
        assert await curl(f"{running.url}/-/healthy") == "000"  # an authority that it does not know


@pytest.mark.peer
async def test_prometheus_as_in_the_docs_scrapes_it(desk: Desk) -> None:
    require_peer(shutil.which("prometheus"), "prometheus (Debian: apt-get install prometheus)")
    desk.write(TLS, USERS)
    (text,) = [text for name, text in EXAMPLES if name == "prometheus.yml"]
    (desk.folder / "password").write_text(PASSWORD)
    async with guarded(desk) as running:
        address = running.url.removeprefix("https://")
        for said, here in (
            ("tokencost.example:9742", address),
            ("/etc/prometheus/tokencost-ca.crt", str(desk.folder / "ca.crt")),
            ("/etc/prometheus/tokencost-password", str(desk.folder / "password")),
        ):
            assert said in text
            text = text.replace(said, here)
        (desk.folder / "prometheus.yml").write_text(f"global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n{text}")
        command = [
            "prometheus", f"--config.file={desk.folder / 'prometheus.yml'}", "--web.listen-address=127.0.0.1:0",
            f"--storage.tsdb.path={desk.folder / 'tsdb'}",
        ]  # fmt: skip
        async with program(command, desk.folder / "prometheus.log") as prometheus, aiohttp.ClientSession() as http:

            async def listening() -> str | None:
                found = re.search(r"Listening on\"? address=(127\.0\.0\.1:\d+)", prometheus.output())
                return found and found[1]

            async def scraped() -> Any:
                async with http.get(f"http://{api}/api/v1/query?query=tokencost_build_info") as answer:
                    return (await answer.json())["data"]["result"]

            api = await eventually(listening, "Prometheus listens", deadline=DEADLINE, process=prometheus)
            (series,) = await eventually(scraped, "Prometheus has scraped", deadline=DEADLINE, process=prometheus)
            assert series["metric"]["instance"] == address


# -- clients that mean harm -------------------------------------------------------------------------------------------


@contextmanager
def sockets(count: int) -> Iterator[list[socket.socket]]:
    """Room for that many, and an end to all of them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = max(soft, min(hard, count + 500) if hard >= 0 else count + 500)
    resource.setrlimit(resource.RLIMIT_NOFILE, (enough, hard))
    held: list[socket.socket] = []
    try:
        yield held
    finally:
        for one in held:
            one.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def connect(running: Running, first: bytes) -> socket.socket:
    host, _, port = running.url.removeprefix("http://").rpartition(":")
    made = socket.create_connection((host, int(port)), timeout=DEADLINE)
    made.setblocking(False)
    if first:
        made.send(first)
    return made


def is_open(held: socket.socket) -> bool:
    """Whether the server has not closed it; what it has said stays unread."""
    try:
        return held.recv(1, socket.MSG_PEEK) != b""
    except BlockingIOError:
        return True
    except ConnectionError:
        return False


async def answers(running: Running, path: str = "/-/healthy", times: int = 20) -> list[float]:
    """How long each took, in seconds, on a connection of its own. Well within what makes an idle client time out."""
    took = []
    for _ in range(times):
        before = time.perf_counter()
        async with running.http.get(f"{running.url}{path}", headers={"Connection": "close"}) as answer:
            assert answer.status == 200
            await answer.read()
        took.append(time.perf_counter() - before)
    print(f"{path}: median {statistics.median(took) * 1e3:.1f} ms, longest {max(took) * 1e3:.1f} ms")
    assert max(took) < HEADER_SECONDS < IDLE_SECONDS
    return took


HARM = {  # what they begin with, and go on with
    "a request line without an end": (b"GET /metr", b"a"),
    "headers without an end": (b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-Slow: ", b"a"),
    "lines without a request": (b"", b"\r\n"),
    "many requests whose answers nobody reads": (b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 1000, b""),
}


@pytest.mark.parametrize("name", HARM)
async def test_slow_clients_hold_nobody_up(tmp_path: Path, name: str) -> None:
    first, more = HARM[name]
    async with exporter(tmp_path, IDLE) as running:
        await running.page_when(lambda page: page.samples, "there is a page")
        with sockets(MAX_CONNECTIONS) as held:
            for _ in range(MAX_CONNECTIONS - 8):
                held.append(connect(running, first))
            await answers(running)
            await answers(running, "/metrics")
            assert all(is_open(one) for one in held)  # so they were there all the while
            for _ in range(10):
                for one in held:
                    one.send(more)
                await answers(running, times=2)
            assert all(is_open(one) for one in held)
        assert running.events("error") == []
        assert_small(running.program.process.pid)


async def test_a_thousand_idle_connections_hold_nobody_up(tmp_path: Path) -> None:
    async with exporter(tmp_path, IDLE) as running:
        await running.page_when(lambda page: page.samples, "there is a page")
        with sockets(CLIENTS) as held:
            for number in range(CLIENTS):
                held.append(connect(running, b""))
                if number % 50 == 0:
                    await answers(running, times=1)
            await answers(running)
            await answers(running, "/metrics")
            assert 0 < sum(is_open(one) for one in held) <= MAX_CONNECTIONS
        assert running.events("error") == []
        assert_small(running.program.process.pid)


@pytest.mark.skipif(sys.platform != "linux", reason="needs a second address on loopback")
async def test_a_thousand_connections_of_one_address_cost_another_none_of_its_own(tmp_path: Path) -> None:
    async with exporter(tmp_path, IDLE) as running:
        host, _, port = running.url.removeprefix("http://").rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port), local_addr=("127.0.0.2", 0))
        with sockets(CLIENTS) as held:
            for _ in range(CLIENTS):
                held.append(connect(running, b""))
            await answers(running, times=1)  # by now all of them were taken in
            writer.write(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await reader.readuntil(b"Healthy.\n")).startswith(b"HTTP/1.1 200 ")
        writer.close()


MALFORMED = {
    "10 MB header": b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 10_000_000 + b"\r\n\r\n",
    "10 MB of headers": b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-One: two\r\n" * 1_000_000 + b"\r\n",
    "10 MB path": b"GET /" + b"a" * 10_000_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "10 MB without a line": b"\xff" * 10_000_000,
    "no request": b"s3cret nonsense\r\n\r\n",
    "no version": b"GET /metrics\r\n\r\n",
    "bad escape": b"GET /%zz\x01 HTTP/1.1\r\nHost: x\r\n\r\n",
    "bad host": b"GET http://[::1 HTTP/1.1\r\nHost: x\r\n\r\n",
    "bad port": b"GET http://x:99999/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "no colon": b"GET / HTTP/1.1\r\nHost x\r\n\r\n",
    "nul": b"GET / HTTP/1.1\r\nHost: \x00\r\n\r\n",
    "two lengths": b"POST /-/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "negative length": b"POST /-/reload HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "bad chunk": b"POST /-/reload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "CONNECT": b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "upgrade": b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\ns3cret nonsense\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
}


async def test_what_is_no_request_is_refused_and_told_nobody(tmp_path: Path) -> None:
    async with exporter(tmp_path, IDLE, "--log.level=debug") as running:
        host, _, port = running.url.removeprefix("http://").rpartition(":")

        async def send(data: bytes) -> bytes:
            reader, writer = await asyncio.open_connection(host, int(port))
            try:
                writer.write(data)
                if data.startswith(b"\x16"):
                    writer.write_eof()
                async with asyncio.timeout(DEADLINE):
                    return await reader.read()
            except ConnectionError:
                return b""
            finally:
                writer.close()

        for name, data in MALFORMED.items():
            said, took = await asyncio.gather(send(data), answers(running, times=5))
            head = said.partition(b"\r\n")[0]
            assert name == "upgrade" or b" 200 " not in head, name
            assert b"s3cret" not in said, name
            assert len(took) == 5
        assert running.events("error") == []
        log = running.program.output()
        assert "Traceback" not in log
        assert "s3cret" not in log
        assert_small(running.program.process.pid)
        said_of_requests = [event for event in running.events("warning") if event["msg"] == "refused a request"]
        assert len(said_of_requests) == 1
