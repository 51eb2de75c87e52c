"""AMD device-metrics-exporter, 1.0 to 1.5: its GPUs, their partitions, and the pods or jobs that hold them.

Names come with the prefix `amd_` of its example config, or without; another `MetricsFieldPrefix` is not read.

Utilization is `gpu_gfx_activity`, the firmware's own average of the graphics engines, over a time that AMD does not
name; the exporter asks for it when it is scraped, every 15 s at most. A 0 beside engines that are at work in that
moment (`gpu_gfx_busy_instantaneous`) is not believed: it was 0 under full load (device-metrics-exporter #135, #160).
The profiler's `gpu_prof_*`, off by default, look at 1 ms.

A partitioned GPU (DPX, TPX, QPX, CPX) is listed once for each partition, under one serial number. Power, energy and
temperature stand on partition 0, and are the whole GPU's; other partitions show 0 W. `gpu_gfx_activity` is not meant
for partitions: theirs is what their engines did in that moment. Memory is each partition's own. All partitions of a
GPU are of one size; into how many CPX cuts it, its product tells, else the partitions listed, if they can be all. 1.5
has been seen to list partition 0 alone (#495). How memory is divided (NPS) changes none of this.

Memory is in MiB. Energy is a gauge in microjoules that counts up since the driver was loaded. Versions before 1.4
print 0 where a GPU does not measure: 0 W, 0 degrees and 0 bytes in all are none. The product is `card_series` ("AMD
Instinct MI300X"), a label to be switched on, else `card_model`, often a part number ("102-G36218-0C"). A virtual
function may have neither, and no serial number: it is told apart by `gpu_uuid`, else by host and `gpu_id`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from exporter.sources.gpu_table import MIB, OF_THE_GPU, Exporter, Field, Line, Part, Place, label

PLAIN = (
    Field("gpu_gfx_activity", "active", per=100),
    Field("gpu_gfx_busy_instantaneous", "util", per=100),  # of each compute die
    Field("gpu_used_vram", "used", times=MIB),
    Field("gpu_total_vram", "total", times=MIB),
    Field("gpu_package_power", "power"),  # MI3xx
    Field("gpu_average_package_power", "power"),  # MI2xx, Radeon
    Field("gpu_power_usage", "power"),
    Field("gpu_energy_consumed", "energy", per=1_000_000),
    Field("gpu_edge_temperature", "temperature"),  # MI2xx
    Field("gpu_junction_temperature", "temperature"),  # MI3xx
)
FIELDS = tuple(field._replace(name=prefix + field.name) for prefix in ("amd_", "") for field in PLAIN)

# Into how many partitions a mode cuts a GPU; CPX: one for each of its compute dies.
PARTITIONS = {"dpx": 2, "tpx": 3, "qpx": 4, "cpx": 0}
DIES = (("MI300A", 6), ("MI308X", 4), ("MI300X", 8), ("MI325X", 8), ("MI350X", 8), ("MI355X", 8))
NONE = frozenset({"", "N/A", "NA", "None", "unknown", "00000000-0000-0000-0000-000000000000"})


class Seen(NamedTuple):
    """What the labels of a line say."""

    host: str
    gpu: str
    product: str
    serial: str
    uuid: str
    mode: str  # "" for a GPU that is not partitioned
    partition: int


def places(lines: Sequence[Line], address: str) -> Iterable[Place | None]:
    seen = [_seen(line.labels) for line in lines]
    gpus: defaultdict[str, set[str]] = defaultdict(set)  # by serial number; a board with two has one number
    first: dict[str, str] = {}  # index of partition 0
    last: defaultdict[str, int] = defaultdict(int)
    for one in seen:
        if not one.mode:
            gpus[one.serial].add(one.gpu)
            continue
        last[one.serial] = max(last[one.serial], one.partition)
        if one.partition == 0:
            first[one.serial] = one.gpu
    for line, one in zip(lines, seen, strict=True):
        if one.mode:
            yield _partition(one, line, first.get(one.serial, ""), last[one.serial] + 1) if one.serial else None
            continue
        serial = one.serial if len(gpus[one.serial]) == 1 else f"{one.serial}/{one.gpu}"
        uuid = serial if one.serial else one.uuid or (one.gpu and f"{one.host or address}/{one.gpu}")
        yield Place(uuid, one.host, one.gpu, one.product, tile=_die(line)) if uuid else None


def _seen(labels: Mapping[str, str]) -> Seen:
    mode, partition = labels.get("gpu_compute_partition_type", "").lower(), labels.get("gpu_partition_id", "")
    cut = mode in PARTITIONS and partition.isdecimal() and len(partition) < 3
    return Seen(
        labels.get("hostname", ""), labels.get("gpu_id", ""),
        _given(labels, "card_series") or _given(labels, "card_model"),
        _given(labels, "serial_number"), _given(labels, "gpu_uuid"),
        mode if cut else "", int(partition) if cut else 0,
    )  # fmt: skip


def _partition(one: Seen, line: Line, first: str, listed: int) -> Place:
    of = PARTITIONS[one.mode] or next((dies for name, dies in DIES if name in one.product), 0)
    if not of and listed in {dies for _, dies in DIES}:
        of = listed
    part = Part(str(one.partition), one.mode, 1 if one.partition < of else 0, one.gpu)
    place = Place(one.serial, one.host, first, one.product, max(of, 1), part, "part", _die(line))
    if line.field.what in OF_THE_GPU:
        return place._replace(says="nothing" if one.partition else "gpu")
    return place._replace(says="nothing") if line.field.what == "active" else place


def _die(line: Line) -> str:
    return line.labels.get("xcc_index", "")


def _given(labels: Mapping[str, str], name: str) -> str:
    value = label(labels, name)
    return "" if value in NONE else value


AMD = Exporter(
    "amd",
    "AMD device-metrics-exporter",
    FIELDS,
    places,
    gaps="utilization of a partition but for the moment of the scrape; power of a partition; names with a prefix "
    "of your own",
    besides=("job_id", "job_user", "job_partition"),
    never_zero=frozenset({"power", "energy", "temperature", "total"}),
)
