"""A new config at run time: what changes, what goes on, and what a bad file does (nothing)."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.peers.exporter import Page
from tests.process.engines import LABEL, dice, serving, traffic, truth, vllm
from tests.process.exporter import Running, Tokens, booked, config, exporter, once, pool, stop, write_config

LIFECYCLE = "--web.enable-lifecycle"
WORKED = "tokencost_config_last_reload_successful"
UP = "tokencost_target_up"


async def reload(running: Running, folder: Path, new: dict[str, Any], how: str, *, refused: str = "") -> None:
    """Write the config and ask for it, and wait until it has been read; `refused` is part of the error expected."""
    write_config(folder, new)
    if how == "POST":
        status, text = await running.post("/-/reload")
        assert status == (500 if refused else 200), text
        assert refused in text
        return
    seen = len(running.events())
    running.program.process.send_signal(signal.SIGHUP)

    async def told() -> bool:
        said = [event for event in running.events()[seen:] if event["logger"] == "exporter.reloads"]
        assert all(bool(refused) == (event["level"] == "warning") for event in said)
        return any(refused in event.get("problem", "") for event in said)

    await once("the reload is in the log", told, running)


HOW = pytest.mark.parametrize("how", ["SIGHUP", "POST"])


@HOW
async def test_a_price_changes_from_now_on_and_a_bad_file_changes_nothing(tmp_path: Path, how: str) -> None:
    engine = vllm()
    async with serving(engine) as url:

        def priced(price: float, *more: dict[str, Any]) -> dict[str, Any]:
            return config(pool("chat", url, price=price, tenant_label=LABEL), *more)

        async with exporter(tmp_path, priced(3600), LIFECYCLE) as running:
            traffic(engine, dice(3))
            last = await running.page_with(truth(engine))
            assert last.total(WORKED) == 1

            await reload(running, tmp_path, priced(7200), how)
            last = await dearer(running, last, dollars=2)

            twice = priced(1, pool("chat", url))
            await reload(running, tmp_path, twice, how, refused="pools[1].name")
            last = await went_on(running, last, worked=0)
            last = await dearer(running, last, dollars=2)
            assert (await running.get("/-/ready"))[0] == (await running.get("/-/healthy"))[0] == 200
            assert booked(last, "chat") == truth(engine)

            await reload(running, tmp_path, priced(7200), how)
            await went_on(running, last, worked=1)


@HOW
async def test_pools_come_and_go(tmp_path: Path, how: str) -> None:
    """One that comes begins with a baseline, one that goes keeps its counters as they are."""
    random, chat, code = dice(4), vllm("chat-model"), vllm("code-model")
    async with serving(chat) as chat_url, serving(code) as code_url:
        chat_pool = pool("chat", chat_url, tenant_label=LABEL)
        code_pool = pool("code", code_url, tenant_label=LABEL)
        async with exporter(tmp_path, config(chat_pool), LIFECYCLE) as running:
            traffic(chat, random)
            last = await running.page_with(truth(chat))
            traffic(code, random)
            unseen = truth(code)

            def grown() -> Tokens:
                return {key: tokens - unseen.get(key, 0) for key, tokens in truth(code).items()}

            await reload(running, tmp_path, config(chat_pool, code_pool), how)
            await running.page_when(lambda page: page.total(UP) == 2, "both are up")
            traffic(chat, random)
            traffic(code, random)
            await running.page_with(grown(), "code")
            last = await went_on(running, last, worked=1)
            assert booked(last, "chat") == truth(chat)

            await reload(running, tmp_path, config(code_pool), how)
            traffic(chat, random)  # nobody looks
            traffic(code, random)
            page = await running.page_with(grown(), "code")
            assert page.fell_from(last) == []
            assert booked(page, "chat") == booked(last, "chat")
            assert page.total(UP) == page.total(UP, pool="code") == 1

            await reload(running, tmp_path, config(chat_pool, code_pool), how)  # back, and a stranger again
            await running.page_when(lambda page: page.total(UP) == 2, "both are up")
            page = await went_on(running, page, worked=1)
            assert booked(page, "chat") == booked(last, "chat")
            await stop(running)
            assert running.events("error") == []


async def dearer(running: Running, last: Page, *, dollars: float) -> Page:
    """A second of the GPU now costs that many dollars; no counter fell."""
    price, seconds, cost = "tokencost_gpu_price_usd_per_hour", "tokencost_gpu_seconds_total", "tokencost_cost_usd_total"
    begin = await running.page_when(lambda page: page.total(price) == 3600 * dollars, "the price is shown")
    end = await running.page_when(lambda page: page.total(seconds) > begin.total(seconds), "time passes")
    passed = end.total(seconds) - begin.total(seconds)
    assert end.total(cost) - begin.total(cost) == pytest.approx(dollars * passed, rel=1e-6)
    assert end.fell_from(last) == []
    return end


async def went_on(running: Running, last: Page, *, worked: int) -> Page:
    """The page says whether the last reload worked; no counter fell."""
    page = await running.page_when(lambda page: page.total(WORKED) == worked, "the page tells of the reload")
    assert page.fell_from(last) == []
    return page


async def test_a_reload_that_waits_while_the_program_ends_hurts_nothing(tmp_path: Path) -> None:
    """After a reload the next one has to wait a while, and the program may be told to end in that time."""
    async with (
        serving(vllm()) as url,
        serving(vllm()) as other,
        exporter(tmp_path, config(pool("chat", url)), LIFECYCLE) as running,
    ):
        await reload(running, tmp_path, config(pool("chat", other)), "POST")
        write_config(tmp_path, config(pool("chat", url)))
        waiting = asyncio.create_task(running.post("/-/reload"))
        assert (await running.get("/-/healthy"))[0] == 200  # by now it has been asked
        await stop(running)
        assert (await waiting)[0] == 200
        assert running.events("error") == []


async def test_reloading_over_http_is_off_unless_asked_for(tmp_path: Path) -> None:
    async with serving(vllm()) as url, exporter(tmp_path, config(pool("chat", url))) as running:
        write_config(tmp_path, config(pool("chat", url, price=7200)))
        assert (await running.post("/-/reload"))[0] == 403
        seen = await running.page()
        later = await running.page_when(
            lambda page: page.total("tokencost_gpu_seconds_total") > seen.total("tokencost_gpu_seconds_total"), "a tick"
        )
        assert later.total("tokencost_gpu_price_usd_per_hour") == 3600
