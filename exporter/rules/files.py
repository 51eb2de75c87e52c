"""Rule groups as files. Prometheus, Thanos, Mimir (mimirtool takes the file's name as the namespace) and vmalert read
one form; the Prometheus Operator wants the same groups in an object of Kubernetes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import yaml

from exporter.errors import ConfigError, Problem
from exporter.rules.alertmanager import alertmanager
from exporter.rules.groups import Options, alert_groups, recording_groups
from exporter.rules.settings import TABLE, Settings

Target = Literal["prometheus", "prometheusrule"]
TARGETS: tuple[Target, ...] = ("prometheus", "prometheusrule")


class _Dumper(yaml.SafeDumper):
    """Block style, no aliases, text of several lines as it is."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the base class calls it
        return True


def _text(dumper: _Dumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def files(options: Options, target: Target = "prometheus") -> dict[str, str]:
    """File name -> text."""
    recording, alerts = recording_groups(options), alert_groups(options)
    documents: Mapping[str, Any]
    if target == "prometheusrule":
        documents = {
            "tokencost-recording.prometheusrule.yml": _object("tokencost-recording", recording),
            "tokencost-alerts.prometheusrule.yml": _object("tokencost-alerts", alerts),
        }
    else:
        documents = {
            "tokencost-recording.yml": {"groups": recording},
            "tokencost-alerts.yml": {"groups": alerts},
            "alertmanager.yml": alertmanager(options),
        }
    head = "".join(f"# {line}\n" for line in _head(options))
    return {
        name: head + yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=10_000, allow_unicode=True)
        for name, document in documents.items()
    }


def write(folder: Path, texts: Mapping[str, str]) -> Iterator[Path]:
    """Write the files, each at once; the paths, as they are written. ConfigError where they cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            new = folder / f".{name}.new"
            new.write_text(text, encoding="utf-8")
            new.replace(folder / name)
            yield folder / name
    except OSError as error:
        wrong = f"cannot be written: {error.strerror or error}"
        raise ConfigError((Problem(str(folder), "", wrong, "give --out a folder that can be written"),)) from error


def _object(name: str, groups: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/name": "tokencost-exporter"}},
        "spec": {"groups": groups},
    }


def _head(options: Options) -> Iterator[str]:
    yield "Made by `tokencost-exporter generate rules`: change it there, not here."
    defaults = Options()
    for flag in ("by", "job", "runbook", "grafana", "time_scale"):
        if (value := getattr(options, flag)) != getattr(defaults, flag):
            yield f"--{flag.replace('_', '-')}={','.join(value) if isinstance(value, tuple) else value}"
    for alert, settings in options.table.items():
        yield from (f"--set={alert}.{key}={value}" for key, value in _flat(settings) - _flat(TABLE[alert]))


def _flat(settings: Settings) -> set[tuple[str, str]]:
    own = {name: threshold.value for name, threshold in settings.thresholds.items()}
    common = {"severity": settings.severity, "for": settings.wait, "keep_firing_for": settings.keep}
    return set({**common, "enabled": str(settings.enabled).lower(), **own}.items())
