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

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from exporter.errors import Reason, ScrapeError
from exporter.metering.labels import safe
from exporter.records import Gpu, GpuReading, Instant, Samples, Series
from exporter.sources.exposition import Scanner
from exporter.sources.sample import first_names

Labels = tuple[tuple[str, str], ...]
What = Literal["active", "util", "used", "free", "reserved", "total", "power", "energy", "temperature"]
OF_THE_GPU = frozenset({"power", "energy", "temperature"})  # whichever instance's line they stand on

MIB = 1 << 20
MOST_HOLDERS = 4096  # of one page: GPUs and instances, each as often as it is shared


class Field(NamedTuple):
    """What a metric says: value * times / per is in the record's unit."""

    what: What
    times: int = 1
    per: int = 1


# Newest names first: of several on one page, the first that has a value counts.
FIELDS: dict[str, Field] = {
    "DCGM_FI_PROF_GR_ENGINE_UTIL_RATIO": Field("active"),  # 4.9 on, down to the temperature
    "DCGM_FI_DEV_GPU_UTIL_RATIO": Field("util"),
    "DCGM_FI_DEV_FB_USED_BYTES": Field("used"),
    "DCGM_FI_DEV_FB_FREE_BYTES": Field("free"),
    "DCGM_FI_DEV_FB_RESERVED_BYTES": Field("reserved"),
    "DCGM_FI_DEV_FB_CAPACITY_BYTES": Field("total"),
    "DCGM_FI_DEV_BOARD_POWER_WATTS": Field("power"),
    "DCGM_FI_DEV_GPU_ENERGY_JOULES_TOTAL": Field("energy"),
    "DCGM_FI_DEV_GPU_TEMP_CELSIUS": Field("temperature"),
    "DCGM_FI_PROF_GR_ENGINE_ACTIVE": Field("active"),  # 2.0 to 4.8
    "DCGM_FI_DEV_GPU_UTIL": Field("util", per=100),
    "DCGM_FI_DEV_FB_USED": Field("used", times=MIB),
    "DCGM_FI_DEV_FB_FREE": Field("free", times=MIB),
    "DCGM_FI_DEV_FB_RESERVED": Field("reserved", times=MIB),
    "DCGM_FI_DEV_FB_TOTAL": Field("total", times=MIB),  # not in the default CSV
    "DCGM_FI_DEV_POWER_USAGE": Field("power"),
    "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION": Field("energy", per=1000),  # mJ
    "DCGM_FI_DEV_GPU_TEMP": Field("temperature"),
    "dcgm_fi_prof_gr_engine_active": Field("active"),  # 1.x, and 1.x-compatibility-metrics.csv
    "dcgm_gpu_utilization": Field("util", per=100),
    "dcgm_fb_used": Field("used", times=MIB),
    "dcgm_fb_free": Field("free", times=MIB),
    "dcgm_power_usage": Field("power"),
    "dcgm_total_energy_consumption": Field("energy", per=1000),
    "dcgm_gpu_temp": Field("temperature"),
}
NEWEST_FIRST = {name: index for index, name in enumerate(FIELDS)}

# In the record's units; above it a value is none. GPU_UTIL has been seen at 4294967295 (DCGM #199).
MOST: dict[What, float] = {"active": 1, "util": 1, "power": 1e5, "energy": 1e15, "temperature": 1000}
MOST_BYTES = 1 << 50
# DCGM's values for "blank", "not found", "not supported" and "not permitted" of its 32-bit integers and its floating
# point numbers, which are within reach of an energy; those of 64-bit integers, 9223372036854775792 on, are not.
BLANKS = frozenset(blank + kind for blank in (0x7FFFFFF0, 1 << 47) for kind in range(4))

UUID, HOST, PRODUCT = ("UUID", "uuid", "gpu_uuid"), ("Hostname", "hostname"), ("modelName", "model_name")
# Who holds the GPU, as the page may spell it, the most telling first. A Prometheus that scraped dcgm-exporter has put
# dcgm-exporter's own pod into the plain labels and the holder into exported_ ones, unless told to honor labels.
HOLDERS: tuple[dict[str, str], ...] = (
    {"exported_pod": "pod", "exported_namespace": "namespace", "exported_container": "container"},
    {"pod_name": "pod", "pod_namespace": "namespace", "container_name": "container"},  # --use-old-namespace
    {"pod": "pod", "namespace": "namespace", "container": "container"},
)
NO_POD, NOBODY = len(HOLDERS), len(HOLDERS) + 1
BESIDES = (  # vgpu: which replica of a shared GPU; hpc_job: Slurm's; the rest with KUBERNETES_ENABLE_DRA
    "vgpu", "hpc_job", "dra_claim_name", "dra_claim_namespace", "dra_driver_name", "dra_pool_name", "dra_device_name",
    "dra_mig_profile", "dra_mig_device_uuid",
)  # fmt: skip

# Compute slices of a GPU where they are not 7: "Supported GPUs" in NVIDIA's MIG User Guide.
SLICES = (("A30", 4), ("RTX PRO 6000", 4), ("RTX PRO 5000", 2), ("RTX PRO 4500", 2))
PROFILE = re.compile(r"(?<!\d)(\d{1,2})[cg]\.")  # "3g.40gb", "1g.10gb+me", "MIG 1g.24gb"; "1c.2g.20gb" is 1 of its 2


class DcgmReader:
    """Reads the pages of one address. Who is on a page is worked out again only when its series are others."""

    def __init__(self) -> None:
        self._scanner = Scanner(FIELDS, max_series=16 * MOST_HOLDERS)
        self._known: Samples = {}
        self._devices: tuple[Device, ...] = ()

    def read(self, target: str, body: bytes, at: Instant) -> GpuReading:
        """The page as a reading. ScrapeError: the scan's reasons, missing_series, too_many_series."""
        samples = self._scanner.scan(body)
        if samples.keys() != self._known.keys():
            self._devices, self._known = _devices(samples), samples
        if not self._devices:
            what = f"the page has no GPU of dcgm-exporter; its first metrics: {first_names(body)}"
            raise ScrapeError(Reason.MISSING_SERIES, f"{target}: {what}")
        return GpuReading(target, "dcgm", at, tuple(device.read(samples) for device in self._devices))


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU or an instance: who it is, and the lines that tell how it does."""

    gpu: Gpu  # without readings
    series: Mapping[What, tuple[Series, ...]]

    def read(self, samples: Samples) -> Gpu:
        said = {what: _first(what, series, samples) for what, series in self.series.items()}
        active, util, used, free, total = (said.get(what) for what in ("active", "util", "used", "free", "total"))
        if total is None and used is not None and free is not None:
            total = used + free + (said.get("reserved") or 0)  # older drivers reserve nothing apart from `used`
        return replace(
            self.gpu,
            utilization=active if active or util is None else util,
            memory_used=None if used is None else int(used),
            memory_total=None if total is None else int(total),
            power=said.get("power"),
            energy=said.get("energy"),
            temperature=said.get("temperature"),
        )


def _first(what: What, series: tuple[Series, ...], samples: Samples) -> float | None:
    """The first of these that has a value, in the record's unit."""
    for one in series:
        metric, raw = FIELDS[one.name], samples[one]
        value = raw * metric.times / metric.per
        if raw not in BLANKS and value <= MOST.get(what, MOST_BYTES):
            return value
    return None


@dataclass(slots=True)
class Listed:
    """A GPU or an instance as far as the lines read so far tell."""

    labels: dict[str, str]  # host, gpu, uuid, product, mig_profile, mig_id
    parent: str = ""
    series: dict[What, list[Series]] = field(default_factory=dict)
    held: int = NOBODY  # what says so: an index into HOLDERS, NO_POD or NOBODY
    holders: dict[Labels, None] = field(default_factory=lambda: {(): None})

    @property
    def name(self) -> str:
        return ":".join(self.labels[part] for part in ("host", "gpu", "mig_id") if self.labels[part])

    def says(self, what: What, series: Series) -> None:
        self.series.setdefault(what, []).append(series)

    def is_held(self, held: int, holder: Labels) -> None:
        """A line names this holder. Lines that tell less than another line of the same device are not holders."""
        if held < self.held:
            self.held, self.holders = held, {}
        if held == self.held:
            self.holders[holder] = None

    def device(self, name: str) -> Device:
        labels = self.labels
        of_slices = _of_slices(labels["product"])
        profile = PROFILE.search(labels["mig_profile"])
        slices = int(profile[1]) if profile else 0
        gpu = Gpu(
            labels["uuid"], name, labels["product"], self.parent, labels["mig_profile"],
            slices=slices if slices <= of_slices else 0,
            of_slices=of_slices,
            holders=tuple(_sorted(labels | dict(holder)) for holder in self.holders),
        )  # fmt: skip
        listed = {what: tuple(sorted(lines, key=_newest_first)) for what, lines in self.series.items()}
        return Device(gpu, listed)


def _devices(samples: Samples) -> tuple[Device, ...]:
    """Everything that the lines list, in their order, a GPU before its instances.

    Raises ScrapeError: too_many_series.
    """
    listed: dict[str, Listed] = {}
    for series in samples:
        what = FIELDS[series.name].what
        labels = {name: safe(value) for name, value in series.labels if value}
        if not (uuid := _label(labels, UUID)):
            continue  # a CPU, a switch or a link
        who = {"host": _label(labels, HOST), "gpu": labels.get("gpu", ""), "product": _label(labels, PRODUCT)}
        profile = labels.get("GPU_I_PROFILE", "")
        part = labels.get("GPU_I_ID", profile)
        whole = device = listed.setdefault(uuid, Listed({**who, "uuid": uuid, "mig_profile": "", "mig_id": ""}))
        if part:
            mine = {"uuid": f"{uuid}/{part}", "mig_profile": profile, "mig_id": part}
            device = listed.setdefault(mine["uuid"], Listed(who | mine, parent=uuid))
        if not part or what in OF_THE_GPU:
            whole.says(what, series)
        elif what != "util":
            device.says(what, series)
        device.is_held(*_holder(labels))
    if (count := sum(len(device.holders) for device in listed.values())) > MOST_HOLDERS:
        raise ScrapeError(
            Reason.TOO_MANY_SERIES, f"{count} GPUs, instances and sharers; at most {MOST_HOLDERS} are read"
        )
    names = Counter(device.name for device in listed.values())
    return tuple(
        device.device(device.name if device.labels["gpu"] and names[device.name] == 1 else device.labels["uuid"])
        for device in listed.values()
    )


def _holder(labels: Mapping[str, str]) -> tuple[int, Labels]:
    """Who the line says holds the GPU, and what says so: an index into HOLDERS, NO_POD or NOBODY."""
    besides = {name: labels[name] for name in BESIDES if name in labels}
    for index, spelling in enumerate(HOLDERS):
        if pod := {name: labels[spelled] for spelled, name in spelling.items() if spelled in labels}:
            return index, _sorted(pod | besides)
    return (NO_POD if besides else NOBODY), _sorted(besides)


def _label(labels: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((labels[name] for name in names if name in labels), "")


def _sorted(labels: Mapping[str, str]) -> Labels:
    return tuple(sorted((name, value) for name, value in labels.items() if value))


def _newest_first(series: Series) -> int:
    return NEWEST_FIRST[series.name]


def _of_slices(product: str) -> int:
    words = f" {product.replace('-', ' ')} "  # --replace-blanks-in-model-name
    return next((slices for name, slices in SLICES if f" {name} " in words), 7)
