"""A ledger that cannot be written is said once and costs nothing but itself; one that is damaged is kept aside."""

from __future__ import annotations

import os
import resource
import signal
import sys
from pathlib import Path

import pytest

from tests.process.engines import LABEL, dice, serving, traffic, truth, vllm
from tests.process.exporter import config, exporter, pool, stop

FULL = 8192  # bytes: above the log file, below every file of a ledger
FAILURES = "tokencost_ledger_save_failures_total"
SAVED = "tokencost_ledger_last_save_timestamp_seconds"


@pytest.mark.skipif(sys.platform != "linux", reason="needs prlimit(2) to fill the disk of another process")
async def test_with_a_full_disk_it_serves_and_saves_when_there_is_room(tmp_path: Path) -> None:
    """No write of that process beyond FULL bytes of a file gets through, for root neither."""
    random, engine = dice(5), vllm()
    async with serving(engine) as url:
        chat = config(pool("chat", url, tenant_label=LABEL))
        async with exporter(tmp_path, chat) as running:
            traffic(engine, random)
            before = await running.page_with(truth(engine))
            limit, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.prlimit(running.program.process.pid, resource.RLIMIT_FSIZE, (FULL, hard))  # type: ignore[attr-defined,unused-ignore]
            full = await running.page_when(lambda page: page.total(FAILURES) >= 2, "a save fails, and the next")
            traffic(engine, random)
            later = await running.page_with(truth(engine))
            later = await running.page_when(lambda page: page.total(FAILURES) > later.total(FAILURES), "one more")
            assert (later.fell_from(before), later.fell_from(full)) == ([], [])
            assert later.total(SAVED) == full.total(SAVED)
            assert later.total("tokencost_target_up") == 1
            assert later.total("tokencost_target_scrapes_total") > full.total("tokencost_target_scrapes_total")
            assert (await running.get("/-/ready"))[0] == (await running.get("/-/healthy"))[0] == 200
            (warning,) = [event for event in running.events("warning") if event["logger"] == "exporter.app"]
            assert warning["msg"] == "cannot save the ledger: serving from memory, trying again"
            assert str(tmp_path / "ledger.db") in warning["error"]

            resource.prlimit(running.program.process.pid, resource.RLIMIT_FSIZE, (limit, hard))  # type: ignore[attr-defined,unused-ignore]
            saved = await running.page_when(lambda page: page.total(SAVED) > later.total(SAVED), "there is room again")
            assert "the ledger can be written again" in [event["msg"] for event in running.events()]
            await stop(running, signal.SIGKILL)
        async with exporter(tmp_path, chat) as running:
            assert (await running.page()).fell_from(saved) == []
            await running.page_with(truth(engine))


@pytest.mark.parametrize("how", ["overwritten", "cut short"])
async def test_a_damaged_ledger_is_set_aside_and_said(tmp_path: Path, how: str) -> None:
    engine = vllm()
    async with serving(engine) as url:
        chat = config(pool("chat", url, tenant_label=LABEL))
        async with exporter(tmp_path, chat) as running:
            await stop(running)
        ledger = tmp_path / "ledger.db"
        sound = ledger.read_bytes()
        damaged = b"no ledger " * 1000 if how == "overwritten" else sound[: len(sound) // 2]
        ledger.write_bytes(damaged)

        async with exporter(tmp_path, chat) as running:
            (error,) = running.events("error")
            (aside,) = (tmp_path / name for name in os.listdir(tmp_path) if name.startswith("ledger.db.damaged-"))
            assert aside.read_bytes() == damaged
            assert f"ledger {ledger} is damaged" in error["msg"]
            assert f"set aside as {aside}; counters start again from zero" in error["msg"]
            traffic(engine, dice(6))
            await running.page_with(truth(engine))
            await stop(running)
