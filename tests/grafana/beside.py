"""Series that the dashboards read and this exporter's page does not have: Prometheus's own."""

from __future__ import annotations

from collections.abc import Mapping

from exporter.publish.catalog import by_name

SCRAPED = ("job", "instance", "cluster")  # labels that a scrape adds, and a label of the whole Prometheus
OTHERS: Mapping[str, tuple[str, ...]] = {
    "up": (),
    "process_cpu_seconds_total": (),
    "process_resident_memory_bytes": (),
    "ALERTS": ("alertname", "alertstate", "severity", "budget", "pool", "tenant", "target", "model_name"),
}
LABELS: Mapping[str, tuple[str, ...]] = {**OTHERS, **{metric.name: metric.labels for metric in by_name().values()}}
# What stands beside the page in a scrape.
BESIDE = (
    b"up 1",
    b'ALERTS{alertname="TokencostUnpricedUsage",alertstate="firing",severity="warning",pool="openai"} 1',
)
