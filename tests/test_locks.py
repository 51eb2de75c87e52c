"""The lock files: exact, hashed, portable, and enough for what pyproject.toml asks."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ("requirements.lock", "requirements-otlp.lock", "requirements-dns.lock", "requirements-build.lock")
LOCKS = (*SHIPPED, "requirements-dev.lock", "requirements-litellm.lock")
PIN = re.compile(r"([a-z0-9-]+)==([\w.!]+)( ; [^\\]+)?( \\)?")  # `!` ends an epoch
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")


def pins(lock: str) -> dict[str, set[str]]:
    """Package -> its versions; more than one where they differ by platform or Python."""
    found: dict[str, set[str]] = {}
    for line in (ROOT / lock).read_text().splitlines():
        if pin := PIN.fullmatch(line):
            found.setdefault(pin[1], set()).add(pin[2])
    return found


def asked() -> Iterator[tuple[str, Requirement]]:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups, extras = project["dependency-groups"], project["project"]["optional-dependencies"]
    wanted = {
        "requirements.lock": project["project"]["dependencies"],
        "requirements-otlp.lock": [*project["project"]["dependencies"], *extras["otlp"]],
        "requirements-dns.lock": [*project["project"]["dependencies"], *extras["dns"]],
        "requirements-build.lock": [*groups["build"], *project["build-system"]["requires"]],
        "requirements-litellm.lock": groups["litellm"],
        "requirements-dev.lock": [*project["project"]["dependencies"], *groups["build"], *groups["dev"]],
    }
    for lock, requirements in wanted.items():
        yield from ((lock, Requirement(text)) for text in requirements if isinstance(text, str))


@pytest.mark.parametrize("lock", LOCKS)
def test_every_line_is_a_pin_or_its_hash(lock: str) -> None:
    """No index, no address and no path: which index serves the files is the machine's business, not the project's."""
    lines = [line for line in (ROOT / lock).read_text().splitlines() if not line.startswith("#")]
    assert lines
    assert [line for line in lines if not PIN.fullmatch(line) and not HASH.fullmatch(line)] == []


@pytest.mark.parametrize(("lock", "requirement"), list(asked()), ids=str)
def test_what_is_asked_for_is_locked_at_a_version_that_will_do(lock: str, requirement: Requirement) -> None:
    versions = pins(lock).get(canonicalize_name(requirement.name))
    assert versions, f"{requirement.name} is not in {lock}: run `make lock`"
    assert all(requirement.specifier.contains(Version(version)) for version in versions)


@pytest.mark.parametrize("lock", SHIPPED)
def test_tests_run_on_the_versions_that_are_shipped(lock: str) -> None:
    development = pins("requirements-dev.lock")
    assert {name: development[name] for name in pins(lock)} == pins(lock)
