"""A pod, as the Kubernetes API shows it, as an address.

A pod counts from when it runs until it is gone: one that is being deleted still serves, and one that is not ready may
have counted tokens already. `Pending` has no server yet, `Succeeded` and `Failed` none any more.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from exporter.discovery.found import TENANT, Address
from exporter.discovery.groups import LONGEST_VALUE, MOST_LABELS

Pod = dict[str, Any]


def address(pod: Pod, port: int | str, tenant_annotation: str | None) -> Address | None:
    """Where its metrics are; None while it does not run. A port's name that no container has stands as it is: it is
    refused, by name, like any address that is none."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    ip = status.get("podIP")
    if status.get("phase") != "Running" or not ip:
        return None
    labels = dict(sorted((metadata.get("labels") or {}).items())[:MOST_LABELS])
    labels["__meta_kubernetes_namespace"] = metadata.get("namespace", "")
    labels["__meta_kubernetes_pod_name"] = metadata.get("name", "")
    if tenant_annotation:
        labels[TENANT] = (metadata.get("annotations") or {}).get(tenant_annotation, "")[:LONGEST_VALUE]
    number = port if isinstance(port, int) else next(_numbers(pod["spec"], port), port)
    return Address(f"[{ip}]:{number}" if ":" in ip else f"{ip}:{number}", tuple(sorted(labels.items())))


def _numbers(spec: dict[str, Any], name: str) -> Iterator[int]:
    """Of the container ports with that name; native sidecars are among the init containers."""
    for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
        yield from (port["containerPort"] for port in container.get("ports") or () if port.get("name") == name)
