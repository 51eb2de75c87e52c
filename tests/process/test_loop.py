"""The real process says how long its loop is held."""

from __future__ import annotations

from pathlib import Path

from tests.process.engines import serving, vllm
from tests.process.exporter import config, exporter, pool


async def test_the_page_has_the_loops_histogram(tmp_path: Path) -> None:
    async with serving(vllm()) as url, exporter(tmp_path, config(pool("chat", url))) as running:
        page = await running.page_when(
            lambda page: page.total("tokencost_event_loop_lag_seconds_count") > 3, "turns are counted"
        )
        turns = page.total("tokencost_event_loop_lag_seconds_count")
        assert page.total("tokencost_event_loop_lag_seconds_bucket", le="+Inf") == turns
        assert page.total("tokencost_event_loop_lag_seconds_sum") > 0
