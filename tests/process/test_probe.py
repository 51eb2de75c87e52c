"""`probe` from outside: what it prints, what it exits with, and never a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.process.exporter import run
from tests.sources.servers import http, says, serve
from tests.sources.test_engines import page

GONE = "http://127.0.0.1:1/metrics"


async def test_a_page_is_told_of(tmp_path: Path) -> None:
    async with serve(says(http(page("vllm-0.16.0")))) as (origin, _):
        ended = await run("probe", f"{origin}/metrics", folder=tmp_path)
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[0] == f"{origin}/metrics"
    assert "engine: vllm" in lines[1]
    assert any(line.split() == ["m-8b", "2,250", "1,750", "800"] for line in lines)


@pytest.mark.parametrize("name", ["vllm-0.16.0", "envoy-ai-gateway-1.1", "llamacpp-server-0.7.0-b11669-real"])
async def test_the_config_that_it_prints_passes_the_check(name: str, tmp_path: Path) -> None:
    async with serve(says(http(page(name)))) as (origin, _):
        made = await run("probe", f"{origin}/metrics", "--as-config", folder=tmp_path)
    assert (made.code, made.err) == (0, "")
    (tmp_path / "tokencost.yml").write_text(made.out)
    checked = await run("--config.check", folder=tmp_path)
    assert (checked.code, checked.err) == (0, "")
    assert "CHANGE-ME" in made.out
    assert "PLACEHOLDER" in made.out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((GONE,), f"tokencost-exporter: {GONE}: cannot connect: Connection refused"),
        (("ftp://h/metrics", "--as-config"), "tokencost-exporter: url: the address is neither http:// nor https://"),
        ((GONE, "--bearer-token-file=nothing"), f"tokencost-exporter: {GONE}: cannot read "),
    ],
)
async def test_what_cannot_be_had_is_one_line_and_exit_code_1(
    arguments: tuple[str, ...], says: str, tmp_path: Path
) -> None:
    ended = await run("probe", *arguments, folder=tmp_path)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith(says)
    assert len(ended.err.splitlines()) == 1


async def test_a_terminal_that_lacks_a_letter_is_told_all_the_same(tmp_path: Path) -> None:
    body = 'litellm_input_tokens_metric_total{model="m",team="Zoë 団"} 5\n'.encode()
    async with serve(says(http(body))) as (origin, _):
        ended = await run("probe", f"{origin}/metrics", folder=tmp_path, PYTHONIOENCODING="ascii")
    assert (ended.code, ended.err) == (0, "")
    assert "Zo? ?" in ended.out


async def test_the_help_says_what_it_prints_and_exits_with(tmp_path: Path) -> None:
    ended = await run("probe", "--help", folder=tmp_path)
    assert (ended.code, ended.err) == (0, "")
    assert all(text in ended.out for text in ("--as-config", "--bearer-token-file", "Exit code 0", "litellm"))
    wrong = await run("probe", GONE, "--engine=ollama", folder=tmp_path)
    assert (wrong.code, wrong.out) == (2, "")
