"""The MIG instances of one GPU. They come and go while the program runs, so they are looked for at every reading."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from exporter.metering.labels import safe
from exporter.records import Gpu
from exporter.sources.nvml import gpm
from exporter.sources.nvml.absences import Absences
from exporter.sources.nvml.library import LOST, OVER, Code, Handle, Library, NvmlError, Question
from exporter.sources.nvml.memory import memory

MOST: Question = ("nvmlDeviceGetMaxMigDeviceCount",)
NAME: Question = ("nvmlDeviceGetName",)  # "NVIDIA H100 80GB HBM3 MIG 1g.10gb"
ATTRIBUTES: Question = ("nvmlDeviceGetAttributes_v2",)
PROFILE = "nvmlDeviceGetGpuInstanceProfileInfo"
PROFILES = range(0x12)  # NVML_GPU_INSTANCE_PROFILE_COUNT
NO_INSTANCE = frozenset({Code.NOT_FOUND, Code.INVALID_ARGUMENT})  # what NVML says of a slot without one


@dataclass(frozen=True, slots=True)
class Instance:
    """What does not change while an instance lives."""

    uuid: str
    profile: str
    gpu_instance: int
    compute_instance: int
    slices: int
    handle: Handle
    activity: gpm.Activity


class Instances:
    """Those of one GPU while MIG is on."""

    def __init__(self, library: Library, gpu: Handle, whole: Gpu, absences: Absences) -> None:
        """`whole`: the GPU's own uuid, name and product."""
        self._library = library
        self._gpu = gpu
        self._whole = whole
        self._absences = absences
        self._slots = gpu.ask(MOST) or 0
        self._of_slices = _slices_of(gpu) or self._slots or 7
        self._gpm = gpm.supported(gpu)
        self._known: dict[tuple[str, str], Instance] = {}

    def read(self) -> list[Gpu]:
        """Every instance that there is. NvmlError when the GPU is lost."""
        found = dict(filter(None, map(self._look, range(self._slots))))
        for key in self._known.keys() - found.keys():
            self._known.pop(key).activity.close()
        self._known = found
        cuts = Counter(instance.gpu_instance for instance in found.values())
        return [self._read(instance, whole=cuts[instance.gpu_instance] == 1) for instance in found.values()]

    def close(self) -> None:
        """Give back what NVML gave. Before it is shut down."""
        for instance in self._known.values():
            instance.activity.close()
        self._known = {}

    def _look(self, slot: int) -> tuple[tuple[str, str], Instance] | None:
        name = f"{self._whole.name}, MIG slot {slot},"
        try:
            handle = Handle(
                self._library, self._library.call("nvmlDeviceGetMigDeviceHandleByIndex", self._gpu.value, slot)
            )
            # MIG UUIDs are of version 5, made from names: an instance of another size may come to have the same one.
            key = self._library.call("nvmlDeviceGetUUID", handle.value), handle.ask(NAME) or ""
            instance = self._known.get(key) or self._made(*key, handle)
        except NvmlError as error:
            if error.code in OVER | LOST:
                raise
            if error.code in NO_INSTANCE:
                self._absences.ended(name)
            else:
                self._absences.gone(name, error)
            return None
        instance.handle.value = handle.value
        self._absences.back(name)
        return key, instance

    def _made(self, uuid: str, name: str, handle: Handle) -> Instance:
        gpu_instance = self._library.call("nvmlDeviceGetGpuInstanceId", handle.value)
        profile = name.partition(" MIG ")[2]
        attributes, first = handle.ask(ATTRIBUTES), re.match(r"\d{1,2}", profile)
        told = (attributes and attributes.computeInstanceSliceCount, first and int(first[0]))
        return Instance(
            uuid=safe(uuid),
            profile=safe(profile),
            gpu_instance=gpu_instance,
            compute_instance=self._library.call("nvmlDeviceGetComputeInstanceId", handle.value),
            slices=next((slices for slices in told if slices and slices <= self._of_slices), 0),
            handle=handle,
            activity=gpm.Activity(self._library, self._gpu, gpu_instance),
        )

    def _read(self, instance: Instance, *, whole: bool) -> Gpu:
        """`whole`: it has its GPU instance for itself. What shares one is not told apart by GPM."""
        name = f"{self._whole.name}:{instance.gpu_instance}"
        total, used = memory(instance.handle)
        return Gpu(
            uuid=instance.uuid,
            name=name if whole else f"{name}:{instance.compute_instance}",
            product=self._whole.product,
            parent=self._whole.uuid,
            mig_profile=instance.profile,
            slices=instance.slices,
            of_slices=self._of_slices,
            utilization=instance.activity.take() if whole and self._gpm else None,
            memory_used=used,
            memory_total=total,
        )


def _slices_of(gpu: Handle) -> int:
    """Compute slices of the largest instance the GPU can be cut into: 7, of an A30 4. 0: it does not say."""
    questions = (((PROFILE, profile), (PROFILE, profile, 1)) for profile in PROFILES)
    return max(
        (answer.sliceCount for both in questions if (answer := gpu.first(both)) and answer.sliceCount < 64), default=0
    )
