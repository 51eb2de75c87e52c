"""What the program publishes on recorded pages, held against files that a person has read."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import require_peer
from tests.golden.run import FILES, produce
from tests.publish.test_promtool import ACCEPTED

HERE = Path(__file__).parent


async def test_the_exposition_is_the_golden_one(tmp_path: Path) -> None:
    """A difference is a change of the public surface: mean it, read it, `make golden`."""
    found = await produce(tmp_path)
    for name in FILES:
        assert found[name] == (HERE / name).read_text(encoding="utf-8"), name


@pytest.mark.peer
def test_promtool_finds_nothing_to_say_about_it() -> None:
    require_peer(shutil.which("promtool"), "promtool (Debian package prometheus)")
    page = (HERE / "metrics.txt").read_bytes()
    linted = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, check=False)
    complaints = (linted.stdout + linted.stderr).decode().splitlines()
    assert [line for line in complaints if line.split()[0] not in ACCEPTED] == []
