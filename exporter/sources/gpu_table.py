"""What the file of an exporter of GPUs in this folder says: a table of metric names, what each says of a GPU, and whose
each line of its page is.

Where several metrics say the same thing, the most telling comes first: of those on one page the first that has a value
counts, never two. Where a GPU is listed in tiles, or a memory in modules, the GPU's own line counts; without one, its
tiles are put together (TILES in gpu_page.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

# The share of time at work: "active"; "util" where active is not there, or is a 0 that it contradicts. Memory: "used",
# and "total" or what adds up to it. "info" has no reading: its labels tell who the GPU is.
What = Literal["active", "util", "used", "free", "reserved", "total", "power", "energy", "temperature", "info"]
OF_THE_GPU: frozenset[What] = frozenset({"power", "energy", "temperature"})  # never an instance's own

MIB = 1 << 20


class Field(NamedTuple):
    """What a metric says: value * times / per is in the record's unit."""

    name: str
    what: What
    times: int = 1
    per: int = 1
    only: tuple[tuple[str, str], ...] = ()  # lines with these labels; "": without the label


class Line(NamedTuple):
    """One line that a table wants."""

    field: Field
    labels: Mapping[str, str]  # safe to show; empty ones are left out


class Part(NamedTuple):
    """An instance of a GPU: MIG's, or a partition."""

    id: str
    profile: str  # as the exporter calls its size
    slices: int  # compute slices it has; 0: nobody says
    gpu: str = ""  # its own index, where that is not the GPU's


class Place(NamedTuple):
    """Whose a line is."""

    uuid: str  # of the GPU; unique among all hosts, and lasting
    host: str
    gpu: str  # index on its host
    product: str
    of_slices: int = 7
    part: Part | None = None  # the instance whose line it is
    says: Literal["gpu", "part", "nothing"] = "gpu"  # of whom it says something
    tile: str = ""  # the part of the device that it says it of, where that is no device of its own


@dataclass(frozen=True, slots=True)
class Exporter:
    """One exporter of GPUs, whole."""

    name: str  # what the config calls it
    title: str  # what its makers call it
    fields: tuple[Field, ...]
    places: Callable[[Sequence[Line], str], Iterable[Place | None]]  # of these lines; host:port of the page
    gaps: str  # what its pages do not say, for the README
    besides: tuple[str, ...] = ()  # labels that tell who holds a GPU, beside its pod
    blanks: frozenset[float] = frozenset()  # raw values that stand for none
    never_zero: frozenset[What] = frozenset()  # what is not measured where it is 0
    overshoot: float = 0  # by how much a ratio of 1 may be exceeded
    unended: bool = False  # the last line of its pages has no newline


def label(labels: Mapping[str, str], *names: str) -> str:
    """The first of these labels that is there; "" for none."""
    return next((labels[name] for name in names if name in labels), "")
