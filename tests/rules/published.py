"""What a rule may ask for: the exporter's metrics with their labels, and the labels that Prometheus adds."""

from __future__ import annotations

from collections.abc import Mapping

from exporter.publish.catalog import CATALOG

# Labels of every scraped series; `cluster` where a server adds it.
TARGET = frozenset({"cluster", "job", "instance"})

CATALOGUED = {metric.name: frozenset(metric.labels) for metric in CATALOG}

# Metric -> labels of its series in Prometheus.
SERIES: Mapping[str, frozenset[str]] = {
    name: labels | TARGET for name, labels in {**CATALOGUED, "up": frozenset[str]()}.items()
}
COUNTERS = frozenset(metric.name for metric in CATALOG if metric.type == "counter")
