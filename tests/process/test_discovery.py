"""Targets that come and go under a running exporter: every token of theirs is counted once, and no counter falls."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

from exporter.demo.engine import SimEngine
from tests.discovery.cluster import cluster, pod
from tests.peers.exporter import Page
from tests.process.engines import LABEL, TENANTS, dice, serving, traffic, truth, vllm
from tests.process.exporter import Running, Tokens, config, exporter, stop
from tests.sources.servers import http, serve

SOURCE = {"source": "pool/chat/file_sd"}
UP = "tokencost_target_up"
GPUS = "tokencost_gpus"
TOKENS = "tokencost_tokens_total"
LISTED, WORKS = "tokencost_discovery_targets", "tokencost_discovery_up"


def found(**source: Any) -> dict[str, Any]:
    """A pool of two GPUs for each server that is found."""
    gpus = {"gpus": {"per_endpoint": 2}, "usd_per_gpu_hour": 3600}
    return config({"name": "chat", "discover": [source], "tenant_label": LABEL, **gpus})


def write(file: Path, *urls: str) -> None:
    """Replaced at once."""
    new = file.with_suffix(".new")
    new.write_text(listing(*urls))
    new.replace(file)


def listing(*urls: str) -> str:
    hosts = [url.removeprefix("http://").removesuffix("/metrics") for url in urls]
    return json.dumps([{"targets": hosts}])


def young(model: str = "m") -> SimEngine:
    """A replica that started just now, and has served before anybody knew of it."""
    engine = SimEngine(model, start=time.time(), tenant_label=LABEL, tenants=TENANTS)
    traffic(engine, dice(7))
    return engine


def all_of(*engines: SimEngine) -> Tokens:
    total: Counter[tuple[str, str, str]] = Counter()
    for engine in engines:
        total.update(truth(engine))
    return dict(total)


def served(engine: SimEngine) -> int:
    return sum(truth(engine).values())


def port_of(url: str) -> str:
    return url.rpartition(":")[2].partition("/")[0]


async def up(running: Running, number: int) -> Page:
    return await running.page_when(lambda page: page.total(UP) == number, f"{number} are up")


async def test_replicas_of_a_file_come_and_go_and_every_token_is_counted(tmp_path: Path) -> None:
    file, old, new = tmp_path / "chat.json", vllm(), vllm()
    async with serving(old) as old_url, exporter(tmp_path, found(file_sd={"files": [str(file)]})) as running:
        last = await running.page_when(lambda page: page.total("tokencost_discovery_failures_total"), "no file yet")
        assert last.total(LISTED) == last.total(WORKS, **SOURCE) == last.total(GPUS) == 0

        write(file, old_url)
        page = await up(running, 1)
        assert page.fell_from(last) == []
        assert page.total(WORKS, **SOURCE) == page.total(LISTED, **SOURCE) == 1
        traffic(old, dice(1))
        last = await running.page_with(truth(old))

        new = young()  # law 3: it began while its pool was watched, so it counts from zero
        async with serving(new) as new_url:
            write(file, old_url, new_url)
            page = await running.page_with(all_of(old, new))
            assert page.fell_from(last) == []
            assert page.total(GPUS) == 4
            traffic(old, dice(2))
            traffic(new, dice(3))
            last = await running.page_with(all_of(old, new))

            file.write_text(listing(old_url)[:-9])  # half of it, as a writer in place leaves it for a moment
            page = await running.page_when(lambda page: page.total(WORKS, **SOURCE) == 0, "the file is found broken")
            assert page.total(LISTED) == 2

            write(file, old_url)
            page = await running.page_when(lambda page: page.total(GPUS) == 2, "one has left and is not paid for")
            assert page.total(UP) == 2  # and is read all the same
            traffic(new, dice(4))  # what it still serves to its end
            page = await running.page_with(all_of(old, new))
            assert page.fell_from(last) == []
            last = page
        page = await up(running, 1)
        assert not [1 for name, labels in page.samples if name == UP and ("target", new_url) in labels]
        traffic(old, dice(5))
        page = await running.page_with(all_of(old, new))
        assert page.fell_from(last) == []
        await stop(running)
        assert running.events("error") == []


async def test_a_restart_goes_on_with_what_was_known_while_the_service_is_away(tmp_path: Path) -> None:
    engine, away = vllm(), False
    async with serving(engine) as url:

        async def answer(_: bytes, writer: Any) -> None:
            if not away:
                writer.write(http(listing(url).encode(), "Content-Type: application/json", "Connection: close"))

        async with serve(answer) as (origin, _):
            service = found(http_sd={"url": f"{origin}/targets", "interval": "500ms"})
            async with exporter(tmp_path, service) as running:
                await up(running, 1)
                traffic(engine, dice(1))
                last = await running.page_with(truth(engine))
                await stop(running)
            away = True
            traffic(engine, dice(2))  # law 5: served while the exporter was down
            async with exporter(tmp_path, service) as running:
                page = await running.page_with(truth(engine))
                assert page.fell_from(last) == []
                traffic(engine, dice(3))
                page = await running.page_with(truth(engine))
                assert page.fell_from(last) == []
                assert page.total(LISTED) == 1
                assert page.total(WORKS) == 0
                away = False
                page = await running.page_when(lambda page: page.total(WORKS) == 1, "the service is back")
                assert page.fell_from(last) == []
                assert page.total(GPUS) == 2
                await stop(running)


async def test_pods_come_with_their_tenant_and_go_while_the_api_is_watched(tmp_path: Path) -> None:
    blue, red = vllm(), vllm()
    async with serving(blue) as blue_url, serving(red) as red_url, cluster() as api:
        token = tmp_path / "token"
        token.write_text(api.token)
        where = {"api_server": api.url, "namespace": "llm", "bearer_token_file": str(token), "selector": "app=llama"}
        source = {"port": int(port_of(blue_url)), "tenant_annotation": "llm/team", **where}
        other = {"port": int(port_of(red_url)), "tenant_annotation": "llm/team", **where}
        api.put(pod("blue", "127.0.0.1", annotations={"llm/team": "blue"}))
        async with exporter(tmp_path, found(kubernetes=source)) as running:
            await up(running, 1)
            traffic(blue, dice(1))
            last = await running.page_when(lambda page: page.total(TOKENS, tenant="blue") == served(blue), "blue's")
            await stop(running)
        token.write_text("rotated")
        api.token = "rotated"  # noqa: S105 - of nobody
        api.end_watches()
        api.forget()
        api.put(pod("blue", "127.0.0.1", annotations={"llm/team": "_other"}))
        both = found(kubernetes=source)
        both["pools"][0]["discover"].append({"kubernetes": other})
        async with exporter(tmp_path, both) as running:
            await up(running, 2)
            traffic(blue, dice(2))
            traffic(red, dice(3))
            page = await running.page_when(lambda page: page.total(TOKENS) == served(blue) + served(red), "all of it")
            assert page.fell_from(last) == []
            assert page.total(TOKENS, tenant="blue") == last.total(TOKENS)
            assert page.total(TOKENS, tenant="_unattributed") == page.total(TOKENS) - last.total(TOKENS)
            assert page.total(GPUS) == 4
            api.delete("blue")
            page = await running.page_when(lambda page: page.total(LISTED) == 0, "the pod is gone")
            assert page.fell_from(last) == []
            await stop(running)
