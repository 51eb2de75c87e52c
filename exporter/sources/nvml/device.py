"""One GPU: what it is, what it says of itself, and its MIG instances."""

from __future__ import annotations

from dataclasses import replace

from exporter.metering.labels import safe
from exporter.records import Gpu, Instant
from exporter.sources.nvml.absences import Absences
from exporter.sources.nvml.library import Handle, Library, Question
from exporter.sources.nvml.memory import memory
from exporter.sources.nvml.mig import Instances
from exporter.sources.nvml.samples import Utilization

# Since Ampere, except GA100, the mean over the last second.
POWER: tuple[Question, ...] = (("nvmlDeviceGetPowerUsage",),)
ENERGY: tuple[Question, ...] = (("nvmlDeviceGetTotalEnergyConsumption",),)
TEMPERATURE: tuple[Question, ...] = (("nvmlDeviceGetTemperature", 0), ("nvmlDeviceGetTemperatureV", 0))
SAMPLES: Question = ("nvmlDeviceGetSamples", 1)  # NVML_GPU_UTILIZATION_SAMPLES
NAME: Question = ("nvmlDeviceGetName",)
RATES: Question = ("nvmlDeviceGetUtilizationRates",)
MIG_MODE: Question = ("nvmlDeviceGetMigMode",)

# The field of a sample's value by its nvmlValueType_t.
VALUE = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")

# More than this is no measurement: NVML's "not available" is all ones.
MOST_MILLIWATTS = 100_000_000
MOST_MILLIJOULES = 1 << 63
MOST_DEGREES = 1_000


class Device:
    """The GPU at one index. NvmlError when it cannot be had at all."""

    def __init__(self, library: Library, index: int, absences: Absences) -> None:
        self._library = library
        self._absences = absences
        self._handle = Handle(library, library.call("nvmlDeviceGetHandleByIndex", index))
        uuid = safe(library.call("nvmlDeviceGetUUID", self._handle.value))
        self._gpu = Gpu(uuid, name=str(index), product=safe(self._handle.ask(NAME) or ""))
        self._utilization = Utilization()
        self._instances: Instances | None = None

    def read(self, at: Instant) -> list[Gpu]:
        """The GPU, then its instances. NvmlError when it is lost."""
        self._follow_mig_mode()
        total, used = memory(self._handle)
        gpu = replace(
            self._gpu,
            utilization=self._busy(at),
            memory_used=used,
            memory_total=total,
            power=_thousandths(self._handle.first(POWER), MOST_MILLIWATTS),
            energy=_thousandths(self._handle.first(ENERGY), MOST_MILLIJOULES),
            temperature=_degrees(self._handle.first(TEMPERATURE)),
        )
        return [gpu, *(self._instances.read() if self._instances else ())]

    def close(self) -> None:
        """Give back what NVML gave. Before it is shut down."""
        if self._instances:
            self._instances.close()
            self._instances = None

    def _follow_mig_mode(self) -> None:
        mode = self._handle.ask(MIG_MODE)  # that of now, and that after the next reset
        if mode is None or bool(mode[0]) == bool(self._instances):
            return
        self._handle.forget()
        if self._instances:
            self.close()
        else:
            self._instances = Instances(self._library, self._handle, self._gpu, self._absences)

    def _busy(self, at: Instant) -> float | None:
        """Mean share of time at work since the last reading; without samples, over the driver's last sample period."""
        kind, samples = self._handle.ask(SAMPLES, self._utilization.since) or (0, ())
        field = VALUE[kind] if kind < len(VALUE) else "uiVal"
        pairs = ((sample.timeStamp, getattr(sample.sampleValue, field)) for sample in samples)
        busy = self._utilization.take(pairs, at.monotonic_ns)
        if busy is None and (rates := self._handle.ask(RATES)) and rates.gpu <= 100:
            busy = rates.gpu / 100
        return busy


def _thousandths(value: int | None, most: int) -> float | None:
    return value / 1000 if value is not None and value < most else None


def _degrees(value: int | None) -> float | None:
    return float(value) if value is not None and abs(value) < MOST_DEGREES else None
