"""From a View to the bytes of /metrics, redoing only what changed.

A page of 100,000 series is 15 MB and mostly the same as a tick ago. A counter family is kept as `parts` (prefix,
value, prefix, value, ...) and, over those, as chunks of CHUNK finished lines. A tick formats the values that changed
in one call, rejoins the chunks they are in and leaves the rest alone; a page is one join of chunks. Small chunks win:
a random 1 % of the rows touches half of them, and joining all of them costs little more than a copy of the page.

Every line brings the line end before it: a value then stands alone and needs no copy to end its line.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import orjson
from isal import isal_zlib

from exporter.ledger.accounts import Family, Labels
from exporter.publish.catalog import CATALOG, Metric, exposed
from exporter.publish.view import View

CHUNK = 64  # lines
BATCH = 16 * CHUNK  # lines whose values and chunks are made together, while they are in the processor's cache

Format = Literal["text", "openmetrics"]
ENDS: Mapping[Format, bytes] = {"text": b"\n", "openmetrics": b"\n# EOF\n"}


@dataclass(frozen=True, slots=True)
class Block:
    """One metric's piece of a page: headers differ by format, samples do not."""

    headers: Mapping[Format, bytes]
    samples: tuple[bytes, ...] = ()


class Rendered:
    """One tick's page. A body is made once, when it is first asked for, from any thread."""

    __slots__ = ("_blocks", "_bodies", "_lock", "asked")

    def __init__(self, blocks: Sequence[Block]) -> None:
        self.asked: set[tuple[Format, bool]] = set()
        self._blocks = blocks
        self._bodies: dict[tuple[Format, bool], bytes] = {}
        self._lock = threading.Lock()

    def ready(self, fmt: Format, gzip: bool = False) -> bytes | None:
        """The body if it is made already; never waits."""
        self.asked.add((fmt, gzip))
        return self._bodies.get((fmt, gzip))

    def body(self, fmt: Format, gzip: bool = False) -> bytes:
        """The page in that format. Takes 10 ms and more for 100,000 series: call it in a worker thread."""
        with self._lock:
            body = self._bodies.get((fmt, gzip))
            if body is None:
                body = self._bodies[fmt, gzip] = self._squeeze(fmt) if gzip else b"".join(self._pieces(fmt))
        return body

    def _squeeze(self, fmt: Format) -> bytes:
        """By the piece: as fast as the joined page, without holding one."""
        stream = isal_zlib.compressobj(1, wbits=31)
        return b"".join([*map(stream.compress, self._pieces(fmt)), stream.flush()])

    def _pieces(self, fmt: Format) -> list[bytes]:
        pieces: list[bytes] = []
        for block in self._blocks:
            pieces.append(block.headers[fmt])
            pieces += block.samples
        pieces.append(ENDS[fmt])
        pieces[0] = pieces[0].removeprefix(b"\n")
        return pieces


class Exposition:
    """The page, tick after tick. `update` runs in a worker thread, between ticks, one call at a time.

    `extra` gives one more block for the end of the page, such as the metrics of this process.
    """

    def __init__(self, extra: Callable[[], Block] | None = None) -> None:
        self._extra = extra
        self._names = {metric.name for metric in CATALOG}
        self._counters: dict[str, _Counter] = {}
        self._gauges: dict[str, _Gauge] = {}
        self._last = Rendered(())

    def update(self, view: View) -> Rendered:
        """The page of that view; clears `unrendered` of its families. KeyError for a metric not in the catalog."""
        if unknown := (view.counters.keys() | view.gauges.keys()) - self._names:
            raise KeyError(f"not in the catalog: {', '.join(sorted(unknown))}")
        blocks = [block for metric in view.catalog if (block := self._block(metric, view)).samples]
        if self._extra:
            blocks.append(self._extra())
        rendered = Rendered(blocks)
        for fmt, gzip in tuple(self._last.asked):  # whoever asked for the last page will ask for this one
            rendered.body(fmt, gzip)
        self._last = rendered
        return rendered

    def _block(self, metric: Metric, view: View) -> Block:
        if metric.type == "gauge":
            gauge = self._gauges.get(metric.name)
            if gauge is None:
                gauge = self._gauges[metric.name] = _Gauge(metric)
            return gauge.update(view.gauges.get(metric.name, {}))
        family = view.counters.get(metric.name)
        if family is None:
            return Block({})
        counter = self._counters.get(metric.name)
        if counter is None or counter.family is not family:  # a family is swapped when the books are loaded anew
            counter = self._counters[metric.name] = _Counter(metric, family)
        return counter.update()


class _Counter:
    """One counter family's lines."""

    __slots__ = ("_block", "_chunks", "_headers", "_labels", "_metric", "_parts", "family")

    def __init__(self, metric: Metric, family: Family) -> None:
        self.family = family
        self._metric = metric
        self._headers = headers(metric)
        self._labels = family.labels
        self._parts: list[bytes] = []
        self._chunks: list[bytes] = []
        self._block = Block(self._headers)

    def update(self) -> Block:
        family, parts, chunks = self.family, self._parts, self._chunks
        known, rows = len(parts) // 2, len(family.values)
        changed = family.unrendered
        if family.labels is not self._labels:  # rows were dropped, and the others are not where they were
            self._labels, known = family.labels, 0
            parts.clear()
            chunks.clear()
            self._block = Block(self._headers)
        if known < rows:
            changed.update(range(known, rows))
            for labels in family.labels[known:]:
                parts += (prefix(self._metric, labels), b"")
        if not changed:
            return self._block
        if 2 * len(changed) > rows:  # in order and by slices: cheaper than picking most of them one by one
            chunks.clear()
            for start in range(0, rows, BATCH):
                end = min(start + BATCH, rows)
                parts[2 * start + 1 : 2 * end : 2] = texts(family.values[start:end], self._metric.scale)
                chunks += [b"".join(parts[line : line + 2 * CHUNK]) for line in range(2 * start, 2 * end, 2 * CHUNK)]
        else:
            chunks += [b""] * (-(-rows // CHUNK) - len(chunks))
            values = [family.values[row] for row in changed]
            for row, text in zip(changed, texts(values, self._metric.scale), strict=True):
                parts[2 * row + 1] = text
            for chunk in {row // CHUNK for row in changed}:
                chunks[chunk] = b"".join(parts[2 * CHUNK * chunk : 2 * CHUNK * (chunk + 1)])
        changed.clear()
        self._block = Block(self._headers, tuple(chunks))
        return self._block


class _Gauge:
    """One gauge family's lines. All values are formatted each tick; prefixes live as long as their labels do."""

    __slots__ = ("_headers", "_metric", "_prefixes")

    def __init__(self, metric: Metric) -> None:
        self._metric = metric
        self._headers = headers(metric)
        self._prefixes: dict[Labels, bytes] = {}

    def update(self, values: Mapping[Labels, float]) -> Block:
        if self._prefixes.keys() != values.keys():
            old = self._prefixes
            self._prefixes = {labels: old.get(labels) or prefix(self._metric, labels) for labels in values}
        prefixes = self._prefixes
        lines = zip((prefixes[labels] for labels in values), texts(list(values.values()), 1), strict=True)
        # orjson writes null for NaN and the infinities: unknown is absent.
        return Block(self._headers, tuple(start + text for start, text in lines if text != b"null"))


def headers(metric: Metric) -> Mapping[Format, bytes]:
    """HELP and TYPE. OpenMetrics names a counter's family without the `_total` of its samples."""
    names: dict[Format, str] = {"text": metric.name, "openmetrics": metric.name.removesuffix("_total")}
    return {fmt: f"\n# HELP {name} {metric.help}\n# TYPE {name} {metric.type}".encode() for fmt, name in names.items()}


def prefix(metric: Metric, labels: Labels) -> bytes:
    """The line up to its value. A string that UTF-8 cannot hold is written in escapes rather than lost."""
    if not labels and not metric.labels and not metric.fixed:
        return f"\n{metric.name} ".encode()
    named = (*zip(metric.labels, labels, strict=True), *metric.fixed)
    pairs = (b'%s="%s"' % (name.encode(), _escaped(value)) for name, value in named)
    return b"\n%s{%s} " % (metric.name.encode(), b",".join(pairs))


def _escaped(value: str) -> bytes:
    text = value.encode(errors="backslashreplace")
    return text.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b'"', b'\\"')


def texts(values: Sequence[float], scale: int) -> list[bytes]:
    """Each value / scale as the shortest text that reads back as the same float; integers whole where scale is 1.

    int / int is correctly rounded, so a growing counter never falls on the page.
    """
    if not values:
        return []
    try:
        dumped = orjson.dumps(values if scale == 1 else [value / scale for value in values])
    except (orjson.JSONEncodeError, OverflowError):  # beyond 64 bits or any float; one such value costs no page
        dumped = orjson.dumps([exposed(value, scale) for value in values])
    return dumped[1:-1].split(b",")
