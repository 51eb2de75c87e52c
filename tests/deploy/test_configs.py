"""The configs that are shipped and shown are accepted by the program that will read them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.deploy.manifests import OVERLAYS, ROOT, golden, objects
from tests.process.exporter import run

PAGES = (ROOT / "docs" / "deploy.md", ROOT / "docs" / "discovery.md")


def configs() -> dict[str, str]:
    """Every tokencost.yml of a golden, and every example of these pages that is one."""
    found = {
        f"{overlay} {config['metadata']['name']}": config["data"]["tokencost.yml"]
        for overlay in OVERLAYS
        for config in objects((ROOT / golden(overlay)).read_text())
        if config["kind"] == "ConfigMap" and "tokencost.yml" in config["data"]
    }
    examples = [
        block
        for page in PAGES
        for block in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
        if "pools:\n" in block
    ]
    return found | {f"example {number}": block for number, block in enumerate(examples, 1)}


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in configs().items()])
async def test_the_program_accepts_it(text: str, tmp_path: Path) -> None:
    (tmp_path / "tokencost.yml").write_text(text)
    ended = await run("--config.check", folder=tmp_path)
    assert (ended.code, ended.err) == (0, "")


def test_each_mode_has_one_and_dcgm_an_example() -> None:
    assert [name for name in configs() if not name.startswith("example")] == [
        "central tokencost-exporter",
        "discovery tokencost-exporter",
        "sidecar tokencost-exporter-sidecar",
        "gpu-node tokencost-exporter",
    ]
    assert any("source: dcgm" in text for name, text in configs().items() if name.startswith("example"))
