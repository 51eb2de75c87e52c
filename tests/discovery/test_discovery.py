"""All sources of a config: waited for, followed, swapped at a reload, and known to the ledger."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from exporter.config.schema import Config
from exporter.discovery.discovery import APART_NS, PATIENCE_NS, Discovery
from exporter.discovery.watcher import LINGER_NS
from exporter.errors import Reason
from exporter.ledger import families as f
from exporter.ledger.accounts import Labels
from exporter.ledger.changes import State
from exporter.records import NS
from tests.clock import ManualClock
from tests.discovery.cluster import Cluster, cluster, pod
from tests.discovery.given import NOON, config, flies, gateway, pool
from tests.sources.servers import serve

KNOWN: Mapping[str, State] = {}
PODS = "pool/a/kubernetes"


def files(path: Path) -> dict[str, Any]:
    return {"file_sd": {"files": (str(path),)}}


def put(path: Path, *names: str) -> None:
    new = path.with_suffix(".new")
    new.write_text(json.dumps([{"targets": [f"{name}:80" for name in names]}]))
    new.replace(path)


def kubernetes(api: Cluster, folder: Path, **keys: Any) -> dict[str, Any]:
    (folder / "token").write_text(api.token)
    where = {"api_server": api.url, "namespace": "llm", "bearer_token_file": str(folder / "token")}
    return {"kubernetes": {**where, "selector": "app=llama", "port": 8000, **keys}}


def targets(config: Config, owner: int = 0) -> list[str]:
    return sorted(end.url.removeprefix("http://").removesuffix(":80/metrics") for end in config.pools[owner].endpoints)


async def adopted(discovery: Discovery, clock: ManualClock, config: Config) -> Config:
    await flies(clock, asyncio.ensure_future(discovery.prepare(config)).done, "prepared")
    return discovery.adopt(config)


async def followed(discovery: Discovery, clock: ManualClock) -> Config:
    """The next config."""
    await flies(clock, asyncio.ensure_future(discovery.changed()).done, "a change")
    return discovery.resolved()


def drained(discovery: Discovery) -> Any:
    """As the ledger gives it back."""
    return json.loads(json.dumps(discovery.drain()))


def booked(discovery: Discovery) -> Counter[tuple[str, Labels]]:
    found: Counter[tuple[str, Labels]] = Counter()

    def count(family: str, labels: Labels, times: int) -> None:
        found[family, labels] += times

    discovery.report(count)
    return found


async def test_the_first_answer_is_waited_for(tmp_path: Path) -> None:
    put(tmp_path / "a.json", "x")
    clock = ManualClock(NOON)
    async with Discovery(clock, KNOWN) as discovery:
        assert targets(await adopted(discovery, clock, config(pool("a", files(tmp_path / "a.json"))))) == ["x"]
        assert discovery.all_tried


async def test_a_config_without_sources_is_itself_at_once() -> None:
    clock, written = ManualClock(NOON), config(pool("a", urls=("http://w:80/metrics",), gpus={"count": 1}))
    async with Discovery(clock, KNOWN) as discovery:
        await discovery.prepare(written)
        assert discovery.adopt(written) == written
        assert discovery.all_tried
        assert discovery.drain() == {}


async def test_a_service_that_hangs_is_not_waited_for_for_ever_and_what_the_ledger_knew_serves(tmp_path: Path) -> None:
    put(tmp_path / "b.json", "new")

    async def hang(_: bytes, __: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with serve(hang) as (origin, _):
        hanging = {"http_sd": {"url": f"{origin}/sd"}}
        both = config(pool("a", hanging), pool("b", files(tmp_path / "b.json")))
        clock, saved = ManualClock(NOON), {"pool/a/http_sd": {"found": [["old:80", []]]}}
        async with Discovery(clock, saved) as discovery:
            prepared = asyncio.ensure_future(discovery.prepare(both))
            await clock.settled(2)  # the patience, and the next look at the files
            assert not prepared.done()
            clock.advance(PATIENCE_NS)
            await prepared
            held = discovery.adopt(both)
            assert [targets(held, owner) for owner in (0, 1)] == [["old"], ["new"]]
            assert not discovery.all_tried
            gauges = discovery.gauges()
            assert gauges["tokencost_discovery_up"] == {("pool/b/file_sd",): 1.0}
            assert gauges["tokencost_discovery_targets"] == {("pool/a/http_sd",): 1.0, ("pool/b/file_sd",): 1.0}
            assert gauges["tokencost_discovery_last_success_timestamp_seconds"].keys() == {("pool/b/file_sd",)}


async def test_targets_come_linger_and_go(tmp_path: Path) -> None:
    path, clock = tmp_path / "a.json", ManualClock(NOON)
    put(path, "x")
    async with Discovery(clock, KNOWN) as discovery:
        await adopted(discovery, clock, config(pool("a", files(path))))
        put(path, "y", "z")
        held = await followed(discovery, clock)
        assert targets(held) == ["x", "y", "z"]
        assert getattr(held.pools[0].gpus, "count", None) == 4  # two for each that is listed
        discovery.failed(
            "http://y:80/metrics", Reason.CONNECT
        )  # it is listed: a scrape that fails is no reason to let go of it
        discovery.failed("http://x:80/metrics", Reason.CONNECT)
        assert targets(await followed(discovery, clock)) == ["y", "z"]
        put(path, "y")
        assert targets(await followed(discovery, clock)) == ["y", "z"]
        before = clock.now().monotonic_ns
        assert targets(await followed(discovery, clock)) == ["y"]
        assert clock.now().monotonic_ns - before == pytest.approx(LINGER_NS, abs=3 * NS)


async def test_a_burst_of_changes_is_few_swaps(tmp_path: Path) -> None:
    clock = ManualClock(NOON)
    async with cluster() as api, Discovery(clock, KNOWN) as discovery:
        api.put(pod("0", "10.0.1.0"))
        await adopted(discovery, clock, config(pool("a", kubernetes(api, tmp_path))))
        await flies(clock, lambda: api.watches, "it is watched")
        swaps: list[Config] = []

        async def follow() -> None:
            while True:
                await discovery.changed()
                swaps.append(discovery.resolved())

        following = asyncio.ensure_future(follow())
        for number in range(1, 101):
            api.put(pod(str(number), f"10.0.0.{number}"))
        async with asyncio.timeout(20):
            while discovery.gauges()["tokencost_discovery_targets"] != {(PODS,): 101.0}:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        assert not swaps  # no time has passed since the last one
        clock.advance(APART_NS)
        await flies(clock, lambda: swaps, "a swap")
        assert [len(held.pools[0].endpoints) for held in swaps] == [101]
        following.cancel()


async def test_a_pods_annotation_is_its_tenant_and_a_change_of_it_is_news(tmp_path: Path) -> None:
    clock = ManualClock(NOON)
    async with cluster() as api, Discovery(clock, KNOWN) as discovery:
        source = kubernetes(api, tmp_path, tenant_annotation="llm/team")
        api.put(pod("a", "10.0.0.1", annotations={"llm/team": "blue"}))
        held = await adopted(discovery, clock, config(pool("a", source)))
        assert [end.tenant for end in held.pools[0].endpoints] == ["blue"]
        api.put(pod("a", "10.0.0.1", annotations={"llm/team": "red"}))
        held = await followed(discovery, clock)
        assert [end.tenant for end in held.pools[0].endpoints] == ["red"]


async def test_a_reload_keeps_the_sources_that_stay_and_ends_the_others(tmp_path: Path) -> None:
    clock, path = ManualClock(NOON), tmp_path / "b.json"
    put(path, "x")
    async with cluster() as api, Discovery(clock, KNOWN) as discovery:
        source = kubernetes(api, tmp_path)
        api.put(pod("0", "10.0.0.1"))
        await adopted(discovery, clock, config(pool("a", source), pool("b", files(path))))
        assert discovery.drain().keys() == {PODS, "pool/b/file_sd"}
        refused = config(pool("a", source), pool("c", files(path)))
        await flies(clock, asyncio.ensure_future(discovery.prepare(refused)).done, "prepared, and not adopted")
        assert targets(discovery.resolved(), 1) == ["x"]
        await adopted(discovery, clock, config(pool("a", source), gateways=[gateway("b", files(path))]))
        assert api.lists() == 1
        assert drained(discovery) == {"pool/b/file_sd": None, "gateway/b/file_sd": {"found": [["x:80", []]]}}
        assert discovery.gauges()["tokencost_discovery_targets"].keys() == {(PODS,), ("gateway/b/file_sd",)}


async def test_a_source_that_is_read_otherwise_goes_on_with_what_it_knew(tmp_path: Path) -> None:
    """Another path on the same servers, at a moment when the list cannot be had."""
    clock = ManualClock(NOON)
    async with cluster() as api, Discovery(clock, KNOWN) as discovery:
        api.put(pod("0", "10.0.0.1"))
        source = kubernetes(api, tmp_path)
        await adopted(discovery, clock, config(pool("a", source)))
        api.refuse["list"] = 500
        held = await adopted(discovery, clock, config(pool("a", {**source, "path": "/m"})))
        assert [end.url for end in held.pools[0].endpoints] == ["http://10.0.0.1:8000/m"]
        await flies(clock, lambda: discovery.gauges()["tokencost_discovery_up"][PODS,], "it is up")
        assert discovery.resolved() == held


async def test_failures_and_targets_that_somebody_else_has_are_booked_once(tmp_path: Path) -> None:
    clock, path = ManualClock(NOON), tmp_path / "a.json"
    put(path, "x", "169.254.169.254", "w")
    both = config(pool("a", files(path), urls=("http://w:80/metrics",)), pool("b", files(path), files(tmp_path / "no")))
    async with Discovery(clock, KNOWN) as discovery:
        await adopted(discovery, clock, both)
        discovery.resolved()
        counted = booked(discovery)
        assert counted.pop((f.DISCOVERY_FAILURES, ("pool/b/file_sd/2", "file"))) >= 1
        assert counted == {
            (f.DISCOVERY_FAILURES, ("pool/a/file_sd", "refused")): 1,
            (f.DISCOVERY_FAILURES, ("pool/b/file_sd", "refused")): 1,
            (f.DISCOVERY_FAILURES, ("pool/a/file_sd", "duplicate")): 1,
            (f.DISCOVERY_FAILURES, ("pool/b/file_sd", "duplicate")): 2,
        }
        assert not [labels for _, labels in booked(discovery) if labels[1] in ("refused", "duplicate")]
        assert discovery.gauges()["tokencost_discovery_up"]["pool/b/file_sd/2",] == 0.0


async def test_what_did_not_reach_the_disk_is_written_with_the_next_tick(tmp_path: Path) -> None:
    clock, path = ManualClock(NOON), tmp_path / "a.json"
    put(path, "x")
    saved: dict[str, State] = {"pool/gone/dns": {"found": []}}
    async with Discovery(clock, saved) as discovery:
        await adopted(discovery, clock, config(pool("a", files(path))))
        changes = {"pool/gone/dns": None, "pool/a/file_sd": {"found": [["x:80", []]]}}
        assert drained(discovery) == changes
        assert discovery.drain() == {}
        discovery.undrain(changes)
        assert drained(discovery) == changes
