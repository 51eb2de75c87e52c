"""dcgm-exporter, every generation of names from 1.x to 4.9: its GPUs, their MIG instances, and who holds them.

Utilization is DCGM's own, of its last collection (every 30 s by default) and not of ours: a page that is read more
often says the same again. GR_ENGINE_ACTIVE is the share of that interval in which anything ran on the GPU; GPU_UTIL
means the same and is the driver's sample of the second before the collection, or less of it. So the first is taken
where it is there, and for MIG instances alone: their GPU_UTIL is absent, or 0 (dcgm-exporter #216). A 0 beside a
GPU_UTIL above 0 is not believed: DCGM's profiling has stopped and said 0 under full load (dcgm-exporter #662).

With MIG on, the page lists instances under the UUID of their GPU, and the GPU itself usually not at all. What its
lines say of power, energy and temperature is the whole GPU's; memory and GR_ENGINE_ACTIVE are the instance's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from exporter.sources.gpu_table import MIB, OF_THE_GPU, Exporter, Field, Line, Part, Place, label
from exporter.sources.mig import slices

FIELDS = (
    Field("DCGM_FI_PROF_GR_ENGINE_UTIL_RATIO", "active"),  # 4.9 on, down to the temperature
    Field("DCGM_FI_DEV_GPU_UTIL_RATIO", "util"),
    Field("DCGM_FI_DEV_FB_USED_BYTES", "used"),
    Field("DCGM_FI_DEV_FB_FREE_BYTES", "free"),
    Field("DCGM_FI_DEV_FB_RESERVED_BYTES", "reserved"),
    Field("DCGM_FI_DEV_FB_CAPACITY_BYTES", "total"),
    Field("DCGM_FI_DEV_BOARD_POWER_WATTS", "power"),
    Field("DCGM_FI_DEV_GPU_ENERGY_JOULES_TOTAL", "energy"),
    Field("DCGM_FI_DEV_GPU_TEMP_CELSIUS", "temperature"),
    Field("DCGM_FI_PROF_GR_ENGINE_ACTIVE", "active"),  # 2.0 to 4.8
    Field("DCGM_FI_DEV_GPU_UTIL", "util", per=100),
    Field("DCGM_FI_DEV_FB_USED", "used", times=MIB),
    Field("DCGM_FI_DEV_FB_FREE", "free", times=MIB),
    Field("DCGM_FI_DEV_FB_RESERVED", "reserved", times=MIB),
    Field("DCGM_FI_DEV_FB_TOTAL", "total", times=MIB),  # not in the default CSV
    Field("DCGM_FI_DEV_POWER_USAGE", "power"),
    Field("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "energy", per=1000),  # mJ
    Field("DCGM_FI_DEV_GPU_TEMP", "temperature"),
    Field("dcgm_fi_prof_gr_engine_active", "active"),  # 1.x, and 1.x-compatibility-metrics.csv
    Field("dcgm_gpu_utilization", "util", per=100),
    Field("dcgm_fb_used", "used", times=MIB),
    Field("dcgm_fb_free", "free", times=MIB),
    Field("dcgm_power_usage", "power"),
    Field("dcgm_total_energy_consumption", "energy", per=1000),
    Field("dcgm_gpu_temp", "temperature"),
)

# DCGM's values for "blank", "not found", "not supported" and "not permitted" of its 32-bit integers and its floating
# point numbers, which are within reach of an energy; those of 64-bit integers, 9223372036854775792 on, are not.
BLANKS = frozenset(float(blank + kind) for blank in (0x7FFFFFF0, 1 << 47) for kind in range(4))

BESIDES = (  # vgpu: which replica of a shared GPU; hpc_job: Slurm's; the rest with KUBERNETES_ENABLE_DRA
    "vgpu", "hpc_job", "dra_claim_name", "dra_claim_namespace", "dra_driver_name", "dra_pool_name", "dra_device_name",
    "dra_mig_profile", "dra_mig_device_uuid",
)  # fmt: skip


def places(lines: Sequence[Line], _address: str) -> Iterable[Place | None]:
    return map(_place, lines)


def _place(line: Line) -> Place | None:
    labels = line.labels
    if not (uuid := label(labels, "UUID", "uuid", "gpu_uuid")):
        return None  # a CPU, a switch or a link
    profile = labels.get("GPU_I_PROFILE", "")
    product = label(labels, "modelName", "model_name")
    cut, of = slices(profile, product)
    place = Place(uuid, label(labels, "Hostname", "hostname"), labels.get("gpu", ""), product, of)
    if not (instance := labels.get("GPU_I_ID", profile)):
        return place
    part = Part(instance, profile, cut)
    if line.field.what in OF_THE_GPU:
        return place._replace(part=part)
    return place._replace(part=part, says="nothing" if line.field.what == "util" else "part")


DCGM = Exporter(
    "dcgm",
    "dcgm-exporter",
    FIELDS,
    places,
    gaps="utilization of a MIG instance without `GR_ENGINE_ACTIVE`; who used how much of a GPU that is shared in time",
    besides=BESIDES,
    blanks=BLANKS,
)
