"""The bill of materials: valid, of the lock file, and the same bytes for the same input."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from exporter import __version__
from tests.deploy.manifests import ROOT


@pytest.fixture(scope="module")
def text() -> str:
    return made()


def made() -> str:
    command = [sys.executable, str(ROOT / "deploy" / "sbom.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout


def test_cyclonedx_knows_it(text: str) -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


def test_it_is_reproducible(text: str) -> None:
    assert made() == text


def test_it_says_what_it_is_of(text: str) -> None:
    component = json.loads(text)["metadata"]["component"]
    assert component["purl"] == f"pkg:pypi/tokencost-exporter@{__version__}"


def test_everything_locked_is_in_it_with_its_hashes(text: str) -> None:
    """Beside what a marker keeps from this platform."""
    lock = (ROOT / "requirements.lock").read_text()
    pins = re.findall(r"^([a-z0-9-]+)==([\w.]+)( ;)?", lock, re.MULTILINE)
    components = json.loads(text)["components"]
    listed = [component["purl"] for component in components]
    assert len(set(listed)) == len(listed)
    assert {f"pkg:pypi/{name}@{version}" for name, version, marker in pins if not marker} <= set(listed)
    assert set(listed) <= {f"pkg:pypi/{name}@{version}" for name, version, _ in pins}
    hashes = [hash_["content"] for component in components for hash_ in component["externalReferences"][0]["hashes"]]
    assert len(hashes) > len(listed)
    assert set(hashes) <= set(re.findall(r"sha256:([0-9a-f]{64})", lock))
