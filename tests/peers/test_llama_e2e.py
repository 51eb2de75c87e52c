"""The real exporter beside a real llama-server: its books equal the usage of the answers, to the token."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.peers.exporter import Exporter, Page, exporter
from tests.peers.install import Llama
from tests.peers.llama import Usage, llama_server, traffic
from tests.peers.waiting import eventually

CONFIG = """
scrape: {{interval: 500ms, timeout: 500ms}}
pools:
  - name: tiny
    engine: auto
    endpoints: [{{url: "{url}/metrics", model: tiny}}]
    gpus: {{count: 1}}
    usd_per_gpu_hour: 1.0
"""
CLASSES = ("input", "cache_read", "output")


def booked(page: Page) -> Usage:
    """The page's tokens by class, of that pool and model and of no one else."""
    mine = {"pool": "tiny", "model_name": "tiny", "tenant": "default"}
    found = [page.total("tokencost_tokens_total", **mine, token_type=kind) for kind in CLASSES]
    assert sum(found) == page.total("tokencost_tokens_total"), "tokens outside the pool, the model or the classes"
    return Usage(*(int(value) for value in found))


def assert_conserved(page: Page) -> None:
    """Law 1, on the page: what was paid is what was used, idle or pending."""
    cost = page.total("tokencost_cost_usd_total", pool="tiny")
    spend = page.total("tokencost_spend_usd_total", pool="tiny")
    idle = page.total("tokencost_idle_cost_usd_total", pool="tiny")
    pending = page.total("tokencost_pending_cost_usd", pool="tiny")
    assert spend + idle + pending == pytest.approx(cost, rel=1e-9)


async def books_equal(running: Exporter, usage: Usage) -> Page:
    """Wait until the tokens are all booked; the page on which they are."""

    async def look() -> tuple[Usage, Page]:
        page = await running.page()
        assert_conserved(page)
        return booked(page), page

    what = f"the books say {usage}"
    _, page = await eventually(look, what, until=lambda seen: seen[0] == usage, process=running.program)
    assert usage == Usage() or page.total("tokencost_spend_usd_total", pool="tiny") > 0
    return page


@pytest.mark.peer
@pytest.mark.parametrize(
    ("how", "exit_code"), [(signal.SIGTERM, 0), (signal.SIGKILL, -signal.SIGKILL)], ids=["SIGTERM", "SIGKILL"]
)
async def test_tokens_equal_usage_across_restarts_of_both(
    llama: Llama, tiny_model: Path, tmp_path: Path, how: signal.Signals, exit_code: int
) -> None:
    config, ledger = tmp_path / "tokencost.yml", tmp_path / "ledger.db"

    async with llama_server(llama, tiny_model, tmp_path / "llama-1.log") as server:
        config.write_text(CONFIG.format(url=server.url))
        await traffic(server.url)  # before anyone looked: a baseline (law 3), in no book

        async with exporter(config, ledger, tmp_path / "exporter-1.log") as first:
            await books_equal(first, Usage())
            usage = await traffic(server.url)
            before = await books_equal(first, usage)
            assert await first.program.end(how) == exit_code

        usage += await traffic(server.url)  # while the exporter is down: counted when it is back (law 5)

        async with exporter(config, ledger, tmp_path / "exporter-2.log") as second:
            assert (await second.page()).fell_from(before) == []
            before = await books_equal(second, usage)

            # The server ends and comes back with its counters at zero (law 4).
            await server.program.end()
            # Less than it served before, so that a counter is seen to have fallen even if no scrape sees the zero:
            # llama-server does not say when it started.
            async with llama_server(llama, tiny_model, tmp_path / "llama-2.log", port=server.port) as back:
                usage += await traffic(back.url, rounds=3)
                after = await books_equal(second, usage)
            assert after.fell_from(before) == []
