"""GPUs as their sources see them: which there are, and what each did since the last tick.

A GPU that vanishes from good readings (lost, fallen off the bus) is still paid for: it stays, and only what it does is
unknown. An instance that is gone while its GPU answers was destroyed, and a GPU that is absent from the first good
reading of this process was taken out while the exporter was down.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from exporter.ledger.changes import Saved, State
from exporter.metering.delta import grown
from exporter.metering.labels import safe
from exporter.records import NS, Gpu, GpuReading, Instant

MICRO = 10**6
# No GPU draws this much. A counter that says so has jumped, and starts again as a baseline.
_MAX_WATTS = 20_000
_IDENTITY = ("uuid", "name", "product", "parent", "mig_profile", "slices", "of_slices", "holders")


@dataclass(slots=True)
class GpuUse:
    """One GPU or MIG instance: what it is, and what it did since the last take."""

    gpu: Gpu
    present: bool = False  # in the source's last reading
    fresh: bool = False  # read since the last take
    busy_ns: int = 0
    covered_ns: int = 0  # time for which the source said how busy it was
    microjoules: int = 0

    @property
    def identity(self) -> tuple[object, ...]:
        """What decides who holds it."""
        return tuple(getattr(self.gpu, name) for name in _IDENTITY)


class GpuMeters:
    """One meter per source of GPUs of the config."""

    def __init__(self, saved: Saved) -> None:
        self._saved = {target: state for target, state in saved.targets.items() if is_gpus(state)}
        self._meters: dict[str, GpuMeter] = {}
        self._gone: set[str] = set()

    def configure(self, targets: Iterable[str]) -> None:
        """The sources of a config. One that leaves is forgotten."""
        wanted = set(targets)
        self._gone = (self._gone | self._saved.keys() | self._meters.keys()) - wanted
        self._meters = {target: self._meters.get(target) or GpuMeter(self._saved.get(target)) for target in wanted}
        self._saved = {}

    def __contains__(self, target: str) -> bool:
        return target in self._meters

    def __iter__(self) -> Iterator[str]:
        return iter(self._meters)

    def observe(self, reading: GpuReading) -> bool:
        """Take one reading; True when who holds what may have changed."""
        return reading.target in self._meters and self._meters[reading.target].observe(reading)

    def gpus(self) -> dict[str, list[Gpu]]:
        """All GPUs that are paid for, by source."""
        return {target: [use.gpu for use in meter.uses.values()] for target, meter in self._meters.items()}

    def take(self) -> dict[str, GpuUse]:
        """What each GPU did since the last take, by uuid."""
        return {uuid: use for meter in self._meters.values() for uuid, use in meter.take().items()}

    def drain(self) -> dict[str, State | None]:
        """What the ledger must write."""
        states: dict[str, State | None] = dict.fromkeys(self._gone)
        self._gone = set()
        for target, meter in self._meters.items():
            if meter.touched:
                states[target] = meter.state()
                meter.touched = False
        return states

    def undrain(self, states: Mapping[str, State | None]) -> None:
        """These did not reach the disk: the next drain carries them again."""
        for target in states.keys() & self._meters.keys():
            self._meters[target].touched = True


def is_gpus(state: State) -> bool:
    """True for what the ledger keeps of a source of GPUs."""
    return "gpus" in state


class GpuMeter:
    """One source. Its public attributes are what the ledger keeps."""

    def __init__(self, state: State | None = None) -> None:
        self.engine = state["engine"] if state else ""
        self.uses: dict[str, GpuUse] = {}
        self.joules: dict[str, float] = {}  # last raw value of each energy counter
        self.seen_ns: int | None = None  # Unix
        self.touched = False
        self._last: Instant | None = None  # of this process
        for row in state["gpus"] if state else ():
            gpu = Gpu(**(row | {"holders": tuple(tuple(map(tuple, holder)) for holder in row["holders"])}))
            self.uses[gpu.uuid] = GpuUse(gpu)
        if state:
            self.joules, self.seen_ns = dict(state["joules"]), state["last_seen_ns"]

    def state(self) -> State:
        """What the ledger keeps."""
        gpus = [{name: getattr(use.gpu, name) for name in _IDENTITY} for use in self.uses.values()]
        return {"engine": self.engine, "gpus": gpus, "joules": self.joules, "last_seen_ns": self.seen_ns}

    def observe(self, reading: GpuReading) -> bool:
        """Take one reading; True when who holds what may have changed."""
        before = [use.identity for use in self.uses.values()]
        found = {gpu.uuid: gpu for gpu in map(_safe, reading.gpus)}
        elapsed_ns = max(0, reading.at.monotonic_ns - self._last.monotonic_ns) if self._last else 0
        for gpu in found.values():
            use = self.uses.get(gpu.uuid)
            if use is None:
                use = self.uses[gpu.uuid] = GpuUse(gpu)
            if use.present and gpu.utilization is not None:
                use.busy_ns += round(gpu.utilization * elapsed_ns)
                use.covered_ns += elapsed_ns
            use.microjoules += self._energy(use, gpu, elapsed_ns, reading.at)
            use.gpu, use.present, use.fresh = gpu, True, True
        for uuid in self.uses.keys() - found.keys():
            use = self.uses[uuid]
            use.present = use.fresh = False
            if self._last is None or (use.gpu.parent and use.gpu.parent in found):
                del self.uses[uuid]
                self.joules.pop(uuid, None)
        self._last, self.seen_ns, self.touched = reading.at, reading.at.wall_ns, True
        self.engine = reading.engine
        return before != [use.identity for use in self.uses.values()]

    def _energy(self, use: GpuUse, gpu: Gpu, elapsed_ns: int, at: Instant) -> int:
        last = self.joules.get(gpu.uuid)
        if gpu.energy is None:
            if last is not None or not use.present or gpu.power is None or use.gpu.power is None:
                return 0  # where there is a counter, it knows what was drawn meanwhile
            return round((use.gpu.power + gpu.power) / 2 * elapsed_ns / NS * MICRO)
        if last is not None and last / 2 < gpu.energy < last:
            return 0  # no restart: with MIG on, lines of one GPU are sampled one after the other
        self.joules[gpu.uuid] = gpu.energy
        if last is None or self.seen_ns is None:
            return 0
        joules = grown(last, gpu.energy)
        seconds = max(elapsed_ns, at.wall_ns - self.seen_ns) / NS
        return round(joules * MICRO) if joules <= _MAX_WATTS * (seconds + 1) else 0

    def take(self) -> dict[str, GpuUse]:
        """What each did since the last take, by uuid."""
        taken = {uuid: replace(use) for uuid, use in self.uses.items()}
        for use in self.uses.values():
            use.busy_ns = use.covered_ns = use.microjoules = 0
            use.fresh = False
        return taken


def _safe(gpu: Gpu) -> Gpu:
    """Its text made safe, once; what cannot be true taken for not said."""
    return replace(
        gpu,
        uuid=safe(gpu.uuid),
        name=safe(gpu.name),
        product=safe(gpu.product),
        parent=safe(gpu.parent),
        mig_profile=safe(gpu.mig_profile),
        utilization=_within(gpu.utilization, 1),
        power=_within(gpu.power, _MAX_WATTS),
        energy=_within(gpu.energy, 1e15),
        temperature=_within(gpu.temperature, 1000),
    )


def _within(value: float | None, most: float) -> float | None:
    return value if value is not None and 0 <= value <= most else None
