"""The metrics of this process itself: process_* and python_*, from prometheus_client's own collectors."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import generate_latest as as_text
from prometheus_client.openmetrics.exposition import generate_latest as as_openmetrics

from exporter.publish.writer import Block


class Runtime:
    """Collects from a registry of its own: nothing an imported library registers globally gets onto the page."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)

    def block(self) -> Block:
        """What this process uses now, as the last piece of a page."""
        openmetrics: bytes = as_openmetrics(self._registry)  # type: ignore[no-untyped-call]
        return Block(
            {
                "text": b"\n" + as_text(self._registry).rstrip(b"\n"),
                "openmetrics": b"\n" + openmetrics.removesuffix(b"# EOF\n").rstrip(b"\n"),
            }
        )
