"""How a simulated engine writes its page: the text is laid out once per process, with a hole for every value."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Literal

from prometheus_client.utils import floatToGoString

Labels = tuple[tuple[str, str], ...]
go_float: Callable[[float], str] = floatToGoString  # untyped where it comes from


@dataclass(frozen=True, slots=True)
class Cell:
    """One line of a metric: the extra labels and the name of the number that stands there."""

    stat: str
    labels: Labels = ()


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of a page: its cells for each model and core, or with `by_tenant` for each of its tenants too."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    cells: tuple[Cell, ...]
    bounds: tuple[float, ...] = ()  # of a histogram, without +Inf
    by_tenant: bool = False


@dataclass(frozen=True, slots=True)
class Flavour:
    """One kind of engine: its page as a table."""

    metrics: tuple[Metric, ...]
    number: Callable[[float], str]
    content_type: str
    model_label: str = ""  # "" where the engine does not say it
    engine_label: str = ""
    labels: Labels = ()  # on every line
    process: str = ""  # what stands before the metrics, once formatted with `start`
    created: bool = False  # python's `_created` gauges


@dataclass(slots=True)
class Histogram:
    """Observations by bucket (not cumulative); `total` in the unit observed."""

    bounds: tuple[float, ...]
    counts: list[int] = field(init=False)
    total: float = 0

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def observe(self, value: float, times: int = 1) -> None:
        self.counts[bisect_left(self.bounds, value)] += times
        self.total += value * times


@dataclass(slots=True)
class Counts:
    """The numbers behind one label set in one life of a process; a stat nobody wrote reads 0."""

    stats: defaultdict[str, float] = field(default_factory=lambda: defaultdict(int))
    histograms: dict[str, Histogram] = field(default_factory=dict)


def python_float(value: float) -> str:
    """As prometheus_client prints it: exact, `1.25e+06` from a million on."""
    return f"{value}.0" if type(value) is int and value < 1_000_000 else go_float(value)


def cpp_float(value: float) -> str:
    """As a C++ stream prints it: six significant digits, so that a counter above a million moves in steps."""
    return f"{value:g}"


def line_labels(labels: Iterable[tuple[str, str]]) -> str:
    """`{a="b"}`, sorted and escaped as prometheus_client does; labels without a name are left out."""
    pairs = sorted((name, value) for name, value in labels if name)
    escaped = ((name, value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")) for name, value in pairs)
    text = ",".join(f'{name}="{value}"' for name, value in escaped)
    return f"{{{text}}}" if text else ""


class Page:
    """The page of one process, for a fixed set of series. Rendering only fills in the numbers."""

    def __init__(
        self,
        flavour: Flavour,
        start: float | None,
        cores: list[tuple[Labels, Counts]],
        owners: list[tuple[Labels, Counts]],
    ) -> None:
        self._number = flavour.number
        self._holes: list[tuple[Counts, str, bool]] = []
        lines: list[str] = []
        if start is not None:
            lines.append(_static(flavour.process.format(start=go_float(start))))
        for metric in flavour.metrics:
            series = owners if metric.by_tenant else cores
            lines += self._family(metric, [(flavour.labels + labels, counts) for labels, counts in series])
            if start is not None and flavour.created and metric.kind != "gauge":
                lines += _created(metric, [flavour.labels + labels for labels, _ in series], go_float(start))
        self._text = "".join(lines)

    def _family(self, metric: Metric, series: list[tuple[Labels, Counts]]) -> Iterator[str]:
        yield _head(metric.name, metric.kind, metric.help)
        for base, counts in series:
            for cell in metric.cells:
                self._holes.append((counts, cell.stat, metric.kind == "histogram"))
                labels = base + cell.labels
                if metric.kind != "histogram":
                    yield _static(f"{metric.name}{line_labels(labels)} ") + "%s\n"
                    continue
                for bound in [*map(go_float, metric.bounds), "+Inf"]:
                    yield _static(f"{metric.name}_bucket{line_labels([*labels, ('le', bound)])} ") + "%s\n"
                for part in ("count", "sum"):
                    yield _static(f"{metric.name}_{part}{line_labels(labels)} ") + "%s\n"

    def render(self) -> bytes:
        number, values = self._number, list[str]()
        for counts, stat, is_histogram in self._holes:
            if is_histogram:
                histogram = counts.histograms[stat]
                values += map(number, accumulate(histogram.counts))
                values += values[-1], number(histogram.total)
            else:
                values.append(number(counts.stats[stat]))
        return (self._text % tuple(values)).encode()


def _static(text: str) -> str:
    return text.replace("%", "%%")


def _head(name: str, kind: str, text: str) -> str:
    return _static(f"# HELP {name} {text}\n# TYPE {name} {kind}\n")


def _created(metric: Metric, series: list[Labels], start: str) -> Iterator[str]:
    name = metric.name if metric.kind == "histogram" else metric.name.removesuffix("_total")
    yield _head(f"{name}_created", "gauge", metric.help)
    for base in series:
        for cell in metric.cells:
            yield _static(f"{name}_created{line_labels(base + cell.labels)} {start}\n")
