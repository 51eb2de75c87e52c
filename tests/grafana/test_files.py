"""The files: made by grafana/, committed, shipped in the wheel, and handed out by `generate dashboards`."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from exporter.dashboards import dashboards, write
from exporter.errors import StartError
from grafana.__main__ import BOARDS
from grafana.build import rendered
from grafana.spec import Dashboard
from tests.grafana.boards import FOLDER, ROOT, UIDS
from tests.process.exporter import run

GRAFANA = ROOT / "grafana"
WRITTEN = ("dashboards", "configmaps", "provisioning")
# `kubectl apply` keeps the whole object in an annotation, and that is the most all annotations may have.
MOST_BYTES = 256 * 1024
# As an installed package, where the SDK that makes the dashboards is not.
INSTALLED = "import sys; sys.modules['grafana_foundation_sdk'] = None; from exporter.cli import main; sys.exit(main())"


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below it."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def committed() -> dict[str, bytes]:
    return {f"{part}/{name}": data for part in WRITTEN for name, data in tree(GRAFANA / part).items()}


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: str(board.uid))
def test_the_dashboards_are_what_their_source_makes(board: Dashboard) -> None:
    """A difference: `make dashboards`, and read it."""
    assert (FOLDER / f"{board.uid}.json").read_text() == rendered(board)


def test_what_is_written_is_what_is_committed(tmp_path: Path) -> None:
    paths = write(tmp_path)
    assert tree(tmp_path) == committed()
    assert {str(path.relative_to(tmp_path)) for path in paths} == committed().keys()


@pytest.mark.parametrize("uid", UIDS)
def test_a_config_map_carries_the_dashboard_to_the_sidecar(uid: str) -> None:
    path = GRAFANA / "configmaps" / f"{uid}.yml"
    (found,) = yaml.safe_load_all(path.read_text())
    assert (found["apiVersion"], found["kind"]) == ("v1", "ConfigMap")
    assert found["metadata"] == {
        "name": uid, "labels": {"grafana_dashboard": "1"}, "annotations": {"grafana_folder": "tokencost"},
    }  # fmt: skip
    assert found["data"] == {f"{uid}.json": (FOLDER / f"{uid}.json").read_text()}
    assert path.stat().st_size < MOST_BYTES


def test_the_provider_reads_a_folder_and_lets_nobody_edit() -> None:
    found = yaml.safe_load((GRAFANA / "provisioning" / "dashboards" / "tokencost.yml").read_text())
    (provider,) = found["providers"]
    assert found["apiVersion"] == 1
    assert (provider["type"], provider["folder"], provider["allowUiUpdates"]) == ("file", "tokencost", False)
    assert Path(provider["options"]["path"]).is_absolute()


async def test_the_command_writes_them_without_a_config(tmp_path: Path) -> None:
    ended = await run("generate", "dashboards", "--out", "out", folder=tmp_path)
    assert (ended.code, ended.err) == (0, "")
    assert sorted(ended.out.splitlines()) == sorted(f"out/{name}" for name in committed())
    assert tree(tmp_path / "out") == committed()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("generate",), "the following arguments are required"),
        (("generate", "dashboards"), "the following arguments are required: --out"),
        (("generate", "pictures", "--out=x"), "invalid choice: 'pictures'"),
        (("serve", "dashboards"), "error: unrecognized arguments: dashboards"),
        (("--out=x",), "error: unrecognized arguments: --out=x"),
    ],
)
async def test_a_command_that_makes_no_sense_is_a_usage_error(
    tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    ended = await run(*arguments, folder=tmp_path)
    assert ended.code == 2
    assert says in ended.err.splitlines()[-1]
    assert tree(tmp_path) == {}


def test_a_place_that_cannot_be_written_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match=r"cannot write .*file: Not a directory"):
        write(tmp_path / "file")


def test_an_installed_package_writes_the_same_bytes_without_the_sdk(tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(wheels)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=60)
    (wheel,) = wheels.iterdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    assert not (tmp_path / "site" / "grafana").exists(), "what makes the dashboards is not shipped"
    command = [sys.executable, "-c", INSTALLED, "generate", "dashboards", "--out", "out"]
    environment = {"PYTHONPATH": str(tmp_path / "site")}
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, timeout=60)
    assert tree(tmp_path / "out") == committed()
    assert dashboards().keys() == set(UIDS)
