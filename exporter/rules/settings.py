"""THE table of what can be set of an alert: severity, waiting time, thresholds. `generate --set` changes it.

Every alert has `severity`, `for`, `keep_firing_for` (0s: none) and `enabled`; the thresholds are its own.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from pydantic_core import PydanticCustomError

from exporter.config.types import SECOND, duration
from exporter.errors import ConfigError, Problem
from exporter.rules.windows import pairs

COMMON = ("severity", "for", "keep_firing_for", "enabled")
SEVERITIES = ("critical", "warning", "info")  # a page, a ticket, a line on a dashboard
Kind = Literal["number", "duration", "regex"]
LARGEST = 1e15
# What a regular expression for names may hold: what Python and RE2 read alike, and no quotes.
REGEX_PATTERN = r"(?!.*[*+?]\+)[\w.*+?|()-]*"


@dataclass(frozen=True, slots=True)
class Threshold:
    """One number, duration or regular expression of an alert, and what it is."""

    value: str
    meaning: str
    kind: Kind = "number"


@dataclass(frozen=True, slots=True)
class Settings:
    """What can be set of one alert. Durations as PromQL writes them; keys of `thresholds` stand as $key in its rule."""

    severity: str
    wait: str
    keep: str = "0s"
    thresholds: Mapping[str, Threshold] = field(default_factory=dict)
    enabled: bool = True


Table: TypeAlias = Mapping[str, Settings]


def _number(value: float, meaning: str) -> Threshold:
    return Threshold(f"{value:g}", meaning)


def _age(value: str, meaning: str) -> Threshold:
    return Threshold(value, meaning, "duration")


def _burn(alert: str) -> dict[str, Threshold]:
    factors = {p.setting: _number(p.factor, f"burn rate over {p.long} and over {p.short}") for p in pairs(alert)}
    return {**factors, "shortest_period": _age("6d", "budgets with a shorter period have no burn alerts"), **_EXCEPT}


_EXAMPLES: Mapping[Kind, str] = {
    "number": f"write a number from 0 to {LARGEST:g}",
    "duration": "write a whole number and its unit, such as 90s, 5m, 1h, 7d, or 0s",
    "regex": "write one for names, such as nightly|weekly-.*",
}
_EXCEPT = {"except": Threshold("", "budgets without this alert: those that batch jobs spend in bursts", "regex")}
_USD_FLOOR = "USD an hour below which it is not worth an alert"
_TOKEN_FLOOR = "tokens an hour below which a ratio says nothing"  # noqa: S105 - not a password

TABLE: Table = {
    "BudgetBurnRateFast": Settings("critical", "2m", "10m", _burn("BudgetBurnRateFast")),
    "BudgetBurnRateSlow": Settings("warning", "15m", "30m", _burn("BudgetBurnRateSlow")),
    "BudgetForecastExceeded": Settings(
        "warning", "6h", "1h",
        {"ratio": _number(1.1, "forecast over limit; on plan it is 0.92 to 1.08 in office hours"), **_EXCEPT},
    ),
    "BudgetNearlyExhausted": Settings(
        "warning", "5m", "0s",
        {
            "consumed": _number(0.9, "part of the limit that is spent"),
            "elapsed": _number(0.85, "part of the period; what is spent later was planned"),
            **_EXCEPT,
        },
    ),
    "BudgetExhausted": Settings("critical", "5m", "0s", {"consumed": _number(1, "part of the limit that is spent")}),
    "BudgetDataMissing": Settings("warning", "15m"),
    "SpendAnomaly": Settings(
        "warning", "15m", "15m",
        {
            "ratio": _number(2, "spend over what is usual at this hour"),
            "usd_per_hour": _number(10, "USD an hour above what is usual"),
        },
    ),
    "TokenRateSpike": Settings(
        "warning", "10m", "30m",
        {
            "ratio": _number(3, "tokens per second over the busiest hour of the tenant's week"),
            "tokens_per_second": _number(50, "tokens per second below which it is not worth an alert"),
        },
    ),
    "CostPerTokenHigh": Settings(
        "warning", "1h", "30m",
        {
            "ratio": _number(1.5, "cost per token over its median of a week"),
            "tokens_per_hour": _number(1e5, _TOKEN_FLOOR),
        },
    ),
    "IdleCostHigh": Settings(
        "info", "2h", "30m",
        {"share": _number(0.5, "part of the cost that no one used"), "usd_per_hour": _number(5, _USD_FLOOR)},
    ),
    "UnattributedCostHigh": Settings(
        "warning", "30m", "15m",
        {"share": _number(0.1, "part of the spend without a tenant"), "usd_per_hour": _number(1, _USD_FLOOR)},
    ),
    "UnpricedUsage": Settings("warning", "15m", "15m"),
    "TenantOverflow": Settings("warning", "15m", "1h"),
    "CacheHitDrop": Settings(
        "warning", "30m", "30m",
        {
            "ratio": _number(0.5, "cache hit ratio over its median of a week"),
            "usual": _number(0.2, "median below which there is nothing to lose"),
            "tokens_per_hour": _number(1e5, _TOKEN_FLOOR),
        },
    ),
    "QueueGrowing": Settings(
        "warning", "15m", "10m", {"requests": _number(10, "more requests waiting than 20 minutes before")}
    ),
    "EngineGatewayGap": Settings(
        "warning", "1h", "30m",
        {
            "share": _number(0.1, "part of the engines' tokens that is missing, or too much, at the gateways"),
            "tokens_per_hour": _number(1e5, _TOKEN_FLOOR),
        },
    ),
    "ExporterDown": Settings("critical", "5m"),
    "ExporterAbsent": Settings("critical", "10m"),
    "SourceStale": Settings("warning", "5m", "0s", {"age": _age("5m", "time since the last good scrape")}),
    "DiscoveryFailed": Settings("warning", "15m"),
    "ConfigReloadFailed": Settings("warning", "5m"),
    "StateNotPersisted": Settings("warning", "5m", "5m", {"age": _age("10m", "time since the last save")}),
    "PriceCatalogStale": Settings("info", "1h", "0s", {"age": _age("45d", "age of the newest price in the catalog")}),
}  # fmt: skip


def changed(table: Table, changes: Iterable[tuple[str, str]]) -> Table:
    """The table with these changes, each (`Alert.setting`, value); `*` in the alert is every one that has the setting.
    ConfigError with every change that makes no sense."""
    problems = []
    result = dict(table)
    for path, value in changes:
        pattern, _, name = path.removeprefix("Tokencost").partition(".")
        alerts = fnmatch.filter(result, pattern)
        having = [alert for alert in alerts if name in (*COMMON, *result[alert].thresholds)]
        if not alerts:
            problems.append(Problem("--set", path, "there is no such alert", f"write one of: {', '.join(result)}"))
        elif not having:
            known = dict.fromkeys((*COMMON, *(key for alert in alerts for key in result[alert].thresholds)))
            problems.append(Problem("--set", path, "there is no such setting", f"write one of: {', '.join(known)}"))
        for alert in having:
            try:
                result[alert] = _with(result[alert], name, value)
            except _BadError as bad:
                problems.append(Problem("--set", path, *bad.args))
                break
    if problems:
        raise ConfigError(tuple(problems))
    return result


class _BadError(Exception):
    """What is wrong with a value, and what would be right."""


def _with(settings: Settings, name: str, value: str) -> Settings:
    match name:
        case "severity":
            return replace(settings, severity=_one_of(SEVERITIES, value))
        case "for":
            return replace(settings, wait=_checked("duration", value))
        case "keep_firing_for":
            return replace(settings, keep=_checked("duration", value))
        case "enabled":
            return replace(settings, enabled=_one_of(("true", "false"), value) == "true")
    threshold = settings.thresholds[name]
    new = replace(threshold, value=_checked(threshold.kind, value))
    return replace(settings, thresholds={**settings.thresholds, name: new})


def _one_of(known: tuple[str, ...], value: str) -> str:
    if value not in known:
        raise _BadError(f"{value!r} is not one of them", f"write one of: {', '.join(known)}")
    return value


def _checked(kind: Kind, value: str) -> str:
    """The value as the table keeps it."""
    try:
        if kind == "duration":
            seconds(value)
            return value
        if kind == "number" and 0 <= (number := float(value)) <= LARGEST:
            return f"{number:.15g}"
        if kind == "regex" and re.fullmatch(REGEX_PATTERN, value, re.ASCII):
            re.compile(value)
            return value
    except (PydanticCustomError, ValueError, re.error, RecursionError, OverflowError):
        pass
    raise _BadError(f"{value!r} is not a {kind}", _EXAMPLES[kind])


def seconds(value: str) -> float:
    """A duration of the table in seconds. PydanticCustomError where it is none."""
    return 0.0 if value == "0s" else duration(value) / SECOND
