"""Alerts about the exporter itself: they fire, and they are quiet while all is well, over restarts, without data."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.rules.groups import Options
from tests.rules.promtool import Case, Fires, check, check_quiet, firing, quiet, series
from tests.rules.test_lint import CATALOGUE

pytestmark = pytest.mark.peer

NOTHING = series("tokencost_gpus", "1x600", pool="chat")
VLLM = {"target": "http://vllm:8000/metrics", "pool": "chat", "engine": "vllm"}
HOUR = 60


def up(values: str, instance: str = "a:9742") -> dict[str, str]:
    return series("up", values, instance)


DOWN = (
    Case("for six minutes", up("1x10 0x60"), 17, (
        Fires("a:9742 does not answer: no alert about its costs and budgets can fire.", instance=True),)),
    Case("one of two", up("1x60") | up("0x60", "b:9742"), 6, (
        Fires("b:9742 does not answer: no alert about its costs and budgets can fire.", {"instance": "b:9742"}),)),
    Case("for three minutes", up("1x10 0x2 1x60"), HOUR),
    Case("it moves", up("1x10 0 stale") | up("_x12 1x60", "b:9742"), HOUR),
    Case("up", up("1x60"), HOUR),
    Case("no data", NOTHING, HOUR),
)  # fmt: skip

SAYS_NONE = "No target has the job that this rule looks for: nothing is known of costs, or --job has to be set."
NONE_AT_ALL = (Fires(SAYS_NONE, job=False),)
ABSENT = (
    Case("no data at all", {}, 12, NONE_AT_ALL),
    Case("another job", {'up{job="node", instance="a:9100"}': "1x60"}, 12, NONE_AT_ALL),
    Case("it was there an hour ago", up("1x60 stale"), 75, NONE_AT_ALL),
    Case("down is not absent", up("0x60"), 60),
    Case("gone for ten minutes", up("1x60 _x10 1x60"), 130),
)

AGO = "http://vllm:8000/metrics of pool chat was last read 14m 0s ago."
NEVER = "http://vllm:8000/metrics of pool chat has not been read yet."


def last_success(values: str) -> dict[str, str]:
    return series("tokencost_target_last_success_timestamp_seconds", values, **VLLM)


def reachable(values: str, **more: str) -> dict[str, str]:
    return series("tokencost_target_up", values, **{**VLLM, **more})


STALE = (
    Case("not read since minute 60", last_success("0+60x60 3600x60") | reachable("1x60 0x60"), 74, (
        Fires(AGO, VLLM),)),
    Case("one was read, another never",
         last_success("0+60x60") | reachable("1x60") | reachable("0x60", target="b"), 6, (
        Fires("b of pool chat has not been read yet.", {**VLLM, "target": "b"}),)),
    Case("never read", reachable("0x60", engine="auto"), 6, (Fires(NEVER, {**VLLM, "engine": "auto"}),)),
    Case("one page in two minutes", last_success("0x1 120x1 240x1 360x1 480x1 600x1"), 11),
    Case("it is started anew, and was read before", last_success("0+60x60 3600x5 4020+60x60") | reachable("1x120"),
         120),
    Case("the exporter restarts", last_success("0+60x60 _x3 3900+60x60") | reachable("1x60 _x2 0 1x60"), 120),
    Case("it leaves the config", last_success("0+60x60 stale") | reachable("1x60 stale"), 120),
    Case("no data", NOTHING, 120),
)  # fmt: skip

SOURCE = "pool/chat/kubernetes"
DISCOVERY = (
    Case("it is refused", series("tokencost_discovery_up", "1x10 0x60", source=SOURCE), 30, (
        Fires(f"{SOURCE} cannot be asked for its targets, or answers what cannot be read.", {"source": SOURCE}),)),
    Case("it is away for ten minutes", series("tokencost_discovery_up", "1x10 0x10 1x60", source=SOURCE), HOUR),
    Case("no source", NOTHING, HOUR),
)  # fmt: skip

RELOADS = (
    Case("a wrong config", series("tokencost_config_last_reload_successful", "1x10 0x60"), 20, (
        Fires("a:9742 could not load its config and goes on with the last good one.", instance=True),)),
    Case("wrong for a moment", series("tokencost_config_last_reload_successful", "1x10 0x2 1x60"), HOUR),
    Case("no data", NOTHING, HOUR),
)  # fmt: skip

SAVE_SAYS = (Fires("a:9742 cannot save its ledger, and counts on in memory.", instance=True),)
SAVES = (
    Case("the disk is full", series("tokencost_ledger_save_failures_total", "0x30 0+4x60"), 40, SAVE_SAYS),
    Case("nothing was saved for a quarter of an hour",
         series("tokencost_ledger_last_save_timestamp_seconds", "0+60x30 1800x60"), 46, SAVE_SAYS),
    Case("it worked again", series("tokencost_ledger_save_failures_total", "0x10 0+4x20 80x60"), 60, over=True),
    Case("the exporter restarts after failures", series("tokencost_ledger_save_failures_total", "80x30 0x60"), 90),
    Case("it keeps nothing", NOTHING, 90),
    Case("saved every minute", series("tokencost_ledger_last_save_timestamp_seconds", "0+60x90"), 90),
)  # fmt: skip

CATALOG = "tokencost_price_catalog_newest_price_timestamp_seconds"
PRICES = (
    Case("fifty days", series(CATALOG, f"{-50 * 86400}x120"), 90, (
        Fires("The newest price in the catalog of a:9742 is 50d 1h 30m 0s old.", instance=True),)),
    Case("forty days", series(CATALOG, f"{-40 * 86400}x120"), 120),
    Case("no catalog is used", NOTHING, 120),
)  # fmt: skip

CASES = {
    "ExporterDown": DOWN,
    "ExporterAbsent": ABSENT,
    "SourceStale": STALE,
    "DiscoveryFailed": DISCOVERY,
    "ConfigReloadFailed": RELOADS,
    "StateNotPersisted": SAVES,
    "PriceCatalogStale": PRICES,
}


@pytest.mark.parametrize(("alert", "case"), firing(CASES))
def test_it_fires(alert: str, case: Case, tmp_path: Path) -> None:
    check(alert, case, tmp_path)


@pytest.mark.parametrize("alert", [alert for alert in CASES if alert != "ExporterAbsent"])
def test_it_is_quiet(alert: str, tmp_path: Path) -> None:
    """While all is well, over restarts, and without data."""
    check_quiet(alert, quiet(CASES[alert]), tmp_path)


@pytest.mark.parametrize("case", quiet(ABSENT), ids=str)
def test_nothing_is_absent(case: Case, tmp_path: Path) -> None:
    check("ExporterAbsent", case, tmp_path)


def test_another_job_can_be_named(tmp_path: Path) -> None:
    check("ExporterAbsent", Case("it is there", {'up{job="costs"}': "1x60"}, 60), tmp_path, Options(job="costs"))


@pytest.mark.parametrize("alert", [alert for alert in CATALOGUE if alert != "ExporterAbsent"])
def test_no_alert_fires_where_there_is_no_data(alert: str, tmp_path: Path) -> None:
    check(alert, Case("an empty Prometheus", {}, 60), tmp_path)


def test_an_alert_that_is_not_quiet_is_found(tmp_path: Path) -> None:
    """Without this the quiet stories would prove nothing."""
    with pytest.raises(AssertionError, match="tokencost-1: for six minutes"):
        check_quiet("ExporterDown", [DOWN[-1], DOWN[0]], tmp_path)
