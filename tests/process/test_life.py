"""One exporter's life: it waits for its targets, ends when told to, dies at any moment, and its books go on."""

from __future__ import annotations

import asyncio
import signal
import socket
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest

from tests.peers.exporter import Page
from tests.process.engines import LABEL, dice, serving, traffic, truth, vllm
from tests.process.exporter import assert_closed, config, exporter, once, pool, stop
from tests.sources.servers import http, serve

KILLS = 10


async def test_it_is_ready_when_every_target_has_been_tried_and_healthy_always(tmp_path: Path) -> None:
    asked, go = asyncio.Event(), asyncio.Event()

    async def slow(_: bytes, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await go.wait()
        writer.write(http(status="503 Still loading"))

    async with serving(vllm()) as good, serve(slow) as (origin, _):
        patient = config(pool("chat", good, f"{origin}/metrics"), scrape={"interval": "30s", "timeout": "30s"})
        async with exporter(tmp_path, patient, ready=False) as running:
            async with asyncio.timeout(20):
                await asked.wait()
            assert (await running.get("/-/ready"))[0] == 503
            assert (await running.get("/-/healthy"))[0] == 200
            assert (await running.get("/metrics"))[0] == 503
            go.set()

            async def ready() -> bool:
                assert (await running.get("/-/healthy"))[0] == 200
                return (await running.get("/-/ready"))[0] == 200

            await once("a failed try is a try", ready, running)
            page = await running.page()
            assert page.total("tokencost_target_up") == 1
            assert page.total("tokencost_target_scrape_failures_total", reason="status") == 1


async def test_nobody_can_hold_up_the_end(tmp_path: Path) -> None:
    """Not a target that never answers, nor a client that never finishes its request."""
    asked = asyncio.Event()

    async def never(_: bytes, __: asyncio.StreamWriter) -> None:
        asked.set()
        await asyncio.Event().wait()

    async with serve(never) as (origin, _):
        patient = config(pool("chat", f"{origin}/metrics"), scrape={"interval": "1h", "timeout": "1h"})
        async with exporter(tmp_path, patient, ready=False) as running:
            async with asyncio.timeout(20):
                await asked.wait()
            host, _, port = running.url.removeprefix("http://").partition(":")
            with closing(socket.create_connection((host, int(port)))) as client:
                client.sendall(b"GET /metrics HTTP/1.1\r\nHost:")
                await stop(running)
            assert running.events("error") == []


@pytest.mark.parametrize("proves", [True, False], ids=["engine-proves-it-lived", "engine-proves-nothing"])
async def test_a_restart_loses_nothing_that_can_be_known(tmp_path: Path, proves: bool) -> None:
    """Counters go on, tokens served meanwhile are counted, and the time costs as far as the engine proves it lived."""
    random, engine = dice(1), vllm(process_metrics=proves)
    async with serving(engine) as url:
        chat = config(pool("chat", url, tenant_label=LABEL))
        async with exporter(tmp_path, chat) as first:
            traffic(engine, random)
            before = await first.page_with(truth(engine))
            traffic(engine, random)  # in no book yet when the signal comes, perhaps
            await stop(first)
            assert [event["msg"] for event in first.events()][-1] == "stopped"
        stopped_at = log_time(first.events()[-1]["ts"])

        traffic(engine, random)
        async with exporter(tmp_path, chat) as second:
            started_at = next(log_time(event["ts"]) for event in second.events() if event["msg"] == "listening")
            after = await second.page_with(truth(engine))
    assert after.fell_from(before) == []

    def grown(name: str) -> float:
        return after.total(name) - before.total(name)

    passed = grown("tokencost_ledger_last_save_timestamp_seconds")  # each page is as old as its save
    down = started_at - stopped_at
    assert 0 < down < passed
    if proves:
        assert grown("tokencost_gpu_seconds_total") == pytest.approx(passed, abs=0.05)
    else:
        assert 0 < grown("tokencost_gpu_seconds_total") <= passed - down + 0.05
    assert grown("tokencost_cost_usd_total") == pytest.approx(grown("tokencost_gpu_seconds_total"))  # a dollar each


def log_time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


async def test_killed_at_any_moment_it_forgets_nothing_it_has_shown(tmp_path: Path) -> None:
    """Under traffic; after each start no counter is below the last page seen, and in the end every token is there."""
    random, engine = dice(2), vllm()
    async with serving(engine) as url:
        chat = config(pool("chat", url, tenant_label=LABEL))
        async with exporter(tmp_path, chat) as running:  # sees the engine before it has served anyone
            last = await running.page()
            await stop(running, signal.SIGKILL)
        pages = 0
        for _ in range(KILLS):
            async with exporter(tmp_path, chat, ready=False) as running:
                for _ in range(random.randint(0, 60)):
                    traffic(engine, random, requests=1)
                    if page := await running.look():
                        last, pages = assert_went_on(page, last), pages + 1
                    await asyncio.sleep(0.01)  # let it come to another moment of its tick
                await stop(running, signal.SIGKILL)
                assert running.events("error") == []
        assert pages > KILLS
        async with exporter(tmp_path, chat) as running:
            assert_went_on(await running.page_with(truth(engine)), last)


def assert_went_on(page: Page, last: Page) -> Page:
    assert_closed(page)
    assert page.fell_from(last) == []
    return page


@pytest.mark.parametrize("how", [signal.SIGHUP, signal.SIGTERM])
async def test_a_signal_as_soon_as_it_listens_does_what_it_always_does(tmp_path: Path, how: signal.Signals) -> None:
    async with serving(vllm()) as url, exporter(tmp_path, config(pool("chat", url)), ready=False) as running:
        running.program.process.send_signal(how)
        if how is signal.SIGHUP:
            await running.page_when(lambda page: page.total("tokencost_target_up") == 1, "it lives")
        await stop(running)
