"""How busy a MIG instance was between two readings: GPU Performance Monitoring, on Hopper and newer.

The other ways to ask for utilisation say nothing about instances.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from exporter.sources.nvml.library import LOST, OVER, REFUSED, Handle, Library, NvmlError

SUPPORT = ("nvmlGpmQueryDeviceSupport",)
VERSION = 1  # NVML_GPM_METRICS_GET_VERSION
GRAPHICS_UTIL = 1  # NVML_GPM_METRIC_GRAPHICS_UTIL: percent of time that anything ran


def supported(gpu: Handle) -> bool:
    """True if the GPU can be asked."""
    answer = gpu.ask(SUPPORT)
    return bool(answer and answer.isSupportedDevice)


class Activity:
    """One GPU instance, asked through its GPU's handle: with the instance's own, NVML fails."""

    def __init__(self, library: Library, gpu: Handle, instance: int) -> None:
        self._library = library
        self._gpu = gpu
        self._instance = instance
        self._last: Any = None  # the sample of the last reading
        self._spare: Any = None
        self._refused = False

    def take(self) -> float | None:
        """The share of time at work, 0 to 1, since the last call. None: there is nothing to say."""
        if self._refused:
            return None
        try:
            return self._take()
        except NvmlError as error:
            if error.code in OVER | LOST:
                raise
            self._refused = error.code in REFUSED
            return None

    def close(self) -> None:
        """Give the samples back. Before NVML is shut down, or never."""
        for sample in filter(None, (self._last, self._spare)):
            with suppress(NvmlError):
                self._library.call("nvmlGpmSampleFree", sample)
        self._last = self._spare = None

    def _take(self) -> float | None:
        self._spare = self._spare or self._library.call("nvmlGpmSampleAlloc")
        self._library.call("nvmlGpmMigSampleGet", self._gpu.value, self._instance, self._spare)
        before, self._last, self._spare = self._last, self._spare, self._last
        if before is None:
            return None
        query = self._library.new("c_nvmlGpmMetricsGet_t")
        query.version, query.numMetrics = VERSION, 1
        query.sample1, query.sample2 = before, self._last
        query.metrics[0].metricId = GRAPHICS_UTIL
        self._library.call("nvmlGpmMetricsGet", query)
        metric = query.metrics[0]
        return metric.value / 100 if metric.nvmlReturn == 0 and 0 <= metric.value <= 100 else None
