"""The metrics of this process itself: how long its loop is held; process_* and python_*, from prometheus_client's own
collectors."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.exposition import generate_latest as as_text
from prometheus_client.openmetrics.exposition import generate_latest as as_openmetrics
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from exporter.loop import BOUNDS, Lag
from exporter.publish.catalog import by_name
from exporter.publish.writer import Block

LAG = "tokencost_event_loop_lag_seconds"


class Runtime:
    """Collects from a registry of its own: nothing an imported library registers globally gets onto the page."""

    def __init__(self, lag: Lag | None = None) -> None:
        self._registry = CollectorRegistry()
        if lag:
            self._registry.register(_Lag(lag))
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


class _Lag(Collector):
    """The histogram as prometheus_client writes it."""

    def __init__(self, lag: Lag) -> None:
        self._lag = lag

    def collect(self) -> Iterator[HistogramMetricFamily]:
        bounds = (floatToGoString(bound) for bound in (*BOUNDS, float("inf")))  # type: ignore[no-untyped-call]
        buckets = list(zip(bounds, accumulate(self._lag.counts), strict=True))
        yield HistogramMetricFamily(LAG, by_name()[LAG].help, buckets=buckets, sum_value=self._lag.seconds)
