"""A pod as an address: from when it runs until it is gone."""

from __future__ import annotations

from typing import Any

import pytest

from exporter.discovery.found import TENANT, Address
from exporter.discovery.pods import address
from tests.discovery.cluster import pod


def labels(found: Address | None) -> dict[str, str]:
    assert found
    return dict(found.labels)


def host(one: dict[str, Any], port: int | str = 8000) -> str | None:
    found = address(one, port, None)
    return found.host if found else None


def test_a_running_pod_has_an_address_by_number_or_name_of_a_port() -> None:
    assert host(pod("a", "10.0.0.1"), 9000) == "10.0.0.1:9000"
    assert host(pod("a", "10.0.0.1"), "http") == "10.0.0.1:8000"
    assert host(pod("a", "fd00::1"), "http") == "[fd00::1]:8000"
    assert host(pod("a", "10.0.0.1"), "missing") == "10.0.0.1:missing"  # to be refused by that name


def test_a_native_sidecar_has_ports_too() -> None:
    one = pod("a", "10.0.0.1")
    one["spec"] = {"initContainers": [{"ports": [{"name": "http", "containerPort": 7}]}], "containers": [{}]}
    assert host(one, "http") == "10.0.0.1:7"


@pytest.mark.parametrize(("phase", "ip"), [("Pending", ""), ("Running", ""), ("Succeeded", "1.2.3.4"), ("Failed", "1")])
def test_one_that_does_not_run_has_none(phase: str, ip: str) -> None:
    assert host(pod("a", ip, phase)) is None
    assert address({"metadata": {}, "spec": {}}, 1, None) is None


def test_one_that_is_being_deleted_or_is_not_ready_still_counts() -> None:
    one = pod("a", "10.0.0.1", deletionTimestamp="2026-11-22T00:00:00Z")
    one["status"]["conditions"] = [{"type": "Ready", "status": "False"}]
    assert host(one) == "10.0.0.1:8000"


def test_its_labels_are_kept_and_its_annotation_names_the_tenant() -> None:
    one = pod("a", "10.0.0.1", labels={"app": "llama", TENANT: "forged"}, annotations={"llm/team": "blue"})
    own = {"app": "llama", "__meta_kubernetes_namespace": "llm", "__meta_kubernetes_pod_name": "a"}
    assert labels(address(one, 8000, "llm/team")) == {**own, TENANT: "blue"}
    assert labels(address(one, 8000, "other"))[TENANT] == ""
    assert labels(address(pod("a", "10.0.0.1"), 8000, "llm/team"))[TENANT] == ""
