"""What kustomize makes of deploy/kubernetes: the overlays as a person has read them, and what a user builds on them."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.deploy import manifests
from tests.deploy.manifests import KUBERNETES, OVERLAYS, ROOT, VERSIONS, Object, is_dashboard, render

RULE_FILE = """\
groups:
  - name: tokencost-burn
    interval: 30s
    rules:
      - alert: Burn
        expr: |
          tokencost_budget_burn_rate > 2
          and tokencost_budget_limit_usd > 0
        for: 2m
"""


@pytest.mark.parametrize(
    ("path", "make"),
    [(manifests.RULES, manifests.rules), (manifests.DASHBOARDS, manifests.dashboards)],
    ids=["rules", "dashboards"],
)
def test_what_is_generated_is_up_to_date(path: Path, make: Callable[[], str]) -> None:
    assert (ROOT / path).read_text() == make(), f"{path} is out of date: run `make manifests`"


@pytest.mark.peer
@pytest.mark.usefixtures("kubectl")
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_overlay_is_the_golden_one(overlay: str) -> None:
    """A difference is a change of what runs in somebody's cluster: mean it, read it, `make manifests`."""
    path = manifests.golden(overlay)
    made = manifests.as_golden(render(KUBERNETES / "overlays" / overlay))
    assert made == (ROOT / path).read_text(), f"{path} is out of date: run `make manifests`"


@pytest.mark.peer
@pytest.mark.usefixtures("kubectl")
def test_rules_and_dashboards_arrive_whole() -> None:
    """Whatever there is in rules/ and grafana/dashboards is what central mode applies, to the byte."""
    assert_whole(render(KUBERNETES / "overlays" / "central"), ROOT)


@pytest.mark.peer
@pytest.mark.usefixtures("kubectl")
def test_new_rules_and_dashboards_need_no_more_than_make_manifests(tmp_path: Path) -> None:
    for part in ("deploy", "grafana"):
        shutil.copytree(ROOT / part, tmp_path / part)
    for folder, name, text in (
        ("rules", "tokencost-burn.yml", RULE_FILE),
        ("grafana/dashboards", "On Call_v2.json", '{"title": "On call: 100 % of $limit"}\n'),
    ):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / name).write_text(text)
    (tmp_path / manifests.RULES).write_text(manifests.rules(tmp_path))
    (tmp_path / manifests.DASHBOARDS).write_text(manifests.dashboards(tmp_path))
    made = render(tmp_path / "deploy" / "kubernetes" / "overlays" / "central")
    assert_whole(made, tmp_path)
    assert {found["metadata"]["name"] for found in made} >= {"tokencost-burn", "tokencost-dashboard-on-call-v2"}


def assert_whole(made: list[Object], root: Path) -> None:
    applied = {found["metadata"]["name"]: found for found in made}
    for path in manifests.rule_files(root):
        rule = applied[manifests.object_name(path)]
        assert rule["spec"] == yaml.safe_load(path.read_text())
        assert rule["metadata"]["labels"]["release"] == "kube-prometheus-stack"
    for path in manifests.dashboard_files(root):
        board = applied[manifests.object_name(path)]
        assert board["data"] == {path.name: path.read_text()}
        assert board["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert board["metadata"]["annotations"] == {"grafana_folder": "LLM cost"}
        assert path.stat().st_size < 2**20, "more than a ConfigMap can hold"
    assert len(list(filter(is_dashboard, made))) == len(manifests.dashboard_files(root))


@pytest.mark.peer
@pytest.mark.usefixtures("kubectl")
def test_a_users_overlay_brings_its_own_config_image_and_gpus(tmp_path: Path) -> None:
    """The one that docs/deploy.md shows, with the component that it names for dcgm."""
    page = (ROOT / "docs" / "deploy.md").read_text()
    (block,) = re.findall(r"```text\n# kustomization.yaml\n(.*?)```", page, re.DOTALL)
    digest = "sha256:" + "1" * 64
    shown = yaml.safe_load(block.replace("../tokencost-exporter", os.path.relpath(ROOT, tmp_path)))
    shown["images"][0]["digest"] = digest
    (tmp_path / "tokencost.yml").write_text("pools: []\n")
    made = build(tmp_path, **shown, components=["components/dcgm"])
    (config,) = [found for found in made if found["kind"] == "ConfigMap" and not is_dashboard(found)]
    assert (config["metadata"]["name"], config["data"]) == ("tokencost-exporter", {"tokencost.yml": "pools: []\n"})
    assert pod_of(made)["containers"][0]["image"] == f"my.registry/tokencost-exporter@{digest}"
    policies = {found["metadata"]["name"] for found in made if found["kind"] == "NetworkPolicy"}
    assert policies == {"tokencost-exporter", "tokencost-exporter-dcgm"}


@pytest.mark.peer
@pytest.mark.usefixtures("kubectl")
def test_the_sidecar_goes_into_labelled_workloads_only_and_leaves_theirs_alone(tmp_path: Path) -> None:
    def engine(kind: str, labels: dict[str, str]) -> Object:
        spec: dict[str, Any] = {
            "initContainers": [{"name": "fetch-model", "image": "fetch"}],
            "containers": [{"name": "engine", "image": "engine"}],
            "volumes": [{"name": "models", "emptyDir": {}}],
        }
        template = {"metadata": {"labels": {"app": kind}}, "spec": spec}
        return {
            "apiVersion": "apps/v1",
            "kind": kind,
            "metadata": {"name": kind.lower(), "labels": labels},
            "spec": {"template": template},
        }

    ours = {"tokencost-exporter/mode": "sidecar"}
    engines = [engine("StatefulSet", ours), engine("Deployment", {})]
    (tmp_path / "engines.yaml").write_text(manifests.dump(*engines))
    stateful, other = [
        found
        for found in build(tmp_path, resources=["engines.yaml"], components=["components/sidecar"])
        if found["kind"] != "ConfigMap"
    ][::-1]
    assert other == engines[1]
    pod = pod_of([stateful])
    assert {container["name"] for container in pod["initContainers"]} == {"fetch-model", "tokencost-exporter"}
    assert pod["containers"] == [{"name": "engine", "image": "engine"}]
    assert {"name": "models", "emptyDir": {}} in pod["volumes"]
    assert stateful["spec"]["template"]["metadata"]["labels"] == {"app": "StatefulSet", **ours}


@pytest.mark.peer
@pytest.mark.usefixtures("kubectl")
def test_a_node_agent_can_ask_for_gpus_without_a_runtime_class(tmp_path: Path) -> None:
    made = build(tmp_path, resources=["overlays/gpu-node"], components=["components/node-agent-nri"])
    (agent,) = [found for found in made if found["kind"] == "DaemonSet"]
    assert "runtimeClassName" not in pod_of(made)
    (name,) = [container["name"] for container in pod_of(made)["containers"]]
    annotations = agent["spec"]["template"]["metadata"]["annotations"]
    assert annotations == {f"nvidia.cdi.k8s.io/container.{name}": "management.nvidia.com/gpu=all"}


@pytest.mark.peer
@pytest.mark.usefixtures("kubectl")
def test_shards_are_a_stateful_set_with_a_ledger_each(tmp_path: Path) -> None:
    made = build(tmp_path, resources=["overlays/central"], components=["components/sharded"])
    (shards,) = [found for found in made if found["kind"] == "StatefulSet"]
    assert not {"Deployment", "PersistentVolumeClaim"} & {found["kind"] for found in made}
    (container,) = pod_of(made)["containers"]
    variables = {variable["name"]: variable for variable in container["env"]}
    assert "--shard=$(SHARD)/$(SHARDS)" in container["args"]
    assert int(variables["SHARDS"]["value"]) == shards["spec"]["replicas"] > 1
    assert variables["SHARD"]["valueFrom"] == {
        "fieldRef": {"fieldPath": "metadata.labels['apps.kubernetes.io/pod-index']"}
    }
    (claim,) = shards["spec"]["volumeClaimTemplates"]
    volumes = {volume["name"] for volume in pod_of(made)["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes | {claim["metadata"]["name"]}
    assert claim["metadata"]["name"] not in volumes
    assert kubernetes_validate.validate(shards, VERSIONS[0], strict=True) == VERSIONS[0]
    (policy,) = [found for found in made if found["kind"] == "NetworkPolicy"]
    assert (
        policy["spec"]["podSelector"]["matchLabels"].items() <= shards["spec"]["template"]["metadata"]["labels"].items()
    )


@pytest.mark.peer
@pytest.mark.usefixtures("kubectl")
@pytest.mark.parametrize("overlay", ["central", "discovery"])
def test_shards_find_pods_like_one_exporter(tmp_path: Path, overlay: str) -> None:
    """Whichever of the two components comes first."""
    more = ["components/discovery"] if overlay == "central" else []
    made = build(tmp_path, resources=[f"overlays/{overlay}"], components=["components/sharded", *more])
    assert "StatefulSet" in {found["kind"] for found in made}
    assert pod_of(made)["automountServiceAccountToken"] is True


def build(folder: Path, **kustomization: Any) -> list[Object]:
    """A user's kustomization in `folder`; what starts with overlays/ or components/ is in deploy/kubernetes."""
    here = os.path.relpath(KUBERNETES, folder)
    for key in ("resources", "components"):
        kustomization[key] = [
            f"{here}/{path}" if path.startswith(("overlays/", "components/")) else path
            for path in kustomization.get(key, [])
        ]
    (folder / "kustomization.yaml").write_text(json.dumps(kustomization))
    return render(folder)


def pod_of(made: list[Object]) -> Object:
    (template,) = [found["spec"]["template"] for found in made if "template" in found.get("spec", {})]
    pod: Object = template["spec"]
    return pod
