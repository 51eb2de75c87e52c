"""A config and what was found become the config that holds: every target once, GPUs by what is listed."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from exporter.config.gpus import StaticGpus
from exporter.config.schema import Config, FoundEndpoint
from exporter.discovery.resolve import Clash, Listed, of_config, resolve
from tests.discovery.given import FILES, config, gateway, pool


def end(host: str) -> FoundEndpoint:
    return FoundEndpoint(url=f"http://{host}:8000/metrics")


def ends(*hosts: str) -> list[FoundEndpoint]:
    return [end(host) for host in hosts]


def target(host: str) -> str:
    return f"http://{host}:8000/metrics"


def hosts(config: Config, owner: int = 0) -> list[str]:
    lists = [*(pool.endpoints for pool in config.pools), *(edge.endpoints for edge in config.gateways)]
    return [end.url.removeprefix("http://").partition(":")[0] for end in lists[owner]]


def count(config: Config, owner: int = 0) -> Decimal:
    gpus = config.pools[owner].gpus
    assert isinstance(gpus, StaticGpus)
    return gpus.count


def test_sources_are_named_by_owner_kind_and_number() -> None:
    http_sd = {"http_sd": {"url": "http://sd/targets"}}
    found = of_config(config(pool("a", FILES, http_sd, FILES), gateways=[gateway("a", FILES)]))
    assert list(found) == ["pool/a/file_sd", "pool/a/http_sd", "pool/a/file_sd/2", "gateway/a/file_sd"]


def test_what_is_written_stands_first_then_what_is_listed_then_what_lingers() -> None:
    given = config(pool("a", FILES, FILES, urls=(target("w"),)))
    found = {"pool/a/file_sd": Listed(ends("b"), ends("z")), "pool/a/file_sd/2": Listed(ends("c"), ends("y"))}
    resolved, clashes = resolve(given, found)
    assert hosts(resolved) == ["w", "b", "z", "c", "y"]
    assert clashes == ()
    assert hosts(given) == ["w"]


def test_gpus_are_those_of_servers_that_are_written_or_listed() -> None:
    given = config(
        pool("a", FILES, urls=(target("w"),)), pool("b", FILES, gpus={"count": Decimal(3)}), pool("c", FILES)
    )
    found = {name: Listed(ends(f"{name[5]}1", f"{name[5]}2"), ends(f"{name[5]}3")) for name in of_config(given)}
    resolved, _ = resolve(given, found)
    assert [count(resolved, owner) for owner in range(3)] == [6, 3, 4]
    nothing, _ = resolve(given, {})
    assert [count(nothing, owner) for owner in range(3)] == [2, 3, 0]


def test_a_target_is_read_once_and_whoever_wanted_it_too_is_told() -> None:
    dcgm: dict[str, Any] = {"source": "dcgm", "url": target("dcgm")}
    given = config(
        pool("a", FILES, urls=(target("w"),)), pool("b", FILES), pool("g", FILES, gpus=dcgm),
        gateways=[gateway("edge", FILES)],
    )  # fmt: skip
    found = {
        "pool/a/file_sd": Listed(ends("x", "dcgm")),
        "pool/b/file_sd": Listed(ends("x", "w", "y")),
        "gateway/edge/file_sd": Listed(ends("y", "e")),
    }
    resolved, clashes = resolve(given, found)
    assert [hosts(resolved, owner) for owner in (0, 1, 3)] == [["w", "x"], ["y"], ["e"]]
    assert clashes == (
        Clash("pool/a/file_sd", target("dcgm"), "the GPUs of pool/g"),
        Clash("pool/b/file_sd", target("x"), "pool/a/file_sd"),
        Clash("pool/b/file_sd", target("w"), "pool/a"),
        Clash("gateway/edge/file_sd", target("y"), "pool/b/file_sd"),
    )
    assert count(resolved, 1) == 2  # one of its own: the other two are paid for elsewhere


def test_one_that_moved_to_another_source_is_that_ones_at_once() -> None:
    given = config(pool("a", FILES), pool("b", FILES))
    resolved, clashes = resolve(given, {"pool/a/file_sd": Listed([], ends("x")), "pool/b/file_sd": Listed(ends("x"))})
    assert [hosts(resolved, owner) for owner in (0, 1)] == [[], ["x"]]
    assert clashes == ()


CUT = st.tuples(st.permutations("abcdef"), st.integers(0, 6), st.integers(0, 6))
LISTED = CUT.map(lambda cut: Listed(ends(*cut[0][: min(cut[1:])]), ends(*cut[0][min(cut[1:]) : max(cut[1:])])))


@given(st.fixed_dictionaries(dict.fromkeys(("pool/a/file_sd", "pool/b/file_sd", "gateway/e/file_sd"), LISTED)))
def test_no_target_twice_and_none_lost(found: dict[str, Listed]) -> None:
    written = config(pool("a", FILES, urls=(target("a"),)), pool("b", FILES), gateways=[gateway("e", FILES)])
    resolved, _ = resolve(written, found)
    read = [host for owner in range(3) for host in hosts(resolved, owner)]
    every = {"a"} | {one.url[7] for of in found.values() for one in (*of.listed, *of.lingering)}
    assert sorted(read) == sorted(every)
    assert resolve(written, found) == resolve(written, found)
