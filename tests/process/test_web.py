"""web.yml and the real process: from the command line to curl and Prometheus, and under clients that mean harm."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from exporter.config.web import load_web
from tests.conftest import require_peer
from tests.peers.exporter import ROOT
from tests.peers.process import program
from tests.peers.waiting import eventually
from tests.process.exporter import ANY_PORT, DEADLINE, Running, config, exporter, pool, run, stop, write_config
from tests.publish.guarded import HASH, LOGIN, PASSWORD, TLS, USERS, Desk

IDLE = config(pool("chat", "http://127.0.0.1:9/metrics"))
DOCS = (ROOT / "docs" / "web.md").read_text()
EXAMPLES = re.findall(r"```yaml\n# (\S+)\n(.*?)```", DOCS, re.DOTALL)


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
                    return (await answer.json())["data"]["result"] if answer.status == 200 else None

            api = await eventually(listening, "Prometheus listens", deadline=DEADLINE, process=prometheus)
            (series,) = await eventually(scraped, "Prometheus has scraped", deadline=DEADLINE, process=prometheus)
            assert series["metric"]["instance"] == address
