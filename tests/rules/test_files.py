"""The files in rules/ are those that the generator makes, and the programs that read them take them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter import cli
from exporter.rules.files import files
from exporter.rules.groups import Options, alert_groups, recording_groups
from exporter.rules.settings import TABLE, changed
from tests.conftest import require_peer

ROOT = Path(__file__).resolve().parents[2]
COMMITTED = sorted((ROOT / "rules").iterdir())
RULES = [path for path in COMMITTED if path.name.startswith("tokencost-")]


def accepts(program: str, *arguments: str | Path) -> str:
    """What the program says; AssertionError if it refuses."""
    require_peer(shutil.which(program), f"{program} (Debian: see .ci/packages): rules were NOT checked by it")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def generate(folder: Path, *flags: str) -> dict[str, Any]:
    """Run the command; its files as data."""
    assert cli.main(["generate", "rules", f"--out={folder}", *flags]) == 0
    return {path.name: yaml.safe_load(path.read_text()) for path in folder.iterdir()}


def alert(made: dict[str, Any], name: str) -> Any:
    groups = made["tokencost-alerts.yml"]["groups"]
    return next(rule for group in groups for rule in group["rules"] if rule["alert"] == f"Tokencost{name}")


def test_the_committed_files_are_up_to_date() -> None:
    assert {path.name: path.read_text() for path in COMMITTED} == files(Options()), "run `make rules`"


@pytest.mark.peer
def test_prometheus_takes_them() -> None:
    said = accepts("promtool", "check", "rules", "--lint=all", "--lint-fatal", *RULES)
    assert [int(count) for count in re.findall(r"(\d+) rules found", said)] == [
        sum(len(group["rules"]) for group in groups)
        for groups in (alert_groups(Options()), recording_groups(Options()))
    ]


@pytest.mark.peer
def test_alertmanager_takes_its_config() -> None:
    assert "4 inhibit rules" in accepts("amtool", "check-config", ROOT / "rules" / "alertmanager.yml")


@pytest.mark.peer
def test_victoriametrics_takes_them(tmp_path: Path) -> None:
    """Debian's vmalert is of 2022; keep_firing_for came with 1.92."""
    generate(tmp_path, "--set=*.keep_firing_for=0s")
    accepts("vmalert", "-dryRun", f"-rule={tmp_path}/tokencost-*.yml")


@pytest.mark.peer
@pytest.mark.parametrize(
    "flags",
    [
        ("--time-scale=0.01",),
        ("--by=cluster,namespace,job", "--job=llm-.*"),
        ("--set=Budget*.except=nightly|weekly-.*", "--set=TokencostIdleCostHigh.enabled=false"),
    ],
)
def test_what_is_made_with_flags_is_taken_too(flags: tuple[str, ...], tmp_path: Path) -> None:
    generate(tmp_path, *flags)
    accepts("promtool", "check", "rules", "--lint=all", "--lint-fatal", *sorted(tmp_path.glob("tokencost-*.yml")))
    accepts("amtool", "check-config", tmp_path / "alertmanager.yml")


def test_the_operator_gets_the_same_groups(tmp_path: Path) -> None:
    made = generate(tmp_path, "--target=prometheusrule")
    found = [group for name in sorted(made, reverse=True) for group in made[name]["spec"]["groups"]]
    assert found == [*recording_groups(Options()), *alert_groups(Options())]
    assert {(each["apiVersion"], each["kind"]) for each in made.values()} == {
        ("monitoring.coreos.com/v1", "PrometheusRule")
    }


def test_settings_change_the_rule_and_are_said_in_the_file(tmp_path: Path) -> None:
    made = generate(
        tmp_path,
        "--set=BudgetBurnRateFast.factor=10",
        "--set=BudgetBurnRateFast.severity=warning",
        "--set=TokencostBudgetBurnRateFast.for=5m",
        "--set=SourceStale.age=1h",
        "--set=IdleCostHigh.enabled=false",
    )
    fast = alert(made, "BudgetBurnRateFast")
    assert fast["expr"].count("> 10\n") == 2
    assert (fast["for"], fast["labels"]["severity"]) == ("5m", "warning")
    assert "> 3600" in alert(made, "SourceStale")["expr"]
    assert sum(len(group["rules"]) for group in made["tokencost-alerts.yml"]["groups"]) == len(TABLE) - 1
    head = [line for line in (tmp_path / "tokencost-alerts.yml").read_text().splitlines() if line.startswith("# --")]
    assert sorted(head) == [
        "# --set=BudgetBurnRateFast.factor=10",
        "# --set=BudgetBurnRateFast.for=5m",
        "# --set=BudgetBurnRateFast.severity=warning",
        "# --set=IdleCostHigh.enabled=false",
        "# --set=SourceStale.age=1h",
    ]


def test_every_threshold_is_in_its_rule() -> None:
    """A setting that changes nothing would be a trap."""
    for name, settings in TABLE.items():
        for key, threshold in settings.thresholds.items():
            new = {"number": "0.123456", "duration": "77m", "regex": "abc.*"}[threshold.kind]
            other = Options(table=changed(TABLE, [(f"{name}.{key}", new)]))
            assert files(other)["tokencost-alerts.yml"].count({"77m": "4620"}.get(new, new)) >= 1, f"{name}.{key}"


def test_addresses_are_those_that_are_given(tmp_path: Path) -> None:
    made = generate(tmp_path, "--runbook=https://wiki.example/tokencost", "--grafana=https://grafana.example/")
    annotations = alert(made, "ExporterAbsent")["annotations"]
    assert annotations["runbook_url"] == "https://wiki.example/tokencost#tokencostexporterabsent"
    assert annotations["dashboard_url"] == "https://grafana.example/d/tokencost-exporter"


def test_time_can_be_scaled(tmp_path: Path) -> None:
    """Ranges, subqueries, offsets, ages, waits and intervals; not the windows of burn rates, which are labels."""
    made = generate(tmp_path, "--time-scale=0.01")
    recorded = {
        rule["record"]: rule["expr"] for group in made["tokencost-recording.yml"]["groups"] for rule in group["rules"]
    }
    assert "[6048s:36s] offset 864s)" in recorded["tenant:tokencost_tokens:peak_rate1h_1w"]
    assert alert(made, "SourceStale")["expr"].count("> 3\n") == 1
    fast = alert(made, "BudgetBurnRateFast")
    assert (fast["for"], fast["keep_firing_for"]) == ("1200ms", "6s")
    assert 'window="1h"' in fast["expr"]


def test_a_slow_scrape_is_not_stale(tmp_path: Path) -> None:
    (tmp_path / "tokencost.yml").write_text(
        "scrape: {interval: 5m}\n"
        "pools: [{name: a, endpoints: [{url: 'http://a/metrics'}], gpus: {count: 1}, usd_per_gpu_hour: 1}]\n"
    )
    config = f"--config.file={tmp_path / 'tokencost.yml'}"
    assert "> 1200\n" in alert(generate(tmp_path / "fitted", config), "SourceStale")["expr"]
    made = generate(tmp_path / "set", config, "--set=SourceStale.age=30m")
    assert "> 1800\n" in alert(made, "SourceStale")["expr"]


@pytest.mark.parametrize(
    ("flag", "says"),
    [
        (
            "--set=BudgetBurnRateFats.factor=10",
            "--set: BudgetBurnRateFats.factor: there is no such alert; write one of: B",
        ),
        ("--set=BudgetBurnRateFast.factr=10", "there is no such setting; write one of: severity, for, keep_firing_for"),
        ("--set=BudgetBurnRateFast.factor=fast", "'fast' is not a number"),
        ("--set=BudgetBurnRateFast.factor=nan", "'nan' is not a number"),
        ("--set=BudgetBurnRateFast.factor=-1", "'-1' is not a number"),
        ("--set=BudgetBurnRateFast.factor", "'' is not a number"),
        ("--set=BudgetBurnRateFast.for=soon", "'soon' is not a duration"),
        ("--set=BudgetBurnRateFast.for=4000d", "'4000d' is not a duration"),
        ("--set=BudgetBurnRateFast.severity=page", "write one of: critical, warning, info"),
        ("--set=BudgetBurnRateFast.enabled=no", "write one of: true, false"),
        ('--set=BudgetBurnRateFast.except=a"} or vector(1)', "is not a regex"),
        ("--set=BudgetBurnRateFast.except=(", "'(' is not a regex"),
        ("--set=BudgetBurnRateFast.except=a*+", "'a*+' is not a regex"),
        ("--set=Exporter*.factor=1", "there is no such setting"),
        ("--set=", "there is no such alert"),
        ("--job=(", "--job: not a regular expression"),
        ('--job=a"', "--job: cannot stand in a rule"),
        ("--runbook=a\nb", "--runbook: cannot stand in a rule"),
        ("--by=cluster,", "not a label"),
        ("--time-scale=0", "--time-scale: out of range"),
        ("--time-scale=nan", "--time-scale: out of range"),
        ("--config.file=/nowhere.yml", "/nowhere.yml: cannot be read"),
        ("--out=/dev/null/rules", "cannot be written"),
    ],
)
def test_a_wrong_flag_is_one_line(flag: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["generate", "rules", f"--out={tmp_path / 'rules'}", flag]) == 1
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert says in said.err
    assert not (tmp_path / "rules").exists()


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = ("--set=Nothing.factor=1", "--set=BudgetExhausted.nothing=1", "--set=BudgetExhausted.for=x")
    assert cli.main(["generate", "rules", f"--out={tmp_path}", *wrong]) == 1
    assert capsys.readouterr().err.count("\n") == 3
