"""What `make manifests` writes: the rules as a PrometheusRule, the list of dashboards, and the goldens of the overlays.

Rules and dashboards are made elsewhere. kustomize reads no file above the folder of a kustomization, so the dashboards
have one beside them, and the rules, which a PrometheusRule wraps, are copied.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.peers.install import PeerMissingError, ensure_kubectl

ROOT = Path(__file__).resolve().parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
RULES = Path("deploy", "kubernetes", "components", "prometheusrule", "rules.yaml")
DASHBOARDS = Path("grafana", "kustomization.yaml")
VERSIONS = ("1.29", "1.37")  # of Kubernetes; native sidecars are on by default since 1.29
OVERLAYS = ("central", "discovery", "sidecar", "gpu-node")
LABELS = {"app.kubernetes.io/name": "tokencost-exporter", "app.kubernetes.io/part-of": "tokencost"}
Object = dict[str, Any]  # of Kubernetes


def golden(overlay: str) -> Path:
    return Path("tests", "deploy", "golden", f"{overlay}.yaml")


OLDEST = (5, 0)  # the kustomize of kubectl 1.27; that of Debian 12 (1.20) does not know components


@cache
def kubectl() -> str:
    """One that knows components: this machine's, else Debian's newest. Raises PeerMissingError."""
    found = shutil.which("kubectl")
    if found is None or _kustomize(found) < OLDEST:
        found = str(ensure_kubectl())
    if _kustomize(found) < OLDEST:
        raise PeerMissingError(f"{found} is older than 1.27")
    return found


def _kustomize(program: str) -> tuple[int, ...]:
    command = [program, "version", "--client", "--output=json"]
    said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    version = json.loads(said.stdout or "{}").get("kustomizeVersion", "")
    return tuple(map(int, re.findall(r"\d+", version)[:2]))


def render(folder: Path) -> list[Object]:
    """The objects that `kubectl kustomize` makes of a folder."""
    done = subprocess.run([kubectl(), "kustomize", folder], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return objects(done.stdout)


def objects(text: str) -> list[Object]:
    return [found for found in yaml.safe_load_all(text) if found]


def as_golden(found: list[Object]) -> str:
    """The objects as YAML; of rules and dashboards, which are compared with their sources, only the names."""
    return dump(*map(_shortened, found))


def _shortened(found: Object) -> Object:
    if found["kind"] == "PrometheusRule":
        return found | {"spec": {"groups": [group["name"] for group in found["spec"]["groups"]]}}
    if is_dashboard(found):
        return found | {"data": dict.fromkeys(found["data"], "its file")}
    return found


def is_dashboard(found: Object) -> bool:
    return "grafana_dashboard" in found["metadata"].get("labels", {})


def rule_files(root: Path = ROOT) -> list[Path]:
    return sorted((root / "rules").glob("tokencost-*.yml"))  # beside them: routes for Alertmanager


def dashboard_files(root: Path = ROOT) -> list[Path]:
    return sorted((root / "grafana" / "dashboards").glob("*.json"))


def rules(root: Path = ROOT) -> str:
    """One PrometheusRule for each file of rules/."""
    head = "# Generated from rules/*.yml by `make manifests`.\n"
    return head + "".join(dump(_prometheus_rule(path)) for path in rule_files(root))


def _prometheus_rule(path: Path) -> Object:
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": object_name(path), "labels": LABELS},
        "spec": yaml.safe_load(path.read_text()),
    }


def dashboards(root: Path = ROOT) -> str:
    """A component with one ConfigMap for each dashboard: together they might not fit into one (1 MiB)."""
    generators = [
        {"name": object_name(path), "files": [f"dashboards/{path.name}"], "options": {"labels": LABELS}}
        for path in dashboard_files(root)
    ]
    component: Object = {
        "apiVersion": "kustomize.config.k8s.io/v1alpha1",
        "kind": "Component",
        "generatorOptions": {
            "disableNameSuffixHash": True,
            "labels": {"grafana_dashboard": "1"},
            "annotations": {"grafana_folder": "LLM cost"},
        },
    }
    head = "# Generated from grafana/dashboards by `make manifests`, for deploy/kubernetes/components/dashboards.\n"
    return head + dump(component | ({"configMapGenerator": generators} if generators else {})).removeprefix("---\n")


def object_name(path: Path) -> str:
    """`tokencost-` and the file's name, as Kubernetes spells names; a dashboard says that it is one."""
    stem = re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-")
    kind = "dashboard-" if path.suffix == ".json" else ""
    return f"tokencost-{kind}{stem.removeprefix('tokencost-')}"


class _Dumper(yaml.SafeDumper):
    """Text of several lines as a block, as a person would write it; no anchors."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's
        return True


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def dump(*found: Object) -> str:
    return yaml.dump_all(found, Dumper=_Dumper, explicit_start=True, sort_keys=False, width=2**16, allow_unicode=True)


def generated(root: Path = ROOT) -> Iterator[tuple[Path, str]]:
    """Each generated file below `root` and what it should hold, each made after those before it were written."""
    yield RULES, rules(root)
    yield DASHBOARDS, dashboards(root)
    for overlay in OVERLAYS:
        yield golden(overlay), as_golden(render(root / "deploy" / "kubernetes" / "overlays" / overlay))
