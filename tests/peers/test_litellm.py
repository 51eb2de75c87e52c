"""The recipe itself, and what the table of LiteLLM relies on: its page against the usage of its answers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest

from exporter.metering.labels import given
from exporter.records import Samples
from exporter.sources.exposition import Scanner
from exporter.sources.reader import PROCESS_START
from exporter.sources.registry import GATEWAYS, detect
from tests.peers.install import Llama
from tests.peers.litellm import PAID, SELF_HOSTED, Model, Proxy, ask, litellm_proxy
from tests.peers.llama import Usage, llama_server
from tests.peers.waiting import eventually
from tests.sources.test_engines import classes, total

LITELLM = GATEWAYS["litellm"]
SPEND = "litellm_spend_metric_total"
Account = tuple[str, str, str]  # team, the model called, the model asked for


async def page(http: aiohttp.ClientSession, proxy: Proxy) -> bytes:
    async with http.get(proxy.metrics) as answer:
        assert answer.status == 200
        return await answer.read()


async def accounts(http: aiohttp.ClientSession, proxy: Proxy) -> dict[Account, Samples]:
    """The page's samples that the table or the test reads, by whose they are."""
    found: dict[Account, Samples] = {}
    for series, value in Scanner(LITELLM.names | {SPEND}).scan(await page(http, proxy)).items():
        labels = (series.label(label) for label in ("team_alias", "model", "requested_model"))
        team, called, asked = (given(value) for value in labels)
        found.setdefault((team, called, asked), {})[series] = value
    return found


def used(samples: Samples) -> tuple[Usage, int]:
    """Tokens by class, and requests."""
    moved = classes(LITELLM, samples)
    assert set(moved) == {"input", "cache_read", "cache_write", "output", "reasoning"}
    assert moved["cache_write"] == moved["reasoning"] == 0
    return Usage(moved["input"], moved["cache_read"], moved["output"]), int(total(LITELLM.requests, samples) or 0)


@pytest.mark.peer
async def test_its_page_equals_the_usage_of_its_answers_and_its_spend_the_price_of_them(
    litellm: Path, llama: Llama, tiny_model: Path, tmp_path: Path
) -> None:
    """By team and model, streamed or not, at once or after one another; a refused request adds nothing."""
    async with (
        llama_server(llama, tiny_model, tmp_path / "llama.log") as server,
        litellm_proxy(litellm, server.url, tmp_path / "litellm") as proxy,
        aiohttp.ClientSession() as http,
    ):
        # Before its first request: known for what it is, when it began, and nothing counted.
        body = await page(http, proxy)
        assert detect(body, GATEWAYS) is LITELLM
        assert [series.name for series in Scanner(LITELLM.names | {PROCESS_START}).scan(body)] == [PROCESS_START]
        async with http.get(proxy.metrics.rstrip("/"), allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (307, proxy.metrics)

        with pytest.raises(AssertionError, match="Invalid model name"):
            await ask(proxy, "acme", Model("nosuch", "nosuch", 0, 0, 0), "hello")

        wanted: dict[Account, tuple[Usage, int]] = {}
        usd: dict[Account, float] = {}
        for turn in range(4):
            requests = [
                (team, model, stream)
                for team in ("acme", "globex", "")
                for model in (SELF_HOSTED, PAID)
                for stream in (False, True)
            ]
            prompt = f"round {turn % 2}: tell me what a token costs and who is spending it, please"
            answers = (ask(proxy, team, model, prompt, stream=stream) for team, model, stream in requests)
            for (team, model, _), usage in zip(requests, await asyncio.gather(*answers), strict=True):
                account = team, model.called, model.asked
                before, count = wanted.get(account, (Usage(), 0))
                wanted[account] = before + usage, count + 1
                usd[account] = usd.get(account, 0.0) + model.usd(usage)
        assert sum(usage.cache_read for usage, _ in wanted.values()) > 0, "the cache was never used"

        async def settled() -> bool:
            return {whose: used(samples) for whose, samples in (await accounts(http, proxy)).items()} == wanted

        await eventually(settled, f"the page says {wanted}", process=proxy.program)
        for whose, samples in (await accounts(http, proxy)).items():
            spent = [value for series, value in samples.items() if series.name == SPEND]
            assert spent == [pytest.approx(usd[whose], rel=1e-9)]
