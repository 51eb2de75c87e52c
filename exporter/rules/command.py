"""`tokencost-exporter generate rules`: its flags, and what they make."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from exporter.config.load import load
from exporter.config.schema import Config
from exporter.config.types import LABEL_PATTERN, SECOND, format_duration
from exporter.errors import ConfigError, Problem
from exporter.rules.files import TARGETS, files, write
from exporter.rules.groups import Options
from exporter.rules.settings import TABLE, changed, seconds

# In double quotes in PromQL and in YAML, and read alike by RE2: no quotes, backslashes or control characters.
_PLAIN = re.compile(r'[^"\\\x00-\x1f\x7f]*')


def flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags. Their defaults make the files in rules/."""
    flag = parser.add_argument
    default = Options()
    flag("--config.file", dest="config_file", type=Path, metavar="FILE", help="fit what depends on it, such as ages")
    flag("--out", type=Path, required=True, metavar="DIR", help="where the files go")
    flag("--target", choices=TARGETS, default=TARGETS[0], help="prometheusrule: objects for the Prometheus Operator")
    flag("--set", dest="changes", action="append", default=[], metavar="ALERT.SETTING=VALUE", help="see docs/rules.md")
    flag("--by", default=",".join(default.by), metavar="LABELS", help="labels that every rule keeps (%(default)s)")
    flag("--job", default=default.job, metavar="REGEX", help="the exporters' job in Prometheus (%(default)s)")
    flag("--runbook", default=default.runbook, metavar="URL", help="where docs/runbooks.md is to be read")
    flag("--grafana", default=default.grafana, metavar="URL", help="where the dashboards are")
    flag("--time-scale", type=float, default=1.0, metavar="FACTOR", help="all durations times this: for tests")


def run(args: argparse.Namespace) -> Iterator[Path]:
    """Write the files; the paths, as they are written. ConfigError with everything that is wrong."""
    options = _options(args)
    if args.config_file is not None:
        options = _fitted(options, load(args.config_file, today=datetime.now(UTC).date()))
    table = changed(options.table, (_change(text) for text in args.changes))
    yield from write(args.out, files(replace(options, table=table), args.target))


def _options(args: argparse.Namespace) -> Options:
    by = tuple(label.strip() for label in args.by.split(","))
    problems = [
        Problem("--by", label, "not a label", "write labels such as cluster,job")
        for label in by
        if not re.fullmatch(LABEL_PATTERN, label)
    ]
    problems += [
        Problem(f"--{name}", "", "cannot stand in a rule", "write no quotes, backslashes, control characters")
        for name in ("job", "runbook", "grafana")
        if not _PLAIN.fullmatch(getattr(args, name))
    ]
    if not _compiles(args.job):
        problems.append(Problem("--job", "", "not a regular expression", "correct it, or write the plain name"))
    if not 1e-6 <= args.time_scale <= 1e3:
        problems.append(Problem("--time-scale", "", "out of range", "write a factor from 1e-6 to 1e3"))
    if problems:
        raise ConfigError(tuple(problems))
    return Options(TABLE, by, args.job, args.runbook.rstrip("#"), args.grafana.rstrip("/"), args.time_scale)


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError):
        return False
    return True


def _change(text: str) -> tuple[str, str]:
    path, _, value = text.partition("=")
    return path, value


def _fitted(options: Options, config: Config) -> Options:
    """Ages that follow from the scrape interval: four missed scrapes are late, fewer are not."""
    late = 4 * config.scrape.interval
    changes = [
        (f"{alert}.age", format_duration(late))
        for alert in ("SourceStale", "StateNotPersisted")
        if late > seconds(options.table[alert].thresholds["age"].value) * SECOND
    ]
    return replace(options, table=changed(options.table, changes))
