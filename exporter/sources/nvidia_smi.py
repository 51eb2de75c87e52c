"""nvidia_gpu_exporter (utkuozdemir), what nvidia-smi or, with its NVML backend, the driver says of this host's GPUs.

Utilization is the driver's sample of the last second or less at the time of the collection (the scrape, unless it
collects in the background), so bursts between two scrapes are not seen. With MIG on there is none; the NVML backend has
it for instances, Hopper or newer, as the mean since the collection before, and memory of each instance. Energy is in
the NVML backend only; without it power is taken over time.

Every line has the GPU's UUID without its `GPU-`, and no more: product and index stand on `nvidia_smi_gpu_info`, the MIG
profile on `nvidia_smi_mig_info`. Neither says who holds a GPU, nor on which host it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from exporter.sources.gpu_table import Exporter, Field, Line, Part, Place
from exporter.sources.mig import slices

FIELDS = (
    Field("nvidia_smi_utilization_gpu_ratio", "active"),
    Field("nvidia_smi_memory_used_bytes", "used"),
    Field("nvidia_smi_memory_total_bytes", "total"),
    Field("nvidia_smi_power_draw_watts", "power"),  # since Ampere, except GA100, the mean of a second
    Field("nvidia_smi_power_draw_average_watts", "power"),
    Field("nvidia_smi_power_draw_instant_watts", "power"),
    Field("nvidia_smi_energy_joules_total", "energy"),
    Field("nvidia_smi_temperature_gpu", "temperature"),
    Field("nvidia_smi_gpu_info", "info"),
    Field("nvidia_smi_mig_graphics_activity_ratio", "active"),
    Field("nvidia_smi_mig_memory_used_bytes", "used"),
    Field("nvidia_smi_mig_memory_total_bytes", "total"),
    Field("nvidia_smi_mig_info", "info"),
)
CUT = re.compile(r"\d{1,2}c\.")  # "1c.3g.40gb" is a part of an instance that has three slices


def places(lines: Sequence[Line], _address: str) -> Iterable[Place | None]:
    gpus: dict[str, Mapping[str, str]] = {}
    profiles: dict[tuple[str, str], str] = {}
    for name, labels in ((line.field.name, line.labels) for line in lines):
        if name == "nvidia_smi_gpu_info":
            gpus[labels.get("uuid", "")] = labels
        elif name == "nvidia_smi_mig_info":
            instance = labels.get("uuid", ""), labels.get("gpu_instance_id", "")
            profiles[instance] = CUT.sub("", labels.get("profile", ""))
    for labels in (line.labels for line in lines):
        if not (uuid := labels.get("uuid", "")):
            yield None
            continue
        info = gpus.get(uuid, {})
        product, instance_id = info.get("name", ""), labels.get("gpu_instance_id", "")
        profile = profiles.get((uuid, instance_id), "")
        cut, of = slices(profile, product)
        place = Place(f"GPU-{uuid.removeprefix('GPU-')}", "", info.get("index", ""), product, of)
        yield place._replace(part=Part(instance_id, profile, cut), says="part") if instance_id else place


NVIDIA_SMI = Exporter(
    "nvidia_smi",
    "nvidia_gpu_exporter",
    FIELDS,
    places,
    gaps="pods; the host; utilization between scrapes; utilization of a GPU with MIG on; without the NVML backend "
    "energy and MIG instances",
)
