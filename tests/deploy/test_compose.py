"""The demo's compose file and what it mounts, as far as it can be checked without an engine."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from typing import Any

import pytest
import yaml

from exporter.cli import _parser
from tests.conftest import require_peer
from tests.deploy.manifests import ROOT

FILE = ROOT / "deploy" / "compose.yml"
MOUNTED = FILE.parent / "compose"
FILE_OF: dict[str, Any] = yaml.safe_load(FILE.read_text())
SERVICES: dict[str, dict[str, Any]] = FILE_OF["services"]
MADE = {ROOT / "rules": "tokencost-*.yml", ROOT / "grafana" / "dashboards": "*.json"}


def test_the_compose_specification_knows_it() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(FILE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_pinned_confined_and_on_loopback(name: str) -> None:
    service = SERVICES[name]
    assert "build" in service or re.fullmatch(
        r"docker\.io/[\w/]+:v?\d+\.\d+\.\d+@sha256:[0-9a-f]{64}", service["image"]
    )
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "network_mode", "pid", "user"} & service.keys()
    assert [port.split(":")[0] for port in service["ports"]] == ["127.0.0.1"]
    # Grafana's image is not known to start on a root file system that cannot be written.
    assert service.get("read_only") is True or name == "grafana"


@pytest.mark.parametrize("mount", [mount for service in SERVICES.values() for mount in service.get("volumes", [])])
def test_what_it_mounts_is_there(mount: str) -> None:
    """A file that is not there would be made, as an empty folder."""
    source, _, rest = mount.partition(":")
    if not source.startswith("."):
        assert source in FILE_OF["volumes"]
        return
    assert rest.endswith(":ro")
    path = (FILE.parent / source).resolve()
    if path in MADE:
        assert list(path.glob(MADE[path]))
    else:
        assert path.is_file()


def test_the_demo_is_a_command_of_the_program_and_prometheus_reaches_it() -> None:
    args = _parser().parse_args(SERVICES["exporter"]["command"])
    port = args.listen_address.removeprefix(":")  # every address of the container
    assert args.command == "demo"
    assert SERVICES["exporter"]["ports"] == [f"127.0.0.1:{port}:{port}"]
    prometheus = yaml.safe_load((MOUNTED / "prometheus.yml").read_text())
    targets = [
        target
        for job in prometheus["scrape_configs"]
        for config in job["static_configs"]
        for target in config["targets"]
    ]
    assert f"exporter:{port}" in targets


def test_files_are_where_the_settings_say() -> None:
    """Each path that a setting names is one that is mounted there."""
    targets = {mount.split(":")[1] for service in SERVICES.values() for mount in service.get("volumes", [])}
    (rules,) = yaml.safe_load((MOUNTED / "prometheus.yml").read_text())["rule_files"]
    (provider,) = yaml.safe_load((MOUNTED / "grafana" / "dashboards.yml").read_text())["providers"]
    settings = [
        argument.partition("=")[2] for name in ("prometheus", "alertmanager") for argument in SERVICES[name]["command"]
    ]
    paths = {path for path in settings if path.startswith("/")}
    assert {rules.removesuffix("/tokencost-*.yml"), provider["options"]["path"], *paths} <= targets


def test_alertmanager_holds_back_what_comes_with_the_rules() -> None:
    ours, theirs = (
        yaml.safe_load(path.read_text()) for path in (MOUNTED / "alertmanager.yml", ROOT / "rules" / "alertmanager.yml")
    )
    assert ours["inhibit_rules"] == theirs["inhibit_rules"]


def test_services_find_each_other() -> None:
    prometheus = yaml.safe_load((MOUNTED / "prometheus.yml").read_text())
    (source,) = yaml.safe_load((MOUNTED / "grafana" / "datasources.yml").read_text())["datasources"]
    (alerts,) = prometheus["alerting"]["alertmanagers"]
    for address in (source["url"].removeprefix("http://"), *alerts["static_configs"][0]["targets"]):
        host, _, port = address.partition(":")
        assert SERVICES[host]["ports"][0].endswith(f":{port}")


@pytest.mark.peer
def test_promtool_accepts_the_config() -> None:
    require_peer(shutil.which("promtool"), "promtool (Debian package prometheus)")
    command = ["promtool", "check", "config", str(MOUNTED / "prometheus.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
