"""promtool's unit tests of rules, written from Python: a story of series, and what an alert does in it.

Only the rules that the alert needs are loaded, so that a story of nine days is evaluated in seconds.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest
import yaml

from exporter.rules.groups import Options, alert_groups, recording_groups
from tests.conftest import require_peer

Json = dict[str, Any]
Series = Mapping[str, str]  # selector -> values, as promtool writes them: one a minute

TARGET = {"job": "tokencost", "instance": "a:9742"}
DAY = 24 * 60  # minutes


def series(name: str, values: str, instance: str = "a:9742", **labels: str) -> dict[str, str]:
    """One series of the exporter."""
    pairs = {**TARGET, "instance": instance, **labels}
    return {f"{name}{{{', '.join(f'{key}={json.dumps(value)}' for key, value in pairs.items())}}}": values}


@dataclass(frozen=True, slots=True)
class Fires:
    """An alert that is expected, with its description; labels beside those of its target."""

    says: str
    labels: Mapping[str, str] = field(default_factory=dict)
    instance: bool = False  # its result keeps the instance
    job: bool = True


@dataclass(frozen=True, slots=True)
class Case:
    """A story. At minute `at` the alert fires as `fires` says; without any it has never fired up to then, or, if
    `over`, it no longer does."""

    name: str
    series: Series
    at: int
    fires: tuple[Fires, ...] = ()
    over: bool = False

    def __str__(self) -> str:
        return self.name


def check(alert: str, case: Case, folder: Path, options: Options | None = None) -> None:
    """Run one case with promtool; AssertionError with what it says."""
    groups = _groups(alert, case.at, options or Options())
    rule = groups[-1]["rules"][-1]
    test: Json = {"name": case.name, "interval": "1m", "input_series": _inputs(case.series)}
    if case.fires or case.over:
        expected = [_expected(rule, fires) for fires in case.fires]
        test["alert_rule_test"] = [{"eval_time": f"{case.at}m", "alertname": rule["alert"], "exp_alerts": expected}]
    else:
        test["promql_expr_test"] = [_never(rule["alert"], TARGET["job"], case.at)]
    run(groups, [test], folder)


def check_quiet(alert: str, cases: Sequence[Case], folder: Path, options: Options | None = None) -> None:
    """Run all of these stories at once, each as a job of its own: the rules keep jobs apart. None may ever fire."""
    end = max(case.at for case in cases)
    groups = _groups(alert, end, options or Options())
    name = groups[-1]["rules"][-1]["alert"]
    stories: dict[str, str] = {}
    for number, case in enumerate(cases):
        job = f'job="{_job(number)}"'
        stories |= {key.replace(f'job="{TARGET["job"]}"', job): values for key, values in case.series.items()}
    never = [_never(name, _job(number), case.at) for number, case in enumerate(cases)]
    test: Json = {"name": name, "interval": "1m", "input_series": _inputs(stories), "promql_expr_test": never}
    try:
        run(groups, [test], folder)
    except AssertionError as error:
        legend = "\n".join(f"{_job(number)}: {case.name}" for number, case in enumerate(cases))
        raise AssertionError(f"{error}\n{legend}") from error


def _job(number: int) -> str:
    return f"{TARGET['job']}-{number}"


def _never(alert: str, job: str, until: int) -> Json:
    """The expression is empty where the alert has not fired up to that minute."""
    fired = f'max_over_time(ALERTS{{alertname="{alert}", alertstate="firing", job="{job}"}}[{until}m])'
    return {"expr": fired, "eval_time": f"{until}m"}


def _groups(alert: str, until: int, options: Options) -> list[Json]:
    """The rules of an alert, itself the last. Stories of days are evaluated less often: there is no other way to have
    them in seconds."""
    groups = needed([*recording_groups(options), *alert_groups(options)], f"Tokencost{alert}")
    return [{**group, "interval": "4m"} for group in groups] if until > 2 * DAY else groups


def run(groups: list[Json], tests: list[Json], folder: Path) -> None:
    """Run tests on rule groups, each group after those that it reads: promtool's own order is a random one."""
    require_peer(shutil.which("promtool"), "promtool (Debian: apt-get install prometheus): rules were NOT run")
    (folder / "rules.yml").write_text(yaml.safe_dump({"groups": groups}))
    order = [group["name"] for group in groups]
    content = {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "group_eval_order": order, "tests": tests}
    (folder / "test.yml").write_text(yaml.safe_dump(content, width=10_000))
    done = subprocess.run(
        ["promtool", "test", "rules", "test.yml"], cwd=folder, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr


def needed(groups: list[Json], *names: str) -> list[Json]:
    """These rules and those that they need, in their groups and order."""
    every = {rule.get("alert", rule.get("record")): rule for group in groups for rule in group["rules"]}
    wanted, found = set(names), set()
    while wanted:
        found.add(current := wanted.pop())
        words = set(re.findall(r"\w+:\w+:\w+", every[current]["expr"]))
        wanted |= words - found
    kept = []
    for group in groups:
        rules = [rule for rule in group["rules"] if rule.get("alert", rule.get("record")) in found]
        if rules:
            kept.append({**group, "rules": rules})
    return kept


def _inputs(all_series: Series) -> list[Json]:
    return [{"series": selector, "values": values} for selector, values in all_series.items()]


def _expected(rule: Json, fires: Fires) -> Json:
    labels = dict(fires.labels)
    if fires.job:
        labels["job"] = TARGET["job"]
    if fires.instance:
        labels["instance"] = labels.get("instance", TARGET["instance"])
    annotations = {**rule["annotations"], "description": fires.says}
    annotations["dashboard_url"] = re.sub(
        r"\{\{ \$labels\.(\w+) \| urlquery \}\}",
        lambda found: quote_plus(labels.get(found[1], "")),
        annotations["dashboard_url"],
    )
    return {"exp_labels": {**labels, **rule["labels"]}, "exp_annotations": annotations}


def merged(*parts: Iterable[tuple[str, str]] | Series) -> dict[str, str]:
    """Several series as one mapping."""
    found: dict[str, str] = {}
    for part in parts:
        found |= dict(part)
    return found


def counter(*parts: tuple[int, float] | None, start: float = 0) -> str:
    """A counter's values: for so many minutes it grows by so much a minute; None: it is reset to 0."""
    value, words = start, []
    for part in parts:
        if part is None:
            value = 0
        else:
            length, step = part
            words.append(f"{value:.12g}+{step:.12g}x{length - 1}")
            value += step * length
    return " ".join(words)


def firing(cases: Mapping[str, Sequence[Case]]) -> list[Any]:
    """The stories in which an alert fires, or has fired: parameters of a test."""
    return [
        pytest.param(alert, case, id=f"{alert}: {case}")
        for alert, stories in cases.items()
        for case in stories
        if case.fires or case.over
    ]


def quiet(cases: Sequence[Case]) -> list[Case]:
    """The stories in which it never does."""
    return [case for case in cases if not case.fires and not case.over]
