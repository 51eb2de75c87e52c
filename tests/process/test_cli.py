"""The command line from outside: what it prints, what it exits with, and never a traceback."""

from __future__ import annotations

import os
import re
import signal
import socket
from pathlib import Path

import aiohttp
import pytest

from exporter import __version__
from tests.peers.exporter import ROOT
from tests.peers.process import program
from tests.peers.waiting import eventually
from tests.process.exporter import (
    ANY_PORT,
    COMMAND,
    DEADLINE,
    Running,
    config,
    config_file,
    exporter,
    pool,
    run,
    stop,
    write_config,
)  # fmt: skip

IDLE = config(pool("chat", "http://127.0.0.1:9/metrics"))
BAD = """
scrape: {interval: 1s, timeout: 5s}
pools:
  - name: chat
    endpoints: [{url: "ftp://127.0.0.1/metrics"}]
    gpus: {count: -1}
    usd_per_gpu_hour: 1
    colour: blue
"""
PROBLEMS = ("scrape.timeout", "pools[0].endpoints[0].url", "pools[0].gpus.count", "pools[0].colour")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a good config in it."""
    write_config(tmp_path, IDLE)
    return tmp_path


async def test_the_version_is_said(tmp_path: Path) -> None:
    ended = await run("--version", folder=tmp_path)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith(f"tokencost-exporter {__version__} ")


async def test_a_good_config_is_valid_and_nothing_is_started(folder: Path) -> None:
    ended = await run("--config.check", folder=folder)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == "tokencost.yml is valid: pools 1, endpoints 1\n"
    assert os.listdir(folder) == ["tokencost.yml"]


async def test_every_problem_of_a_bad_config_has_its_line(folder: Path) -> None:
    config_file(folder).write_text(BAD)
    for arguments in (("--config.check",), (ANY_PORT,)):  # a start says the same
        ended = await run(*arguments, folder=folder)
        assert (ended.code, ended.out) == (1, "")
        lines = ended.err.splitlines()
        assert len(lines) == len(PROBLEMS)
        for line, key in zip(lines, PROBLEMS, strict=True):
            assert line.startswith("tokencost.yml:")
            assert f": {key}: " in line


async def test_an_unknown_flag_is_a_usage_error(folder: Path) -> None:
    ended = await run("--web.listen=:0", folder=folder)
    assert ended.code == 2
    assert ended.err.splitlines()[-1] == "tokencost-exporter: error: unrecognized arguments: --web.listen=:0"


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--config.file=missing.yml",), "missing.yml: cannot be read: No such file or directory"),
        (("--web.listen-address=nowhere",), "'nowhere' is not host:port"),
        (("--web.telemetry-path=metrics",), "'metrics' is not a path"),
        (("--web.telemetry-path=/m}",), "'/m}' is not a path"),
        (("--web.telemetry-path=/-/healthy",), "'/-/healthy' is taken by another page"),
        (("--storage.path=",), "ledger '' is not a file"),
        (("--storage.path=.",), "ledger '.' is not a file"),
        (("--storage.path=tokencost.yml/ledger.db",), "ledger tokencost.yml/ledger.db cannot be created"),
    ],
)
async def test_a_start_that_cannot_be_is_one_line(folder: Path, flags: tuple[str, ...], says: str) -> None:
    ended = await run(ANY_PORT, *flags, folder=folder)
    assert (ended.code, ended.out) == (1, "")
    assert says in ended.err
    assert len(ended.err.splitlines()) == 1


async def test_a_port_or_a_ledger_in_use_is_one_line(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = await run(f"--web.listen-address={address}", folder=folder)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith(f"tokencost-exporter: cannot listen on {address}: Address already in use")
    assert len(ended.err.splitlines()) == 1

    async with exporter(folder, IDLE) as first:
        ended = await run(ANY_PORT, "--storage.path=ledger.db", folder=folder)
        assert (ended.code, ended.out) == (1, "")
        says = "ledger ledger.db is in use by another process: one exporter per ledger"
        assert ended.err == f"tokencost-exporter: {says}\n"
        assert await first.get("/-/healthy") == (200, "Healthy.\n")
        assert first.events("error") == []


async def test_the_demo_shows_a_price_per_token_and_ends_on_ctrl_c(tmp_path: Path) -> None:
    """With no file and no flag but the port."""
    command, log = [*COMMAND, "demo", ANY_PORT], tmp_path / "demo.log"
    async with program(command, log, folder=ROOT) as demo, aiohttp.ClientSession() as http:

        async def address() -> str | None:
            found = re.search(r"The page: (http://[^/]+)/ ", demo.output())
            return found and found[1]

        url = await eventually(address, "the demo names its page", deadline=DEADLINE, process=demo)
        running = Running(url, demo, http)
        name = "tokencost_live_cost_usd_per_token"
        await running.page_when(lambda page: page.total(name, pool="chat-70b") > 0, "a token has a price")
        assert (await running.get("/-/ready"))[0] == 200
        await stop(running, signal.SIGINT)
