"""What may run in somebody's cluster: the goldens, item by item. Nothing here needs kubectl."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from exporter.cli import _parser
from tests.deploy.manifests import OVERLAYS, ROOT, Object, golden, objects

RESTRICTED_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 - where one would be put
RIGHTS = ("Role", "RoleBinding")
GOLDENS = {overlay: objects((ROOT / golden(overlay)).read_text()) for overlay in OVERLAYS}


def of_kind(overlay: str, *kinds: str) -> list[Object]:
    return [found for found in GOLDENS[overlay] if found["kind"] in kinds]


def workload(overlay: str) -> Object:
    (found,) = of_kind(overlay, "Deployment", "DaemonSet")
    return found


def pod(overlay: str) -> Object:
    found: Object = workload(overlay)["spec"]["template"]["spec"]
    return found


def ours(overlay: str) -> Object:
    """Our container. It is the only one, or a native sidecar."""
    every = [*pod(overlay).get("initContainers", []), *pod(overlay)["containers"]]
    (found,) = [container for container in every if container["name"] == "tokencost-exporter"]
    return dict(found)


def effective(overlay: str) -> dict[str, Any]:
    """The container's security context; in a pod of our own the pod's stands behind it."""
    behind = {} if overlay == "sidecar" else pod(overlay)["securityContext"]
    return {**behind, **ours(overlay)["securityContext"]}


def volumes(overlay: str) -> Iterator[tuple[Object, Object]]:
    """Our mounts, each with its volume."""
    named = {volume["name"]: volume for volume in pod(overlay)["volumes"]}
    for mount in ours(overlay)["volumeMounts"]:
        yield mount, named[mount["name"]]


HARDENING: dict[str, Callable[[str], object]] = {
    "not root": lambda o: effective(o)["runAsNonRoot"] is True,
    "a user of its own": lambda o: (effective(o)["runAsUser"], effective(o)["runAsGroup"]) == (65532, 65532),
    "no more privileges than at the start": lambda o: effective(o)["allowPrivilegeEscalation"] is False,
    "no capabilities": lambda o: effective(o)["capabilities"] == {"drop": ["ALL"]},
    "seccomp": lambda o: effective(o)["seccompProfile"] == {"type": "RuntimeDefault"},
    "a root file system that cannot be written": lambda o: effective(o)["readOnlyRootFilesystem"] is True,
    "nothing of the host": lambda o: not {"hostNetwork", "hostPID", "hostIPC"} & pod(o).keys(),
    "no volume that Pod Security's restricted level forbids": lambda o: all(
        (volume.keys() - {"name"}) <= RESTRICTED_VOLUMES for _, volume in volumes(o)
    ),
    "somewhere to write: /tmp and the ledger's folder": lambda o: (
        {mount["mountPath"] for mount, _ in volumes(o) if not mount.get("readOnly")} == {"/tmp", "/data"}  # noqa: S108
    ),
    "no emptyDir without a bound": lambda o: all(
        "sizeLimit" in volume["emptyDir"] for _, volume in volumes(o) if "emptyDir" in volume
    ),
    "a token for the Kubernetes API only where it finds pods": lambda o: (
        TOKEN in {mount["mountPath"] for mount, volume in volumes(o) if volume.get("emptyDir")}
        if o == "sidecar"
        else pod(o)["automountServiceAccountToken"] is (o == "discovery")
    ),
    "requests": lambda o: ours(o)["resources"]["requests"].keys() == {"cpu", "memory"},
    "a memory limit, no CPU limit, no GPU": lambda o: ours(o)["resources"]["limits"].keys() == {"memory"},
    "an image by digest": lambda o: re.fullmatch(r"[\w./-]+@sha256:[0-9a-f]{64}", ours(o)["image"]),
    "one port, named": lambda o: ours(o)["ports"] == [{"name": "http-metrics", "containerPort": 9742}],
    "a liveness probe that no engine can fail": lambda o: (
        ours(o)["livenessProbe"]["httpGet"] == {"path": "/-/healthy", "port": "http-metrics"}
    ),
    "time to save": lambda o: o == "sidecar" or pod(o)["terminationGracePeriodSeconds"] >= 30,
    "config as a folder, so that changes arrive": lambda o: (
        [(mount["mountPath"], "subPath" in mount) for mount, volume in volumes(o) if "configMap" in volume]
        == [("/etc/tokencost", False)]
    ),
    "labels": lambda o: workload(o)["metadata"]["labels"].keys() >= {"app.kubernetes.io/name"},
    "nothing that blocks a drain": lambda o: not of_kind(o, "PodDisruptionBudget"),
    "no rights in the cluster": lambda o: not of_kind(o, "ClusterRole", "ClusterRoleBinding"),
    "no rights in a namespace where it finds no pods": lambda o: o == "discovery" or not of_kind(o, *RIGHTS),
}


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("what", HARDENING)
def test_hardening(overlay: str, what: str) -> None:
    assert HARDENING[what](overlay), what


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_its_flags_are_flags_of_the_program(overlay: str) -> None:
    args = _parser().parse_args(ours(overlay)["args"])
    mounted = {mount["mountPath"] for mount, _ in volumes(overlay)}
    assert {str(args.config_file.parent), args.storage_path.rpartition("/")[0]} <= mounted


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_it_is_scraped_once(overlay: str) -> None:
    """By a ServiceMonitor or a PodMonitor, never both; with bounds; and what it selects is there, with that port."""
    (monitor,) = of_kind(overlay, "ServiceMonitor", "PodMonitor")
    spec = monitor["spec"]
    assert (
        min(spec[limit] for limit in ("sampleLimit", "labelLimit", "labelNameLengthLimit", "labelValueLengthLimit")) > 0
    )
    assert re.fullmatch(r"[1-9]\d*[KMG]B", spec["bodySizeLimit"])
    assert monitor["metadata"]["labels"]["release"]
    if overlay in {"central", "discovery"}:
        (service,) = of_kind(overlay, "Service")
        labels = workload(overlay)["spec"]["template"]["metadata"]["labels"]
        assert spec["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
        assert service["spec"]["selector"].items() <= labels.items()
        assert [port["port"] for port in spec["endpoints"]] == [port["name"] for port in service["spec"]["ports"]]
        assert service["spec"]["ports"][0]["targetPort"] == "http-metrics"
    else:
        (expression,) = spec["selector"]["matchExpressions"]
        labels = workload(overlay)["spec"]["template"]["metadata"]["labels"]
        assert labels[expression["key"]] in expression["values"]
        assert [port["port"] for port in spec["podMetricsEndpoints"]] == ["http-metrics"]


def test_one_ledger_has_one_writer() -> None:
    """Two replicas would count the same tokens twice, and so would an old pod beside its successor."""
    (claim,) = of_kind("central", "PersistentVolumeClaim")
    spec = workload("central")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]
    assert {"name": "data", "persistentVolumeClaim": {"claimName": claim["metadata"]["name"]}} in pod("central")[
        "volumes"
    ]
    assert pod("central")["securityContext"]["fsGroup"] == effective("central")["runAsGroup"]
    assert not of_kind("central", "HorizontalPodAutoscaler")


def test_readiness_is_the_programs_own() -> None:
    for overlay in ("central", "discovery", "gpu-node"):
        assert ours(overlay)["readinessProbe"]["httpGet"] == {"path": "/-/ready", "port": "http-metrics"}


def test_a_sidecar_cannot_take_the_engine_out_of_service() -> None:
    """A native sidecar's readiness counts for the pod, and a startup probe would hold the engine back."""
    assert ours("sidecar") in pod("sidecar")["initContainers"]
    assert ours("sidecar")["restartPolicy"] == "Always"
    assert not {"readinessProbe", "startupProbe", "lifecycle"} & ours("sidecar").keys()


def test_a_node_agent_sees_gpus_and_takes_none() -> None:
    environment = {variable["name"]: variable["value"] for variable in ours("gpu-node")["env"]}
    assert environment == {"NVIDIA_VISIBLE_DEVICES": "all", "NVIDIA_DRIVER_CAPABILITIES": "utility"}
    assert pod("gpu-node")["runtimeClassName"] == "nvidia"
    assert pod("gpu-node")["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    assert pod("gpu-node")["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert "updateStrategy" not in workload("gpu-node")["spec"]  # the default has no surge: one agent on a node


def test_to_find_pods_it_may_list_and_watch_pods_of_their_namespace_and_nothing_else() -> None:
    (role,) = of_kind("discovery", "Role")
    (binding,) = of_kind("discovery", "RoleBinding")
    (account,) = of_kind("discovery", "ServiceAccount")
    assert role["rules"] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]}]
    assert binding["roleRef"] == {
        "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role["metadata"]["name"],
    }  # fmt: skip
    (subject,) = binding["subjects"]
    named = {"name": account["metadata"]["name"], "namespace": account["metadata"]["namespace"]}
    assert subject == {"kind": "ServiceAccount", **named}
    assert pod("discovery")["serviceAccountName"] == account["metadata"]["name"]
    assert {found["metadata"]["namespace"] for found in (role, binding)} == {"llm"}
    (config,) = [found["data"]["tokencost.yml"] for found in of_kind("discovery", "ConfigMap")
                 if "tokencost.yml" in found["data"]]  # fmt: skip
    owners = [owner for section in ("pools", "gateways") for owner in yaml.safe_load(config)[section]]
    assert [owner["discover"][0]["kubernetes"]["namespace"] for owner in owners] == ["llm", "llm"]


def test_to_find_pods_it_may_go_out_to_the_kubernetes_api() -> None:
    policy = next(
        found for found in of_kind("discovery", "NetworkPolicy") if found["metadata"]["name"].endswith("discovery")
    )
    labels = workload("discovery")["spec"]["template"]["metadata"]["labels"]
    assert policy["metadata"]["namespace"] == workload("discovery")["metadata"]["namespace"]
    assert policy["spec"]["policyTypes"] == ["Egress"]
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    (way_out,) = policy["spec"]["egress"]
    assert [port["port"] for port in way_out["ports"]] == [443, 6443]
    assert {"169.254.0.0/16", "fe80::/10"} == {block for to in way_out["to"] for block in to["ipBlock"]["except"]}


@pytest.mark.parametrize("overlay", ["central", "gpu-node"])
def test_its_namespace_is_its_own_and_lets_nothing_privileged_in(overlay: str) -> None:
    (namespace,) = of_kind(overlay, "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    homes = {found["metadata"].get("namespace") for found in GOLDENS[overlay] if found["kind"] != "Namespace"}
    assert homes == {namespace["metadata"]["name"]}
    assert GOLDENS[overlay][0] is namespace  # kubectl applies in this order


@pytest.mark.parametrize("overlay", ["central", "gpu-node"])
def test_the_network_policy_lets_in_the_scraper_and_out_to_what_is_read(overlay: str) -> None:
    (policy,) = of_kind(overlay, "NetworkPolicy")
    spec = policy["spec"]
    labels = workload(overlay)["spec"]["template"]["metadata"]["labels"]
    assert spec["podSelector"]["matchLabels"].items() <= labels.items()
    assert spec["podSelector"]["matchLabels"]
    assert sorted(spec["policyTypes"]) == ["Egress", "Ingress"]
    (way_in,) = spec["ingress"]
    assert [peer["namespaceSelector"]["matchLabels"] for peer in way_in["from"]] == [
        {"kubernetes.io/metadata.name": "monitoring"}
    ]
    assert way_in["ports"] == [{"protocol": "TCP", "port": "http-metrics"}]
    ways_out = {port["port"] for rule in spec["egress"] for port in rule["ports"]}
    assert ways_out == {53, 8000, 4000}
    assert all(peer.get("namespaceSelector") for rule in spec["egress"] for peer in rule["to"])  # nowhere is "anywhere"
