"""What a rule may ask for: the exporter's metrics with their labels, and the labels that Prometheus adds."""

from __future__ import annotations

from collections.abc import Mapping

from exporter.publish.catalog import CATALOG, of_shard

# Labels of every scraped series; `cluster` where a server adds it.
TARGET = frozenset({"cluster", "job", "instance"})

CATALOGUED = {
    metric.name: frozenset((*metric.labels, *(label for label, _ in metric.fixed))) for metric in of_shard("0")
}

# Metric -> labels of its series in Prometheus.
SERIES: Mapping[str, frozenset[str]] = {
    name: labels | TARGET for name, labels in {**CATALOGUED, "up": frozenset[str]()}.items()
}
COUNTERS = frozenset(metric.name for metric in CATALOG if metric.type == "counter")
