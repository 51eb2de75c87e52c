"""Tables and settings to finished rule groups, as plain data: what every target's file is made of."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from string import Template
from typing import Any

from exporter.config.types import duration, format_duration
from exporter.rules.alerts import ALERTS
from exporter.rules.recording import RECORDING
from exporter.rules.rule import Alert, Group, Record
from exporter.rules.settings import TABLE, Settings, Table, Threshold, seconds

PREFIX = "Tokencost"
# A range, the range and step of a subquery, an offset. Nothing else in an expression is a duration.
_DURATIONS = re.compile(r"(?<=\[)\w+(?:(?=\])|:\w+(?=\]))|(?<=offset )\w+")
_MS = 1_000_000

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Options:
    """What a set of rules is made with.

    `by`: labels that every rule keeps, so that clusters and jobs stay apart. `job`: regular expression for the job of
    the exporters. `runbook`: address of runbooks.md. `grafana`: address of Grafana; empty: links relative to it.
    `time_scale` shortens or lengthens every duration but the windows of burn rates, which are the exporter's.
    """

    table: Table = field(default_factory=lambda: TABLE)
    by: tuple[str, ...] = ("cluster", "job")
    job: str = ".*tokencost.*"
    runbook: str = "docs/runbooks.md"
    grafana: str = ""
    time_scale: float = 1.0


def recording_groups(options: Options) -> list[Json]:
    """The recording rules."""
    return [_group(group, options) for group in RECORDING]


def alert_groups(options: Options) -> list[Json]:
    """The alerts that are enabled; a group without any is left out."""
    return [group for group in (_group(group, options) for group in ALERTS) if group["rules"]]


def _group(group: Group, options: Options) -> Json:
    interval = {"interval": _scaled(group.interval, options)} if group.interval else {}
    return {"name": group.name, **interval, "rules": list(_rules(group, options))}


def _rules(group: Group, options: Options) -> Iterator[Json]:
    for rule in group.rules:
        if isinstance(rule, Record):
            yield {"record": rule.name, "expr": _expression(rule.expr, {}, options)}
        elif (settings := options.table[rule.name]).enabled:
            yield _alert(rule, settings, options)


def _alert(alert: Alert, settings: Settings, options: Options) -> Json:
    keep = {} if settings.keep == "0s" else {"keep_firing_for": _scaled(settings.keep, options)}
    name = PREFIX + alert.name
    return {
        "alert": name,
        "expr": _expression(alert.expr, settings.thresholds, options),
        "for": _scaled(settings.wait, options),
        **keep,
        "labels": {"severity": settings.severity},
        "annotations": {
            "summary": alert.summary,
            "description": alert.description,
            "runbook_url": f"{options.runbook}#{name.lower()}",
            "dashboard_url": _dashboard(alert, options),
        },
    }


def _dashboard(alert: Alert, options: Options) -> str:
    address = f"{options.grafana}/d/{alert.dashboard}"
    if alert.labels is None:
        return address
    variables = (f"var-{label}={{{{ $labels.{label} | urlquery }}}}" for label in (*options.by, *alert.labels))
    return f"{address}?{'&'.join(variables)}"


def _expression(expr: str, thresholds: Mapping[str, Threshold], options: Options) -> str:
    values = {name: _in_promql(threshold, options) for name, threshold in thresholds.items()}
    scaled = _DURATIONS.sub(lambda found: ":".join(_scaled(part, options) for part in found[0].split(":")), expr)
    return Template(scaled).substitute(values, by=", ".join(options.by), job=options.job)


def _in_promql(threshold: Threshold, options: Options) -> str:
    """How a setting stands in an expression: durations as seconds, a regex as one more matcher, if there is one."""
    match threshold.kind:
        case "duration":
            return f"{seconds(threshold.value) * options.time_scale:.15g}"
        case "regex":
            return f', budget!~"{threshold.value}"' if threshold.value else ""
    return threshold.value


def _scaled(text: str, options: Options) -> str:
    if options.time_scale == 1 or text == "0s":
        return text
    milliseconds = round(duration(text) * options.time_scale / _MS)
    return format_duration(max(1, milliseconds) * _MS)
