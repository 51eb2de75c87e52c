"""From a page of an exporter of GPUs to a reading: its GPUs and their instances, and who holds them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import NamedTuple
from urllib.parse import urlsplit

from exporter.errors import Reason, ScrapeError
from exporter.metering.labels import safe
from exporter.records import Gpu, GpuReading, Instant, Samples, Series
from exporter.sources.exposition import Scanner
from exporter.sources.gpu_table import Exporter, Field, Line, Place, What
from exporter.sources.limits import LIMITS, Room
from exporter.sources.sample import first_names

Labels = tuple[tuple[str, str], ...]

MOST_HOLDERS = 4096  # of one page: GPUs and instances, each as often as it is shared

# In the record's units; above it a value is none. DCGM's GPU_UTIL has been seen at 4294967295 (DCGM #199), and AMD's
# energy that is not known at 2.8e14; 1e13 is 20 kW for 15 years.
MOST: dict[What, float] = {"active": 1, "util": 1, "power": 1e5, "energy": 1e13, "temperature": 1000}
MOST_BYTES = 1 << 50

# What the tiles of a GPU come to. Not their energy: two tiles have been seen to show one counter of their GPU.
TILES: dict[What, Callable[[list[float]], float]] = {
    "active": lambda values: sum(values) / len(values),
    "util": lambda values: sum(values) / len(values),
    "used": sum,
    "free": sum,
    "reserved": sum,
    "total": sum,
    "power": sum,
    "temperature": max,
}

# Who holds the GPU, as the page may spell it, the most telling first. A Prometheus that scraped an exporter has put
# the exporter's own pod into the plain labels and the holder into exported_ ones, unless told to honor labels.
HOLDERS: tuple[dict[str, str], ...] = (
    {"exported_pod": "pod", "exported_namespace": "namespace", "exported_container": "container"},
    {"pod_name": "pod", "pod_namespace": "namespace", "container_name": "container"},  # dcgm --use-old-namespace
    {"kube_pod": "pod", "kube_namespace": "namespace", "kube_container": "container"},  # XPUM
    {"pod": "pod", "namespace": "namespace", "container": "container"},
)
NO_POD, NOBODY = len(HOLDERS), len(HOLDERS) + 1


class GpuPage:
    """Reads the pages of one address. Who is on a page is worked out again only when its series are others."""

    def __init__(self, exporter: Exporter, room: Room | None = None) -> None:
        self._exporter = exporter
        self._fields: dict[str, list[tuple[int, Field]]] = {}  # by name, with their rank
        for rank, one in enumerate(exporter.fields):
            self._fields.setdefault(one.name, []).append((rank, one))
        self._scanner = Scanner(self._fields, replace(LIMITS, series=16 * MOST_HOLDERS, value=inf), room)
        self._known: Samples = {}
        self._devices: tuple[Device, ...] = ()

    def read(self, target: str, body: bytes, at: Instant) -> GpuReading:
        """The page as a reading. ScrapeError: the scan's reasons, missing_series, too_many_series."""
        if self._exporter.unended and body and not body.endswith(b"\n"):
            body += b"\n"
        samples = self._scanner.scan(body)
        if samples.keys() != self._known.keys():
            self._devices, self._known = self._list(samples, target), samples
        if not self._devices:
            what = f"the page has no GPU of {self._exporter.title}; its first metrics: {first_names(body)}"
            raise ScrapeError(Reason.MISSING_SERIES, f"{target}: {what}")
        return GpuReading(target, self._exporter.name, at, tuple(device.read(samples) for device in self._devices))

    def _list(self, samples: Iterable[Series], target: str) -> tuple[Device, ...]:
        """Everything that the lines list, in their order, a GPU before its instances.

        Raises ScrapeError: too_many_series.
        """
        found: list[tuple[Series, int]] = []
        lines: list[Line] = []
        for series in samples:
            labels = {name: safe(value) for name, value in series.labels if value}
            for rank, one in self._fields[series.name]:
                if all(labels.get(name, "") == value for name, value in one.only):
                    found.append((series, rank))
                    lines.append(Line(one, labels))
        listed: dict[str, Listed] = {}
        places = self._exporter.places(lines, urlsplit(target).netloc)
        for (series, rank), line, place in zip(found, lines, places, strict=True):
            if place:
                whole, device = _meet(listed, place)
                if line.field.what != "info" and place.says != "nothing":
                    (whole if place.says == "gpu" else device).says(line.field, rank, place.tile, series)
                device.is_held(*_holder(line.labels, self._exporter.besides))
        if (count := sum(len(device.holders) for device in listed.values())) > MOST_HOLDERS:
            raise ScrapeError(
                Reason.TOO_MANY_SERIES, f"{count} GPUs, instances and sharers; at most {MOST_HOLDERS} are read"
            )
        names = Counter(device.name for device in listed.values())
        return tuple(
            device.device(
                device.name if names[device.name] == 1 and device.name not in listed else uuid, self._exporter
            )
            for uuid, device in listed.items()
        )


class Row(NamedTuple):
    """The lines of one metric that tell one thing of a device."""

    own: tuple[Series, ...]  # of the whole device, in the page's order: the first that has a value counts
    tiles: tuple[tuple[Series, ...], ...]  # the same of each of its tiles
    combine: Callable[[list[float]], float] | None
    times: int
    per: int
    most: float
    tolerated: float  # above `most`, and still meant as it
    zero: bool  # is a value
    blanks: frozenset[float]

    def read(self, samples: Samples) -> float | None:
        value = self.first(self.own, samples)
        if value is not None or not self.tiles or not self.combine:
            return value
        values = [self.first(tile, samples) for tile in self.tiles]
        known = [value for value in values if value is not None]
        return self.combine(known) if len(known) == len(values) else None

    def first(self, lines: Iterable[Series], samples: Samples) -> float | None:
        for series in lines:
            raw = samples[series]
            value = raw * self.times / self.per
            if value <= self.tolerated and (value or self.zero) and raw not in self.blanks:
                return min(value, self.most)
        return None


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU or an instance: who it is, and the lines that tell how it does."""

    gpu: Gpu  # without readings
    rows: Mapping[What, tuple[Row, ...]]  # the most telling first

    def read(self, samples: Samples) -> Gpu:
        said: dict[What, float] = {}
        for what, rows in self.rows.items():
            for row in rows:
                if (value := row.read(samples)) is not None:
                    said[what] = value
                    break
        active, util, used, total = said.get("active"), said.get("util"), said.get("used"), said.get("total")
        if total is None and used is not None and (free := said.get("free")) is not None:
            total = used + free + said.get("reserved", 0)  # older drivers reserve nothing apart from `used`
        return replace(
            self.gpu,
            utilization=active if active or util is None else util,
            memory_used=None if used is None else int(used),
            memory_total=None if total is None else int(total),
            power=said.get("power"),
            energy=said.get("energy"),
            temperature=said.get("temperature"),
        )


@dataclass(slots=True)
class Listed:
    """A GPU or an instance as far as the lines read so far tell."""

    labels: dict[str, str]  # host, gpu, uuid, product, mig_profile, mig_id
    of_slices: int
    slices: int = 0
    parent: str = ""
    held: int = NOBODY  # what says so: an index into HOLDERS, NO_POD or NOBODY
    holders: dict[Labels, None] = field(default_factory=lambda: {(): None})
    lines: dict[int, tuple[Field, defaultdict[str, list[Series]]]] = field(default_factory=dict)  # by rank; by tile

    @property
    def name(self) -> str:
        """`host:0:1`, as far as it is known; without an index its uuid."""
        if not self.labels["gpu"]:
            return self.labels["uuid"]
        return ":".join(self.labels[part] for part in ("host", "gpu", "mig_id") if self.labels[part])

    def says(self, one: Field, rank: int, tile: str, series: Series) -> None:
        self.lines.setdefault(rank, (one, defaultdict(list)))[1][tile].append(series)

    def is_held(self, held: int, holder: Labels) -> None:
        """A line names this holder. Lines that tell less than another line of the same device are not holders."""
        if held < self.held:
            self.held, self.holders = held, {}
        if held == self.held:
            self.holders[holder] = None

    def device(self, name: str, exporter: Exporter) -> Device:
        labels = self.labels
        gpu = Gpu(
            labels["uuid"], name, labels["product"], self.parent, labels["mig_profile"],
            slices=self.slices,
            of_slices=self.of_slices,
            holders=tuple(_sorted(labels | dict(holder)) for holder in self.holders),
        )  # fmt: skip
        rows: dict[What, tuple[Row, ...]] = {}
        for _, (one, tiles) in sorted(self.lines.items()):
            most = MOST.get(one.what, MOST_BYTES)
            row = Row(
                tuple(tiles.get("", ())),
                tuple(tuple(tiles[tile]) for tile in tiles if tile),
                TILES.get(one.what),
                one.times,
                one.per,
                most,
                most * (1 + exporter.overshoot),
                one.what not in exporter.never_zero,
                exporter.blanks,
            )
            rows[one.what] = (*rows.get(one.what, ()), row)
        return Device(gpu, rows)


def _meet(listed: dict[str, Listed], place: Place) -> tuple[Listed, Listed]:
    """The GPU of a line, and whose line it is: the GPU's own or an instance's."""
    who = {"host": place.host, "gpu": place.gpu, "product": place.product}
    gpu = listed.get(place.uuid)
    if gpu is None:
        gpu = listed[place.uuid] = Listed(who | {"uuid": place.uuid, "mig_profile": "", "mig_id": ""}, place.of_slices)
    if not (part := place.part):
        return gpu, gpu
    uuid = f"{place.uuid}/{part.id}"
    device = listed.get(uuid)
    if device is None:
        mine = {"uuid": uuid, "mig_profile": part.profile, "mig_id": part.id, "gpu": part.gpu or place.gpu}
        device = listed[uuid] = Listed(who | mine, place.of_slices, part.slices, place.uuid)
    return gpu, device


def _holder(labels: Mapping[str, str], besides: Iterable[str]) -> tuple[int, Labels]:
    """Who the line says holds the GPU, and what says so: an index into HOLDERS, NO_POD or NOBODY."""
    others = {name: labels[name] for name in besides if name in labels}
    for index, spelling in enumerate(HOLDERS):
        if pod := {name: labels[spelled] for spelled, name in spelling.items() if spelled in labels}:
            return index, _sorted(pod | others)
    return (NO_POD if others else NOBODY), _sorted(others)


def _sorted(labels: Mapping[str, str]) -> Labels:
    return tuple(sorted((name, value) for name, value in labels.items() if value))
