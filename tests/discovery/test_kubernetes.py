"""Pods are listed once and watched from there: through broken watches, rotated tokens and forgotten versions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from exporter.config.discovery import Kubernetes
from exporter.discovery.found import Found
from exporter.discovery.kubernetes import Pods
from exporter.errors import Reason, ScrapeError
from exporter.records import NS
from exporter.sources.fetch import Fetcher
from tests.clock import ManualClock
from tests.discovery.cluster import Cluster, cluster, line, pod
from tests.discovery.given import NOON, flies

SELECTOR = "app=llama,tier in (a, b)"


@dataclass
class Watching:
    """A source and the cluster that it looks at."""

    cluster: Cluster
    clock: ManualClock
    token: Path
    pods: Pods

    async def next(self, sets: AsyncGenerator[Found, None]) -> list[str]:
        """The hosts of the next set."""
        task = asyncio.ensure_future(anext(sets))
        await flies(self.clock, task.done, "a set")
        return [address.host for address in task.result().addresses]

    async def until(self, sets: AsyncGenerator[Found, None], *hosts: str) -> None:
        """Sets, up to that one. A watch that stands says again what is known."""
        while await self.next(sets) != list(hosts):
            pass

    async def fails(self, sets: AsyncGenerator[Found, None]) -> Reason:
        with pytest.raises(ScrapeError) as error:
            await self.until(sets, "for ever")
        assert "first" not in str(error.value)
        assert "?" not in str(error.value)
        return error.value.reason


@asynccontextmanager
async def started(folder: Path, most: int = 100) -> AsyncIterator[Watching]:
    async with AsyncExitStack() as stack:
        api, fetcher = await stack.enter_async_context(cluster()), await stack.enter_async_context(Fetcher())
        clock, token = ManualClock(NOON), folder / "token"
        token.write_text("first\n")
        keys = {"api_server": api.url, "namespace": "llm", "bearer_token_file": str(token)}
        config = Kubernetes.model_validate({"selector": SELECTOR, "port": "http", **keys})
        yield Watching(api, clock, token, Pods(config, 20 * NS, fetcher, clock, most=most))


async def test_pods_come_change_and_go(tmp_path: Path) -> None:
    async with started(tmp_path) as on, aclosing(on.pods.watch()) as sets:
        on.cluster.put(pod("a", "10.0.0.1"), pod("b", "", "Pending"))
        assert await on.next(sets) == ["10.0.0.1:8000"]
        assert await on.next(sets) == ["10.0.0.1:8000"]  # the watch stands
        on.cluster.put(pod("b", "10.0.0.2"))
        assert await on.next(sets) == ["10.0.0.1:8000", "10.0.0.2:8000"]
        on.cluster.put(pod("b", "10.0.0.2", annotations={"noise": "1"}))  # no news
        on.cluster.put(pod("a", "10.0.0.1", "Succeeded"))
        assert await on.next(sets) == ["10.0.0.2:8000"]
        on.cluster.delete("b")
        assert await on.next(sets) == []
        assert on.cluster.lists() == 1
        first, second = on.cluster.asked
        assert first == {"limit": "250", "labelSelector": SELECTOR}
        assert second == {
            "watch": "1", "allowWatchBookmarks": "true", "timeoutSeconds": "60", "resourceVersion": "12",
            "labelSelector": SELECTOR,
        }  # fmt: skip


async def test_a_list_comes_in_pages(tmp_path: Path) -> None:
    async with started(tmp_path) as on, aclosing(on.pods.watch()) as sets:
        on.cluster.pages = 2
        on.cluster.put(*(pod(str(n), f"10.0.0.{n}") for n in range(1, 6)))
        assert await on.next(sets) == [f"10.0.0.{n}:8000" for n in range(1, 6)]
        assert [query.get("continue") for query in on.cluster.asked] == [None, "2", "4"]


async def test_a_watch_that_ended_or_broke_goes_on_where_it_was(tmp_path: Path) -> None:
    """Nothing that happened between two watches is lost, nothing is listed again, and half a line is no event."""
    async with started(tmp_path) as on:
        on.cluster.put(pod("a", "10.0.0.1"))
        async with aclosing(on.pods.watch()) as sets:
            await on.next(sets)
            await on.next(sets)
            on.cluster.end_watches()
            await flies(on.clock, lambda: not on.cluster.watches, "the watch ended")
            on.cluster.put(pod("b", "10.0.0.2"))
            await on.until(sets, "10.0.0.1:8000", "10.0.0.2:8000")
            broken = asyncio.ensure_future(on.fails(sets))
            await on.cluster.cut(line("DELETED", pod("a", "10.0.0.1"))[:-20])
            assert await broken in {Reason.TRUNCATED, Reason.CONNECT}
        on.cluster.delete("b")
        async with aclosing(on.pods.watch()) as sets:  # as the watcher does after an error
            await on.until(sets, "10.0.0.1:8000")
        assert on.cluster.lists() == 1
        assert [query["resourceVersion"] for query in on.cluster.asked[1:]] == ["11", "11", "12"]


async def test_a_bookmark_is_where_the_next_watch_begins(tmp_path: Path) -> None:
    async with started(tmp_path) as on, aclosing(on.pods.watch()) as sets:
        on.cluster.put(pod("a", "10.0.0.1"))
        await on.next(sets)
        await on.next(sets)
        on.cluster.bookmark()
        on.cluster.end_watches()
        assert await on.next(sets) == ["10.0.0.1:8000"]
        assert on.cluster.asked[-1]["resourceVersion"] == str(on.cluster.version)
        assert on.cluster.lists() == 1


@pytest.mark.parametrize("how", ["event", "status"])
async def test_a_version_that_is_gone_is_listed_anew(tmp_path: Path, how: str) -> None:
    async with started(tmp_path) as on:
        on.cluster.put(pod("a", "10.0.0.1"), pod("b", "10.0.0.2"))
        async with aclosing(on.pods.watch()) as sets:
            await on.next(sets)
            await on.next(sets)
            on.cluster.delete("a")  # seen by nobody: it is in no list and no watch from now on
            on.cluster.end_watches()
            on.cluster.forget()
            if how == "event":
                await on.until(sets, "10.0.0.2:8000")
            else:
                on.cluster.refuse["watch"] = 410
                assert await on.fails(sets) is Reason.STATUS
        async with aclosing(on.pods.watch()) as sets:
            assert await on.next(sets) == ["10.0.0.2:8000"]
        assert on.cluster.lists() == 2


async def test_the_token_is_read_again_when_it_was_rotated(tmp_path: Path) -> None:
    async with started(tmp_path) as on:
        on.cluster.put(pod("a", "10.0.0.1"))
        async with aclosing(on.pods.watch()) as sets:
            await on.next(sets)
            await on.next(sets)
            on.cluster.token = "second"  # noqa: S105 - of nobody
            on.cluster.end_watches()
            assert await on.fails(sets) is Reason.STATUS
        on.token.write_text("second\n")
        async with aclosing(on.pods.watch()) as sets:
            assert await on.next(sets) == ["10.0.0.1:8000"]


@pytest.mark.parametrize(
    "raw",
    [
        b"not json\n", b"[]\n", b"{}\n", b'{"type": "ADDED", "object": null}\n', line("ADDED", {"metadata": {}}),
        line("ADDED", {"metadata": {"uid": "x", "resourceVersion": "1"}, "status": {"phase": "Running", "podIP": "1"}}),
        line("ADDED", {"metadata": {"uid": "x", "labels": [1]}, "status": {"phase": "Running", "podIP": "1"}}),
        line("BOOKMARK", {}), line("ERROR", {"code": 500}), line("ERROR", {"code": "x"}), line("ERROR", {}),
    ],
)  # fmt: skip
async def test_an_event_that_cannot_be_read_is_a_failure_and_all_is_listed_anew(tmp_path: Path, raw: bytes) -> None:
    async with started(tmp_path) as on:
        on.cluster.put(pod("a", "10.0.0.1"))
        async with aclosing(on.pods.watch()) as sets:
            await on.next(sets)
            await on.next(sets)
            on.cluster.send(raw)
            assert await on.fails(sets) in {Reason.INVALID, Reason.STATUS}
        on.cluster.end_watches()
        async with aclosing(on.pods.watch()) as sets:
            assert await on.next(sets) == ["10.0.0.1:8000"]
        assert on.cluster.lists() == 2


async def test_a_list_that_fails_half_way_is_begun_again(tmp_path: Path) -> None:
    async with started(tmp_path) as on:
        on.cluster.put(pod("a", "10.0.0.1"))
        on.cluster.refuse["list"] = 500
        async with aclosing(on.pods.watch()) as sets:
            assert await on.fails(sets) is Reason.STATUS
        async with aclosing(on.pods.watch()) as sets:
            assert await on.next(sets) == ["10.0.0.1:8000"]


async def test_pods_without_bound_are_refused(tmp_path: Path) -> None:
    async with started(tmp_path, most=3) as on:
        on.cluster.put(*(pod(str(n), f"10.0.0.{n}") for n in range(1, 4)))
        async with aclosing(on.pods.watch()) as sets:
            await on.next(sets)
            on.cluster.put(pod("4", "10.0.0.4"))
            assert await on.fails(sets) is Reason.TOO_MANY_TARGETS
        async with aclosing(on.pods.watch()) as sets:
            assert await on.fails(sets) is Reason.TOO_MANY_TARGETS
        on.cluster.delete("1")
        async with aclosing(on.pods.watch()) as sets:
            assert await on.next(sets) == [f"10.0.0.{n}:8000" for n in range(2, 5)]


async def test_in_a_cluster_nothing_needs_to_be_said(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("first")
    (tmp_path / "namespace").write_text("llm\n")
    environment = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    config = Kubernetes(selector="app=llama", port=8000)
    async with Fetcher() as fetcher:
        pods = Pods(config, NS, fetcher, ManualClock(NOON), environment, tmp_path)
        target = pods._target({}, NS, 1)  # its address is one that only a cluster has
        assert target.url == "https://[fd00::1]:443/api/v1/namespaces/llm/pods?labelSelector=app%3Dllama"
        assert target.tls
        assert target.tls.ca == tmp_path / "ca.crt"
        for lack, reason in (({}, Reason.CONNECT), (environment, Reason.CREDENTIALS)):
            elsewhere = Pods(config, NS, fetcher, ManualClock(NOON), lack, tmp_path / "none")
            with pytest.raises(ScrapeError) as error:
                await anext(elsewhere.watch())
            assert error.value.reason is reason


def test_the_fake_speaks_as_the_real_one() -> None:
    """One event for each line, with the pod whole."""
    event = json.loads(line("ADDED", pod("a", "10.0.0.1")))
    assert (event["type"], event["object"]["metadata"]["uid"]) == ("ADDED", "uid-a")
