"""Prometheus's own linter has nothing to say about a page."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from exporter.publish.catalog import CATALOG
from exporter.publish.writer import Exposition
from exporter.records import NS
from tests.publish.world import family, fleet, view

# Names the contract fixes against the linter's taste; each needs its reason.
ACCEPTED = {"tokencost_target_counter_resets_total": "it counts resets of counters; it is not named after its type"}


@pytest.fixture
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        missing = "promtool is not installed (Debian: apt-get install prometheus): pages were NOT linted"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    return found


@pytest.mark.peer
@pytest.mark.parametrize("everything", [True, False], ids=["every metric", "a fleet"])
def test_promtool_accepts_the_page(promtool: str, everything: bool) -> None:
    full = view(
        *(
            family(metric.name, {tuple('a"\\\n' for _ in metric.labels): NS})
            for metric in CATALOG
            if metric.type == "counter"
        ),
        gauges={metric.name: {tuple("b" for _ in metric.labels): 1e-7} for metric in CATALOG if metric.type == "gauge"},
    )
    page = Exposition().update(full if everything else fleet()).body("text")
    done = subprocess.run([promtool, "check", "metrics"], input=page, capture_output=True, check=False, timeout=60)
    complaints = [line for line in (done.stdout + done.stderr).decode().splitlines() if line.strip()]
    assert [line for line in complaints if line.split()[0] not in ACCEPTED] == []
