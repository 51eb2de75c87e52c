"""The recipe itself: the peer behaves as the end-to-end test relies on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest

from tests.peers.install import Llama, PeerMissingError, ensure_llama
from tests.peers.llama import Usage, complete, llama_server, traffic
from tests.peers.model import VOCABULARY, make_gguf, vocabulary
from tests.peers.waiting import eventually

COUNTERS = ("llamacpp:prompt_tokens_total", "llamacpp:prompt_tokens_cached_total", "llamacpp:tokens_predicted_total")


async def counted(http: aiohttp.ClientSession, url: str) -> tuple[Usage, bool]:
    """What the server's own page says, and whether a slot is still working."""
    async with http.get(f"{url}/metrics") as answer:
        page = dict(line.rsplit(" ", 1) for line in (await answer.text()).splitlines() if not line.startswith("#"))
    return Usage(*(int(page[name]) for name in COUNTERS)), page["llamacpp:requests_processing"] != "0"


def test_the_vocabulary_is_complete_and_every_merge_makes_a_token_of_it() -> None:
    tokens, merges = vocabulary()
    assert len(tokens) == len(set(tokens)) == VOCABULARY
    assert {merge.replace(" ", "") for merge in merges} <= set(tokens)


def test_the_same_seed_makes_the_same_model(tmp_path: Path) -> None:
    assert make_gguf(tmp_path / "a.gguf").read_bytes() == make_gguf(tmp_path / "b.gguf").read_bytes()
    assert make_gguf(tmp_path / "c.gguf", seed=2).read_bytes() != (tmp_path / "a.gguf").read_bytes()


def test_an_unpacked_root_without_the_program_is_said_to_be_missing(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    with pytest.raises(PeerMissingError, match="laid out differently"):
        ensure_llama(tmp_path)


@pytest.mark.peer
async def test_its_counters_equal_the_usage_of_its_answers(llama: Llama, tiny_model: Path, tmp_path: Path) -> None:
    async with llama_server(llama, tiny_model, tmp_path / "log") as server, aiohttp.ClientSession() as http:
        total = await traffic(server.url)

        async def settled() -> bool:
            return await counted(http, server.url) == (total, False)

        await eventually(settled, f"the page says {total}")
        assert total.cache_read > 0, "no prompt was served from the cache: the test would not see a double count"


@pytest.mark.peer
async def test_a_restart_on_the_same_port_counts_from_zero(llama: Llama, tiny_model: Path, tmp_path: Path) -> None:
    async with aiohttp.ClientSession() as http:
        async with llama_server(llama, tiny_model, tmp_path / "first") as server:
            await complete(server.url, "hello")
        async with llama_server(llama, tiny_model, tmp_path / "second", port=server.port) as again:
            assert again.url == server.url
            assert await counted(http, again.url) == (Usage(), False)


@pytest.mark.peer
async def test_two_servers_run_side_by_side(llama: Llama, tiny_model: Path, tmp_path: Path) -> None:
    async with (
        llama_server(llama, tiny_model, tmp_path / "one") as one,
        llama_server(llama, tiny_model, tmp_path / "two") as two,
    ):
        first, second = await asyncio.gather(complete(one.url, "one"), complete(two.url, "the other one"))
        assert one.port != two.port
        assert first.output > 0 < second.output


@pytest.mark.peer
async def test_without_the_flag_the_page_is_501(llama: Llama, tiny_model: Path, tmp_path: Path) -> None:
    async with (
        llama_server(llama, tiny_model, tmp_path / "log", metrics=False) as server,
        aiohttp.ClientSession() as http,
        http.get(f"{server.url}/metrics") as answer,
    ):
        assert answer.status == 501
