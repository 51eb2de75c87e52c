"""The real process pushes what its page says, tick for tick, across restarts and reloads, and is held up by no one."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

from tests.peers.exporter import Page
from tests.process.engines import LABEL, dice, serving, traffic, truth, vllm
from tests.process.exporter import Running, assert_closed, config, exporter, once, pool, stop
from tests.process.test_reload import LIFECYCLE, reload
from tests.publish.collector import Collector, Push, collecting, number, rejects, says, silent

SAVED, COST = "tokencost_ledger_last_save_timestamp_seconds", "tokencost_cost_usd_total"
PUSHES, FAILURES = "tokencost_otlp_pushes_total", "tokencost_otlp_push_failures_total"
OF_THE_PROCESS = "tokencost_event_loop_lag_seconds"  # as process_* is: scraped, and pushed by nobody
SERIES = frozenset[tuple[str, str]]


def pushing(collector: Collector, url: str, **more: object) -> dict[str, Any]:
    """A config that pushes there twice a second."""
    otlp = {"endpoint": collector.url, "interval": "500ms", "timeout": "500ms", **more}
    return config(pool("chat", url, tenant_label=LABEL), otlp=otlp)


def as_page(push: Push) -> Page:
    """A push, as if it had been scraped."""
    samples = {series: float(number(point)) for series, point in push.points.items()}
    return Page(samples, frozenset(name for name, _ in samples if name.endswith("_total")))


def identity(push: Push) -> tuple[set[int], str]:
    """When its counters began, and whose they are."""
    starts = {point.start_time_unix_nano for (name, _), point in push.points.items() if name.endswith("_total")}
    return starts, push.resource["service.instance.id"]


async def pushed(collector: Collector, count: int, running: Running) -> None:
    """Wait for so many pushes."""

    async def arrived() -> bool:
        return len(collector.pushes) >= count

    await once(f"{count} pushes", arrived, running)


async def test_what_is_pushed_is_what_the_page_says_of_the_same_tick(tmp_path: Path) -> None:
    engine, random = vllm(), dice(1)
    pages: dict[float, Page] = {}
    async with serving(engine) as url, collecting() as collector:
        async with exporter(tmp_path, pushing(collector, url)) as running:

            async def both() -> bool:
                page = await running.page()
                pages[page.total(SAVED)] = page
                traffic(engine, random, requests=1)
                seen = [push for push in collector.pushes if as_page(push).total(SAVED) in pages]
                return len(seen) >= 3

            await once("three ticks were seen both ways", both, running)
            assert running.events("warning") == running.events("error") == []
            await stop(running)
        for push in collector.pushes:
            found = as_page(push)
            if page := pages.get(found.total(SAVED)):
                ours = {series: value for series, value in page.samples.items() if series[0].startswith("tokencost_")}
                ours = {series: value for series, value in ours.items() if not series[0].startswith(OF_THE_PROCESS)}
                assert found.samples == ours
                (tick,) = push.times
                assert abs(tick - found.total(SAVED) * 1e9) < 1000, "when it was saved, but for a float's rounding"


async def test_a_restart_goes_on_with_the_same_series(tmp_path: Path) -> None:
    """Same start, same instance, no counter lower; and the last push is of the last tick that was saved."""
    engine, random = vllm(), dice(2)
    async with serving(engine) as url, collecting() as collector:
        slow = pushing(collector, url, interval="1h")  # so that the only push is that of the end
        for life, end in ((1, signal.SIGTERM), (2, signal.SIGINT)):
            async with exporter(tmp_path, slow) as running:
                traffic(engine, random)
                page = await running.page_with(truth(engine))
                await stop(running, end)
            assert len(collector.pushes) == life
            last = as_page(collector.pushes[-1])
            assert last.fell_from(page) == []
            assert_closed(last)
        first, second = collector.pushes
        assert identity(first) == identity(second)
        (start,), instance = identity(first)
        assert 0 < start <= min(first.times)
        assert as_page(second).fell_from(as_page(first)) == []
        assert as_page(second).total(PUSHES) == 0, "the last push of a life is in no book"

        (tmp_path / "ledger.db").unlink()
        async with exporter(tmp_path, slow) as running:
            await stop(running)
        (restart,), other = identity(collector.pushes[-1])
        assert other != instance, "other books, other series"
        assert restart >= start


async def test_a_reload_turns_it_on_elsewhere_and_off(tmp_path: Path) -> None:
    async with serving(vllm()) as url, collecting() as first, collecting() as second:
        quiet = config(pool("chat", url, tenant_label=LABEL))
        async with exporter(tmp_path, quiet, LIFECYCLE) as running:
            assert (PUSHES, frozenset()) not in (await running.page()).samples

            await reload(running, tmp_path, pushing(first, url), "POST")
            await pushed(first, 2, running)
            await running.page_when(lambda page: page.total(PUSHES) >= 2, "they are counted")

            await reload(running, tmp_path, pushing(first, url, headers={"a": "b"}), "SIGHUP", refused="otlp.headers")
            await pushed(first, len(first.pushes) + 2, running)

            await reload(running, tmp_path, pushing(second, url), "SIGHUP")
            await pushed(second, 1, running)
            at_first = len(first.pushes)
            await pushed(second, 3, running)
            assert len(first.pushes) == at_first

            await reload(running, tmp_path, quiet, "POST")
            at_second = len(second.pushes)
            saved = (await running.page()).total(SAVED)
            page = await running.page_when(lambda page: page.total(SAVED) > saved + 1.5, "time passes")
            await stop(running)
            assert len(second.pushes) <= at_second + 1  # one may have been under way
            assert page.total(PUSHES) > 2
            assert page.total(FAILURES) == 0


async def test_a_receiver_that_never_answers_holds_up_neither_ticks_nor_the_end(tmp_path: Path) -> None:
    async with serving(vllm()) as url, collecting(*[silent()] * 1000) as collector:
        async with exporter(tmp_path, pushing(collector, url), LIFECYCLE) as running:
            page = await running.page_when(lambda page: page.total(FAILURES, reason="timeout") >= 2, "it is counted")
            assert page.total(PUSHES) == page.total(FAILURES)
            saved = page.total(SAVED)
            await running.page_when(lambda page: page.total(SAVED) >= saved + 2, "ticks go on")
            patient = pushing(collector, url, interval="1h", timeout="1h")
            await reload(running, tmp_path, patient, "POST")
            async with asyncio.timeout(20):  # 2 s and what a busy machine needs
                await stop(running)
        said = [event["msg"] for event in running.events("warning")]
        assert len(said) == 2, "once that it fails, once at the end"
        assert "fails, timeout: " in said[0]
        assert "was not pushed within 2 s" in said[1]
        assert running.events("error") == []


async def test_no_secret_is_shown(tmp_path: Path) -> None:
    """By a receiver that sends back what it got, and by files that are not as they should be."""
    for name, text in {"token": "s3cret-token", "headers": "Api-Key: s3cret-key", "broken": "s3cret broken"}.items():
        (tmp_path / name).write_text(f"{text}\n")
    echo = says(401, b"s3cret-token s3cret-key", after="s3cret-key", X="s3cret-token")
    answers = [rejects(1, "s3cret-token"), *[echo] * 2, says(302, Location="http://s3cret-token@127.0.0.1/s3cret-key")]
    async with serving(vllm()) as url, collecting(*answers) as collector:
        collector.url += "?key=s3cret-query"
        secrets = {"bearer_token_file": str(tmp_path / "token"), "headers_file": str(tmp_path / "headers")}
        flags = ("--log.level=debug", LIFECYCLE)
        async with exporter(tmp_path, pushing(collector, url, **secrets), *flags) as running:
            await pushed(collector, 6, running)
            broken = secrets | {"headers_file": str(tmp_path / "broken")}
            await reload(running, tmp_path, pushing(collector, url, **broken), "POST")
            await running.page_when(lambda page: page.total(FAILURES, reason="credentials") > 0, "the file is broken")
            shown = [(await running.get(path))[1] for path in ("/", "/metrics", "/api/v1/snapshot")]
            await stop(running)
            shown += [running.program.output(), (tmp_path / "ledger.db").read_bytes().decode(errors="replace")]
    assert {push.headers["authorization"] for push in collector.pushes} == {"Bearer s3cret-token"}
    assert {push.headers["api-key"] for push in collector.pushes} == {"s3cret-key"}
    assert "rejected" in shown[3]
    for text in shown:
        assert "s3cret" not in text
