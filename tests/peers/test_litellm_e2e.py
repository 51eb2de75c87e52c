"""The real exporter, a real LiteLLM proxy and a real llama-server: who spent what, to the token and to the cent."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from exporter.metering.labels import given
from exporter.sources.exposition import Scanner
from tests.peers.exporter import Exporter, Page, exporter
from tests.peers.install import Llama
from tests.peers.litellm import PAID, SELF_HOSTED, Model, Proxy, ask, litellm_proxy
from tests.peers.llama import LlamaServer, Usage, llama_server
from tests.peers.waiting import eventually

SPEND = "litellm_spend_metric_total"
WEIGHTS = {"input": 1.0, "cache_read": 0.1, "output": 4.0}  # the defaults
CLASSES = tuple(WEIGHTS)
TEAMS = ("acme", "globex")
CONFIG = """
scrape: {{interval: 2s, timeout: 2s}}
prices:
  catalog: none
  models:
    - {{model: "{paid.called}", provider: openai, input_usd_per_mtok: {input:f}, cache_read_usd_per_mtok: {cached:f}, output_usd_per_mtok: {output:f}}}
pools:
  - name: tiny
    endpoints: [{{url: "{llama}/metrics", model: tiny}}]
    gpus: {{count: 1}}
    usd_per_gpu_hour: 3600
    split: weights
gateways:
  - name: edge
    engine: litellm
    endpoints: [{{url: "{proxy}/metrics"}}]
    tenant_label: [team_alias, team]
    routes:
      - {{model: "{own.asked}", pool: tiny}}
      - {{model: "*", provider: openai}}
"""  # noqa: E501 - one row of the price card
Used = Counter[tuple[str, str, str]]  # tokens by team, pool and class


class Stage:
    """The three programs; each can be ended and started again where it was."""

    def __init__(self, stack: AsyncExitStack, litellm: Path, llama: Llama, model: Path, folder: Path) -> None:
        self._stack, self._litellm, self._llama, self._model, self._folder = stack, litellm, llama, model, folder
        self._starts = 0
        self.server: LlamaServer
        self.proxy: Proxy
        self.exporter: Exporter

    async def start_server(self, port: int = 0) -> None:
        log = self._folder / f"llama-{self._number()}.log"
        self.server = await self._stack.enter_async_context(llama_server(self._llama, self._model, log, port=port))

    async def start_proxy(self, port: int = 0) -> None:
        folder = self._folder / f"litellm-{self._number()}"
        self.proxy = await self._stack.enter_async_context(
            litellm_proxy(self._litellm, self.server.url, folder, port=port)
        )

    async def start_exporter(self) -> None:
        config = self._folder / "tokencost.yml"
        prices = {"input": PAID.input_usd, "cached": PAID.cache_read_usd, "output": PAID.output_usd}
        config.write_text(
            CONFIG.format(
                llama=self.server.url, proxy=self.proxy.url, own=SELF_HOSTED, paid=PAID,
                **{name: usd * 1e6 for name, usd in prices.items()},
            )
        )  # fmt: skip
        log = self._folder / f"exporter-{self._number()}.log"
        self.exporter = await self._stack.enter_async_context(exporter(config, self._folder / "ledger.db", log))

    def _number(self) -> int:
        self._starts += 1
        return self._starts

    async def traffic(self, words: str) -> Used:
        """Requests of both teams, one after another and at once; what their `usage` says."""
        used: Used = Counter()

        async def one(team: str, model: Model, prompt: str, stream: bool) -> None:
            usage = await ask(self.proxy, team, model, prompt, stream=stream)
            place = "tiny" if model is SELF_HOSTED else "openai"
            for token in CLASSES:
                used[team, place, token] += getattr(usage, token)

        await one("acme", SELF_HOSTED, f"{words} once", False)
        await asyncio.gather(
            one("acme", SELF_HOSTED, f"{words} once", True),
            one("globex", SELF_HOSTED, f"{words} and once more, at some length", False),
            one("globex", PAID, words, False),
            one("acme", PAID, f"{words} {words}", False),
        )
        return used


def booked(page: Page) -> Used:
    keys = [(team, place, token) for team in TEAMS for place in ("tiny", "openai") for token in CLASSES]
    return +Counter(
        {key: int(page.total("tokencost_tokens_total", tenant=key[0], pool=key[1], token_type=key[2])) for key in keys}
    )


def assert_conserved(page: Page) -> None:
    def total(metric: str, pool: str) -> float:
        return page.total(f"tokencost_{metric}", pool=pool)

    settled = total("spend_usd_total", "tiny") + total("idle_cost_usd_total", "tiny")
    assert settled + total("pending_cost_usd", "tiny") == pytest.approx(total("cost_usd_total", "tiny"), rel=1e-9)
    assert total("spend_usd_total", "openai") == pytest.approx(total("cost_usd_total", "openai"), rel=1e-9)


async def books_equal(stage: Stage, used: Used, before: Page | None = None) -> Page:
    """Wait until every team's tokens are booked; no counter may have fallen."""

    async def look() -> tuple[Used, Page]:
        page = await stage.exporter.page()
        assert_conserved(page)
        assert before is None or page.fell_from(before) == []
        return booked(page), page

    what = f"the books say {used}"
    _, page = await eventually(look, what, until=lambda seen: seen[0] == +used, process=stage.exporter.program)
    return page


async def spends(proxy: Proxy) -> dict[tuple[str, str], float]:
    """What LiteLLM says was spent since it started: (team, model) -> USD."""
    async with aiohttp.ClientSession() as http, http.get(proxy.metrics) as answer:
        samples = Scanner({SPEND}).scan(await answer.read())
    found: dict[tuple[str, str], float] = {}
    for series, usd in samples.items():
        key = (given(series.label("team_alias")), series.label("model"))
        found[key] = found.get(key, 0.0) + usd
    return found


def spend(page: Page, team: str, pool: str = "tiny") -> float:
    return page.total("tokencost_spend_usd_total", tenant=team, pool=pool)


def weighted(used: Used, team: str) -> float:
    return sum(used[team, "tiny", token] * weight for token, weight in WEIGHTS.items())


@pytest.mark.peer
async def test_two_teams_on_one_engine_and_a_paid_api(
    litellm: Path, llama: Llama, tiny_model: Path, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        stage = Stage(stack, litellm, llama, tiny_model, tmp_path)
        await stage.start_server()
        await stage.start_proxy()
        await stage.start_exporter()
        await books_equal(stage, Counter())

        # Bursts between two scrapes, until one of them is booked in one tick: then the shares are exact.
        used: Used = Counter()
        before = await stage.exporter.page()
        for turn in range(8):
            before = await _next_tick(stage, before)
            burst = await stage.traffic(f"burst {turn}: what does a token cost?")
            after = await _next_tick(stage, before)
            whole = booked(after) == +(used + burst)
            used += burst
            if whole:
                break
            before = await books_equal(stage, used, before)
        else:
            pytest.fail("no burst fell between two scrapes")
        paid = {team: spend(after, team) - spend(before, team) for team in TEAMS}
        assert paid["acme"] / paid["globex"] == pytest.approx(weighted(burst, "acme") / weighted(burst, "globex"))
        assert after.total("tokencost_spend_usd_total", pool="tiny", tenant="_unattributed") == 0

        page = await books_equal(stage, used, after)
        active = page.total("tokencost_cost_usd_total", pool="tiny") - page.total(
            "tokencost_idle_cost_usd_total", pool="tiny"
        )
        assert spend(page, "acme") + spend(page, "globex") == pytest.approx(
            active - page.total("tokencost_pending_cost_usd", pool="tiny"), rel=1e-9
        )
        oracle = await spends(stage.proxy)
        for team in TEAMS:
            assert spend(page, team, "openai") == pytest.approx(oracle[team, PAID.called], rel=1e-9), team

        # Every program dies once, in turn; what each had said is in the books, and stays there.
        await stage.exporter.program.end(signal.SIGKILL)
        used += await stage.traffic("while nobody looks")
        await stage.start_exporter()
        page = await books_equal(stage, used, page)

        await stage.proxy.program.end()
        await stage.start_proxy(stage.proxy.port)
        used += await stage.traffic("through a new gateway")
        page = await books_equal(stage, used, page)

        await stage.server.program.end()
        await stage.start_server(stage.server.port)
        used += await stage.traffic("on a new engine")
        page = await books_equal(stage, used, page)

        await stage.proxy.program.end()
        await stage.exporter.program.end()
        await stage.start_proxy(stage.proxy.port)
        used += await stage.traffic("both were gone")
        await stage.start_exporter()
        page = await books_equal(stage, used, page)
        for team in TEAMS:
            tokens = Usage(*(used[team, "openai", token] for token in CLASSES))
            assert spend(page, team, "openai") == pytest.approx(PAID.usd(tokens), rel=1e-9), team


async def _next_tick(stage: Stage, page: Page) -> Page:
    """The first page of the next tick."""
    stamp = "tokencost_ledger_last_save_timestamp_seconds"
    return await eventually(
        stage.exporter.page,
        "another tick",
        until=lambda now: now.total(stamp) > page.total(stamp),
        process=stage.exporter.program,
    )
