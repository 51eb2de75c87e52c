"""Prometheus' format of files and services that list targets: [{"targets": ["host:port"], "labels": {...}}]."""

from __future__ import annotations

from typing import Any

from exporter.discovery.found import MOST_ADDRESSES, Address, too_many
from exporter.errors import Reason, ScrapeError

MOST_LABELS = 100
LONGEST_NAME, LONGEST_VALUE = 317, 1024  # characters


def addresses(data: Any) -> tuple[Address, ...]:
    """What the groups list. ScrapeError (invalid, too_many_targets) when they do not have that shape."""
    found: list[Address] = []
    for number, group in enumerate(_list(data, "the whole")):
        where = f"group {number + 1}"
        if not isinstance(group, dict) or not group.keys() <= {"targets", "labels"}:
            raise _invalid(f"{where} is not a mapping of targets and labels")
        targets, labels = group.get("targets"), group.get("labels")  # null is as good as nothing
        labels = () if labels is None else _labels(labels, where)
        for host in () if targets is None else _list(targets, f"targets of {where}"):
            if not isinstance(host, str) or len(host) > LONGEST_VALUE:
                raise _invalid(f"{where} has a target that is not host:port")
            if len(found) == MOST_ADDRESSES:  # said here, before an alias bomb has grown
                raise too_many()
            found.append(Address(host, labels))
    return tuple(found)


def _list(data: Any, what: str) -> list[Any]:
    if not isinstance(data, list):
        raise _invalid(f"{what} is not a list")
    return data


def _labels(data: Any, where: str) -> tuple[tuple[str, str], ...]:
    if not isinstance(data, dict) or len(data) > MOST_LABELS:
        raise _invalid(f"{where} has labels that are not a mapping, or more than {MOST_LABELS}")
    for name, value in data.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise _invalid(f"{where} has a label that is not text")
        if len(name) > LONGEST_NAME or len(value) > LONGEST_VALUE:
            raise _invalid(f"{where} has a label that is too long")
    return tuple(sorted(data.items()))


def _invalid(what: str) -> ScrapeError:
    return ScrapeError(Reason.INVALID, what)
