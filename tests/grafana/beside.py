"""Series that the dashboards read and this exporter's page does not have: Prometheus's own."""

from __future__ import annotations

from collections.abc import Mapping

from exporter.publish.catalog import of_shard

SCRAPED = ("job", "instance", "cluster")  # labels that a scrape adds, and a label of the whole Prometheus
OTHERS: Mapping[str, tuple[str, ...]] = {
    "up": (),
    "process_cpu_seconds_total": (),
    "process_resident_memory_bytes": (),
    "ALERTS": ("alertname", "alertstate", "severity", "budget", "pool", "tenant", "target", "model_name"),
}
LABELS: Mapping[str, tuple[str, ...]] = {
    **OTHERS,
    **{metric.name: (*metric.labels, *(label for label, _ in metric.fixed)) for metric in of_shard("0")},
}
# What stands beside the page in a scrape.
BESIDE = (
    b"up 1",
    b'ALERTS{alertname="TokencostUnpricedUsage",alertstate="firing",severity="warning",pool="openai"} 1',
)
