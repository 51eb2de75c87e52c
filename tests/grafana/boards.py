"""The committed dashboards, taken apart: panels, targets, variables, and what Grafana would put in for a variable."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "grafana" / "dashboards"
UIDS = ("tokencost-executive", "tokencost-oncall", "tokencost-debug", "tokencost-exporter")
BOARDS: Mapping[str, dict[str, Any]] = {uid: json.loads((FOLDER / f"{uid}.json").read_text()) for uid in UIDS}

# What Grafana puts in. A rate is over four scrapes; the history of the tests has one every 5 minutes in its last day.
DURATIONS = {"__rate_interval": "20m", "__interval": "5m", "__range": "14d"}


@dataclass(frozen=True, slots=True)
class Target:
    """One query of a panel or of an annotation."""

    board: str
    panel: str
    name: str  # its legend or refId
    expr: str
    instant: bool

    def __str__(self) -> str:
        return f"{self.board.removeprefix('tokencost-')}: {self.panel}: {self.name}"


def panels(uid: str) -> list[dict[str, Any]]:
    """Every panel that shows something: rows are headings."""
    return [panel for panel in BOARDS[uid]["panels"] if panel["type"] != "row"]


def variables(uid: str) -> dict[str, dict[str, Any]]:
    return {variable["name"]: variable for variable in BOARDS[uid]["templating"]["list"]}


def targets() -> Iterator[Target]:
    """All of them, of all dashboards, with their annotations."""
    for uid, board in BOARDS.items():
        for panel in panels(uid):
            for target in panel["targets"]:
                name = target.get("legendFormat") or target["refId"]
                yield Target(uid, panel["title"], name, target["expr"], target["instant"])
        for annotation in board["annotations"]["list"]:
            yield Target(uid, "annotation", annotation["name"], annotation["expr"], False)


def filled(expr: str, uid: str, chosen: Mapping[str, str] | None = None) -> str:
    """The query as Grafana sends it, with All chosen, or what is given. KeyError for a variable nobody has."""
    known = {name: variable.get("allValue", ".*") for name, variable in variables(uid).items()}
    values = {**known, **DURATIONS, **(chosen or {})}
    return re.sub(r"\$\{?(\w+)\}?", lambda found: values[found[1]], expr)
