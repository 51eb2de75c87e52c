"""Drives stub.c: NVIDIA's library without a GPU, under the real pynvml, changed while programs use it.

In a child process: `LD_LIBRARY_PATH` must name the folder of the library before it starts (`StubDriver.environment`).
In this process: `preload` has it loaded, and glibc gives whoever asks for its name the one that is there.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import subprocess
from collections.abc import Iterable
from itertools import count
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).with_name("stub.c")
LIBRARY = "libnvidia-ml.so.1"
GPUS, INSTANCES, SAMPLES, RULES, CALLS, TEXT = 16, 8, 100, 32, 64, 96
PERIOD = 166_667  # microseconds between two samples of a real driver
GIB = 1 << 30
ITSELF = -2  # a GPU and none of its instances
GENERATIONS = count(1)  # of the driver; the library of this process outlives a test


class Sample(ctypes.Structure):
    _fields_ = (("stamp", ctypes.c_uint64), ("value", ctypes.c_uint64))


class Instance(ctypes.Structure):
    _fields_ = (
        ("uuid", ctypes.c_char * TEXT),
        ("name", ctypes.c_char * TEXT),
        ("total", ctypes.c_uint64),
        ("used", ctypes.c_uint64),
        ("busy", ctypes.c_double),
        ("exists", ctypes.c_uint32),
        ("gpu_instance", ctypes.c_uint32),
        ("compute_instance", ctypes.c_uint32),
        ("slices", ctypes.c_uint32),
    )


class Device(ctypes.Structure):
    _fields_ = (
        ("uuid", ctypes.c_char * TEXT),
        ("name", ctypes.c_char * TEXT),
        ("total", ctypes.c_uint64),
        ("reserved", ctypes.c_uint64),
        ("used", ctypes.c_uint64),
        ("energy", ctypes.c_uint64),
        ("asked_since", ctypes.c_uint64),
        ("power", ctypes.c_uint32),
        ("temperature", ctypes.c_uint32),
        ("rate", ctypes.c_uint32),
        ("mig_capable", ctypes.c_uint32),
        ("mig", ctypes.c_uint32),
        ("slots", ctypes.c_uint32),
        ("slices", ctypes.c_uint32),
        ("gpm", ctypes.c_uint32),
        ("sample_type", ctypes.c_uint32),
        ("sample_count", ctypes.c_uint32),
        ("samples", Sample * SAMPLES),
        ("instances", Instance * INSTANCES),
    )


class Rule(ctypes.Structure):
    _fields_ = (
        ("function", ctypes.c_char * TEXT),
        ("gpu", ctypes.c_int32),
        ("instance", ctypes.c_int32),
        ("code", ctypes.c_int32),
        ("hang", ctypes.c_uint32),
        ("active", ctypes.c_uint32),
    )


class Call(ctypes.Structure):
    _fields_ = (("function", ctypes.c_char * TEXT), ("count", ctypes.c_uint64))


class State(ctypes.Structure):
    _fields_ = (
        ("size", ctypes.c_uint64),
        ("generation", ctypes.c_uint32),
        ("count", ctypes.c_uint32),
        ("gpm_samples", ctypes.c_int64),
        ("rules", Rule * RULES),
        ("calls", Call * CALLS),
        ("gpus", Device * GPUS),
    )


def build(folder: Path) -> Path:
    """Compile the library into `folder`. FileNotFoundError without a C compiler."""
    library = folder / LIBRARY
    flags = ("-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", f"-Wl,-soname,{LIBRARY}")
    subprocess.run(("cc", *flags, "-o", library, SOURCE), check=True)
    return library


def preload(library: Path, state: Path) -> ctypes.CDLL:
    """Have it loaded in this process, for good: whoever loads `libnvidia-ml.so.1` gets this one."""
    os.environ["NVML_STUB"] = str(state)
    return ctypes.CDLL(str(library))


class StubDriver:
    """A driver that is loaded and has no GPU yet. One at a time for a `state` file."""

    def __init__(self, library: Path, state: Path) -> None:
        if not state.exists():
            state.write_bytes(bytes(ctypes.sizeof(State)))
        with state.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), ctypes.sizeof(State))
        self._state = State.from_buffer(self._memory)
        ctypes.memset(ctypes.addressof(self._state), 0, ctypes.sizeof(State))
        self._state.size = ctypes.sizeof(State)
        self.environment = {"LD_LIBRARY_PATH": str(library.parent), "NVML_STUB": str(state)}
        self.restart()

    @property
    def gpus(self) -> Any:
        """The GPUs by index; what is set on one is what NVML says next."""
        return self._state.gpus

    def add(self, **values: Any) -> Any:
        """One more GPU: an H100 at rest, 1 GiB of 80 in use, with those values its own. Returns it."""
        index = self._state.count
        gpu = self._state.gpus[index]
        usual = {
            "uuid": f"GPU-{index:08d}-0000-0000-0000-000000000000".encode(), "name": b"NVIDIA H100 80GB HBM3",
            "total": 80 * GIB, "reserved": GIB, "used": GIB, "energy": 1_000_000, "power": 70_000, "temperature": 35,
            "mig_capable": 1, "slots": 7, "slices": 7, "gpm": 1, "sample_type": 1,
        }  # fmt: skip
        for name, value in (usual | values).items():
            setattr(gpu, name, value)
        self._state.count = index + 1
        return gpu

    def shrink(self, gpus: int) -> None:
        """The last ones are no longer there."""
        self._state.count = gpus

    def cut(self, gpu: int, slot: int, *, ids: tuple[int, int], slices: int = 1, **values: Any) -> Any:
        """A MIG instance of that GPU, whose MIG mode is turned on: GPU and compute instance ids. Returns it."""
        device = self._state.gpus[gpu]
        device.mig = 1
        instance = device.instances[slot]
        usual = {
            "uuid": f"MIG-{gpu:08d}-0000-5000-{ids[0]:04d}-{ids[1]:012d}".encode(),
            "name": device.name + f" MIG {slices}g.{slices * 10}gb".encode(), "total": slices * 10 * GIB, "used": GIB,
            "gpu_instance": ids[0], "compute_instance": ids[1], "slices": slices, "exists": 1,
        }  # fmt: skip
        for name, value in (usual | values).items():
            setattr(instance, name, value)
        return instance

    def sample(self, gpu: int, samples: Iterable[tuple[int, int]]) -> None:
        """(stamp, percent) into the GPU's buffer, which keeps the last hundred."""
        device = self._state.gpus[gpu]
        kept = [(one.stamp, one.value) for one in device.samples[: device.sample_count]]
        kept = [*kept, *samples][-SAMPLES:]
        for place, (stamp, value) in enumerate(kept):
            device.samples[place] = Sample(stamp, value)
        device.sample_count = len(kept)

    def fail(self, code: int, function: str = "", gpu: int = -1, instance: int = -1) -> None:
        """That function, or all of them, returns that nvmlReturn_t, for that device or all."""
        self._rule(function, gpu, instance, code=code)

    def hang(self, function: str = "", gpu: int = -1) -> None:
        """That function does not return until `heal`."""
        self._rule(function, gpu, -1, hang=1)

    def heal(self) -> None:
        """Nothing fails or hangs any more."""
        for rule in self._state.rules:
            rule.active = rule.hang = rule.code = 0

    def restart(self) -> None:
        """The driver is loaded anew: NVML must be initialised again."""
        self._state.generation = next(GENERATIONS)

    def unload(self) -> None:
        """There is no driver."""
        self._state.generation = 0

    def calls(self, function: str = "") -> int:
        """How often that function was called, or all of them."""
        wanted = function.encode()
        return sum(call.count for call in self._state.calls if not wanted or call.function == wanted)

    @property
    def gpm_samples(self) -> int:
        """How many samples of GPM are allocated and not freed."""
        return int(self._state.gpm_samples)

    def _rule(self, function: str, gpu: int, instance: int, *, code: int = 0, hang: int = 0) -> None:
        rule = next(rule for rule in self._state.rules if not rule.active)
        rule.function, rule.gpu, rule.instance = function.encode(), gpu, instance
        rule.code, rule.hang = code, hang
        rule.active = 1
