"""NVML as a source of readings: kept initialised, given up and begun anew when the driver is, never in the way."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

from exporter.errors import Reason, ScrapeError
from exporter.records import NVML, Gpu, GpuReading, Instant
from exporter.sources.nvml.absences import Absences
from exporter.sources.nvml.device import Device
from exporter.sources.nvml.library import OVER, Code, Library, NvmlError
from exporter.sources.nvml.worker import LateError, Worker

ENGINE = "nvml"

CONTAINER = "a container needs the NVIDIA runtime, NVIDIA_VISIBLE_DEVICES and NVIDIA_DRIVER_CAPABILITIES=utility"
ADVICE: dict[int, tuple[Reason, str]] = {
    Code.LIBRARY_NOT_FOUND: (
        Reason.NO_LIBRARY,
        f"libnvidia-ml.so.1 cannot be loaded: it comes with the NVIDIA driver; {CONTAINER}",
    ),
    Code.DRIVER_NOT_LOADED: (
        Reason.NO_DRIVER,
        f"the NVIDIA kernel driver is not loaded, or its devices are not here: try nvidia-smi; {CONTAINER}",
    ),
    Code.NO_PERMISSION: (
        Reason.PERMISSION,
        "the driver refuses this user: it must be able to read and write /dev/nvidiactl and /dev/nvidia[0-9]*",
    ),
    Code.LIB_RM_VERSION_MISMATCH: (
        Reason.DRIVER,
        "libnvidia-ml.so.1 and the NVIDIA kernel driver are of different versions: restart this program, and if that"
        " does not help reload the driver or reboot",
    ),
}


class Nvml:
    """The GPUs that NVML shows this process. Nothing is loaded and no thread runs before the first reading.

    `timeout`: seconds for one reading. NVML and pynvml are one to a process, and so is this.
    """

    def __init__(self, timeout: float) -> None:
        self._worker = Worker("nvml", timeout)
        self._library = Library()
        self._absences = Absences()
        # The worker's from here on.
        self._open = False
        self._count = 0
        self._devices: dict[int, Device] = {}

    async def read(self, at: Instant) -> GpuReading:
        """All of them. ScrapeError: timeout, no_library, no_driver, permission, driver, or empty where there are none.

        A GPU that is lost or forbidden is left out; it takes all of them to fail. The next reading starts afresh.
        """
        try:
            gpus = await self._worker.run(partial(self._read, at))
        except LateError as error:
            raise ScrapeError(Reason.TIMEOUT, f"{NVML}: {error}") from None
        except NvmlError as error:
            reason, advice = ADVICE.get(error.code, (Reason.DRIVER, "see what nvidia-smi says"))
            raise ScrapeError(reason, f"{NVML}: {advice} ({error})") from None
        if not gpus:
            raise ScrapeError(Reason.EMPTY, f"{NVML}: the driver shows no GPU; {CONTAINER}")
        return GpuReading(NVML, ENGINE, at, gpus)

    async def close(self) -> None:
        """Shut NVML down, unless it hangs. There is no reading after it."""
        if self._worker.started:
            with suppress(LateError):
                await self._worker.run(self._close)
            self._worker.stop()

    def _read(self, at: Instant) -> tuple[Gpu, ...]:
        try:
            if not self._open:
                self._library.open()
                self._open = True
            gpus = self._read_all(at)
        except NvmlError:
            self._close()
            raise
        if not gpus:
            self._close()
        return gpus

    def _read_all(self, at: Instant) -> tuple[Gpu, ...]:
        count = self._library.call("nvmlDeviceGetCount")
        if count != self._count:  # another GPU may have any of the places
            self._drop()
            self._count = count
        gpus: list[Gpu] = []
        failed: NvmlError | None = None
        for index in range(count):
            try:
                gpus += self._device(index).read(at)
            except NvmlError as error:
                if error.code in OVER:
                    raise
                failed = error
                self._absences.gone(str(index), error)
                if index in self._devices:
                    self._devices.pop(index).close()
            else:
                self._absences.back(str(index))
        if failed and not gpus:
            raise failed
        return tuple(gpus)

    def _device(self, index: int) -> Device:
        if index not in self._devices:
            self._devices[index] = Device(self._library, index, self._absences)
        return self._devices[index]

    def _drop(self) -> None:
        for device in self._devices.values():
            device.close()
        self._devices = {}

    def _close(self) -> None:
        self._drop()
        if self._open:
            self._library.close()
            self._open = False
