"""The fleet on real HTTP: every engine on its own port, refusing while it is down, back on the same port after."""

from __future__ import annotations

import asyncio
from datetime import date
from pathlib import Path

import aiohttp
import pytest
import yaml

from exporter.config.load import load
from exporter.demo.fleet import RUNAWAY, demo_fleet
from exporter.demo.serve import GATEWAY, STEP_NS, demo, demo_config, drive, serve_fleet
from exporter.records import NS, Instant
from exporter.sources.fetch import Fetcher
from exporter.sources.litellm import INPUT
from exporter.sources.reader import Reader
from exporter.sources.registry import GATEWAYS
from exporter.sources.target import Target
from tests.demo.pages import value

START = 1_800_000_000


class StepClock:
    """Jumps to whatever time is waited for, `steps` times, and then stands still."""

    def __init__(self, steps: int) -> None:
        self.at = Instant(5 * NS, START * NS)
        self.left = steps
        self.stopped = asyncio.Event()

    def now(self) -> Instant:
        return self.at

    async def sleep_until(self, monotonic_ns: int) -> None:
        if not self.left:
            self.stopped.set()
            await asyncio.Event().wait()
        self.left -= 1
        self.at = Instant(monotonic_ns, self.at.wall_ns + monotonic_ns - self.at.monotonic_ns)
        await asyncio.sleep(0)


async def read(session: aiohttp.ClientSession, url: str) -> bytes:
    async with session.get(url) as answer:
        assert answer.status == 200
        assert answer.content_type == "text/plain"
        return await answer.read()


async def test_the_pages_are_served_as_the_world_moves() -> None:
    fleet = demo_fleet(START)
    async with serve_fleet(fleet) as urls, aiohttp.ClientSession() as session:
        assert urls.keys() == {*fleet.engines, GATEWAY}
        assert len(set(urls.values())) == len(urls)
        for step in range(1, 121):
            fleet.advance(0.25, START + step / 4)
        for name, engine in fleet.engines.items():
            assert await read(session, urls[name]) == engine.page()
        assert await read(session, urls[GATEWAY]) == fleet.gateway.page()
        assert value(await read(session, urls["chat-70b-any-0"]), "vllm:generation_tokens_total") > 0


async def test_an_engine_that_is_down_drops_connections_and_comes_back_on_its_port() -> None:
    fleet = demo_fleet(START)
    async with serve_fleet(fleet) as urls, aiohttp.ClientSession() as session:
        await read(session, urls["chat-70b-any-0"])
        fleet.workers["chat-70b-any-0"].stop()
        with pytest.raises(aiohttp.ClientConnectionError):
            await read(session, urls["chat-70b-any-0"])
        await read(session, urls["chat-70b-any-1"])
        fleet.workers["chat-70b-any-0"].restart(START + 30)
        page = await read(session, urls["chat-70b-any-0"])
        assert value(page, "process_start_time_seconds") == START + 30


async def test_the_gateway_sends_to_its_page_with_a_slash_and_the_exporter_follows() -> None:
    fleet = demo_fleet(START)
    async with serve_fleet(fleet) as urls, aiohttp.ClientSession() as session, Fetcher() as fetcher:
        url = urls[GATEWAY]
        async with session.get(url, allow_redirects=False) as answer:
            assert answer.status == 307
            assert answer.headers["Location"] == f"{url}/"
        for step in range(1, 121):
            fleet.advance(0.25, START + step / 4)
        target = Target(url, url, GATEWAY, "auto", "any", 15 * NS, 5 * NS, 1 << 20, kind="gateway")
        reading = Reader("auto", GATEWAYS).read(url, await fetcher.get(target), Instant(0, START * NS))
        assert reading.engine == "litellm"
        prompt = sum(count for series, count in reading.samples.items() if series.name in INPUT)
        reported = {key: tokens for key, tokens in fleet.reported.items() if key[3] != "output"}
        assert prompt == sum(reported.values()) > 0


async def test_the_ports_are_closed_afterwards() -> None:
    async with serve_fleet(demo_fleet(START)) as urls:
        pass
    async with aiohttp.ClientSession() as session:
        for url in urls.values():
            with pytest.raises(aiohttp.ClientConnectorError):
                await read(session, url)


async def test_the_driver_moves_the_world_along_with_the_clock() -> None:
    driven, by_hand = demo_fleet(START), demo_fleet(START)
    clock = StepClock(40)
    driver = asyncio.create_task(drive(driven, clock))
    await asyncio.wait_for(clock.stopped.wait(), 30)
    driver.cancel()
    with pytest.raises(asyncio.CancelledError):
        await driver
    for step in range(1, 41):
        by_hand.advance(0.25, START + step * STEP_NS / NS)
    assert [engine.page() for engine in driven.engines.values()] == [e.page() for e in by_hand.engines.values()]
    assert sum(driven.truth.values()) > 0


async def test_the_demo_yields_a_config_whose_endpoints_answer() -> None:
    clock = StepClock(8)
    async with demo(clock) as text, aiohttp.ClientSession() as session:
        config = yaml.safe_load(text)
        await asyncio.wait_for(clock.stopped.wait(), 30)
        for pool in config["pools"]:
            for endpoint in pool["endpoints"]:
                assert value(await read(session, endpoint["url"]), "vllm:prompt_tokens_total") >= 0
        for endpoint in config["gateways"][0]["endpoints"]:
            assert value(await read(session, endpoint["url"]), "process_start_time_seconds") == START


def test_the_config_is_what_the_contract_says() -> None:
    fleet = demo_fleet(START)
    urls = {name: f"http://127.0.0.1:{port}/metrics" for port, name in enumerate([*fleet.engines, GATEWAY], 9000)}
    config = yaml.safe_load(demo_config(fleet, urls))
    assert config["scrape"] == {"interval": "2s", "timeout": "1s"}
    assert config["live"] == {"windows": ["1m", "5m"]}
    chat, code = config["pools"]
    assert chat["claim_within"] == "30s"
    assert code["tenant"] == "research"
    assert [endpoint["role"] for endpoint in chat["endpoints"]] == ["any", "any"]
    assert code["endpoints"] == [
        {"url": urls["code-32b-prefill-0"], "role": "prefill"},
        {"url": urls["code-32b-decode-1"], "role": "decode"},
    ]
    priced = {price["product"] for price in config["prices"]["gpus"]}
    assert {chat["gpus"]["product"], code["gpus"]["product"]} == priced
    assert config["prices"]["catalog"] == "none"
    card = {"input_usd_per_mtok": 2.5, "cache_read_usd_per_mtok": 1.25, "output_usd_per_mtok": 10.0}
    assert config["prices"]["models"] == [{"model": "gpt-4o", "provider": "openai", **card}]
    routes = [{"model": "chat-70b*", "pool": "chat-70b"}, {"model": "*", "provider": "openai"}]
    edge = {"name": "edge", "engine": "litellm", "endpoints": [{"url": urls[GATEWAY]}], "tenant_label": "team_alias"}
    assert config["gateways"] == [edge | {"routes": routes}]
    everything, runaway, paid = config["budgets"]
    assert everything == {"name": "everything", "limit_usd": 7000, "period": "month"}
    assert runaway["tenant"] in {
        source.tenant for plan in fleet.plans for source in plan.sources if source.span == RUNAWAY
    }
    assert paid["pool"] == "openai"
    del urls[GATEWAY]
    assert "gateways" not in yaml.safe_load(demo_config(fleet, urls)), "none that nobody can ask"


def test_the_exporter_takes_the_config(tmp_path: Path) -> None:
    fleet = demo_fleet(START)
    path = tmp_path / "tokencost.yml"
    path.write_text(demo_config(fleet, {name: f"http://{name}:80/metrics" for name in (*fleet.engines, GATEWAY)}))
    assert [gateway.name for gateway in load(path, today=date(2027, 1, 15)).gateways] == [GATEWAY]
