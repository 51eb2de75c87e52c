"""One sample line of a page, read with care: what the scanner does the first time it sees a series."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from sys import intern

from exporter.errors import Reason, ScrapeError
from exporter.records import Series
from exporter.sources.limits import LIMITS, Limits

# One call of `re` or of a method of bytes stops every other thread until it returns: large pages are gone through in
# pieces of so many bytes.
PIECE = 1 << 20
SEVERAL = 1 << 20  # bytes of a page up to which its first metrics are looked for

HEAD = re.compile(rb"\s*([a-zA-Z_:][a-zA-Z0-9_:]*)?")
OPEN = re.compile(rb"[ \t]*\{")
QUOTED = rb'"([^"\\]*(?:\\.[^"\\]*)*)"'
# `name="value"`, or a quoted name; a quoted term alone is the metric's name (Prometheus 3).
TERM = re.compile(rb"[ \t]*(?:([a-zA-Z_][a-zA-Z0-9_]*)|%s)[ \t]*(?:=[ \t]*%s[ \t]*)?(?:,|(?=\}))" % (QUOTED, QUOTED))
CLOSE = re.compile(rb"[ \t]*\}")
# value, timestamp, exemplar
TAIL = re.compile(rb"[ \t]*+(\S++)(?:[ \t]++[-+]?[0-9][0-9.eE+-]*+)?(?:[ \t]++#.*+)?")
FIRST = re.compile(rb"[^\S\n]*+([^#\s][^\n]*+)")
OTHERS = re.compile(rb"\n[^\S\n]*+([^#\s][^\n]*+)")
ESCAPE = re.compile(rb'\\([\\n"])')
PLAIN = {b"\\": b"\\", b"n": b"\n", b'"': b'"'}
# A name that is followed by labels or by a number: words of an error page are not repeated to anybody.
NAME = re.compile(rb"^[ \t]*([a-zA-Z_:][a-zA-Z0-9_:]{0,99})(?:\{[^\n]*\})?[ \t]+[-+0-9.][-+0-9.eE]*\s", re.MULTILINE)
SHORT = 256  # bytes of a label that is kept once for all series that have it


@dataclass(frozen=True, slots=True)
class Line:
    """A line taken apart. `end` is the offset where its name and labels end."""

    name: str
    labels: tuple[tuple[bytes, bytes], ...]  # as they stand, unescaped
    value: float
    end: int

    def key(self) -> str:
        """`name{a="b"}`, labels sorted by name: one text for one series however it is written.

        Invalid UTF-8 is shown as `\\xff`, which no escaped value contains, so no two values share a key.
        """
        labels = ",".join(f'{text(name)}="{text(escape(value))}"' for name, value in sorted(self.labels))
        return intern(f"{self.name}{{{labels}}}" if labels else self.name)

    def series(self, key: str) -> Series:
        labels = tuple(_pair(name, value) for name, value in sorted(self.labels))
        return Series(self.name, labels, key)


def text(raw: bytes) -> str:
    """One object for one text, while somebody has it: replicas have the same names, labels and values."""
    return intern(raw.decode("utf-8", "backslashreplace"))


def _pair(name: bytes, value: bytes) -> tuple[str, str]:
    return _same_pair(name, value) if len(name) + len(value) <= SHORT else (text(name), text(value))


@lru_cache(8192)
def _same_pair(name: bytes, value: bytes) -> tuple[str, str]:
    return text(name), text(value)


def escape(value: bytes) -> bytes:
    return value.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n")


def unescape(value: bytes) -> bytes:
    return ESCAPE.sub(lambda match: PLAIN[match[1]], value) if b"\\" in value else value


def parse_line(line: bytes, limits: Limits = LIMITS) -> Line | None:
    """The line of one sample; None for a blank line or a comment.

    Raises ScrapeError: invalid, with the metric's name and what is wrong; or the line or a label of it is too long.
    """
    if len(line) > limits.line_bytes:
        raise limits.refuse("line_bytes")
    head = HEAD.match(line)
    assert head is not None  # noqa: S101 - the pattern matches the empty text
    name, end = head[1] or b"", head.end()
    if not name and line[end : end + 1] in {b"", b"#"}:
        return None
    labels: dict[bytes, bytes] = {}
    if opened := OPEN.match(line, end):
        end = opened.end()
        while term := TERM.match(line, end):
            end = term.end()
            label = term[1] if term[1] is not None else unescape(term[2])
            if term[3] is not None and label not in labels:
                labels[label] = unescape(term[3])
            elif term[3] is None and term[1] is None and not name:
                name = label
            else:
                raise _invalid(name, "a label is wrong or there twice")
        if not (closed := CLOSE.match(line, end)):
            raise _invalid(name, "the labels are not closed")
        end = closed.end()
        _check_labels(labels, limits)
    tail = TAIL.fullmatch(line.rstrip(), end)
    if not name or not tail:
        raise _invalid(name, "not a sample")
    try:
        value = float(tail[1].replace(b"_", b"?"))  # float() would take 1_000
    except ValueError:
        raise _invalid(name, "its value is not a number") from None  # and may be a secret that an error page echoes
    return Line(text(name), tuple(labels.items()), value, end)


def _check_labels(labels: dict[bytes, bytes], limits: Limits) -> None:
    if len(labels) > limits.labels_each:
        raise limits.refuse("labels_each")
    if max(map(len, labels), default=0) > limits.name_bytes:
        raise limits.refuse("name_bytes")
    if max(map(len, labels.values()), default=0) > limits.value_bytes:
        raise limits.refuse("value_bytes")


def pieces(body: bytes, begin: int, end: int) -> Iterator[tuple[int, int]]:
    """That part of the body in pieces: each but the first begins with a newline, and no line is cut."""
    while end - begin > PIECE and (stop := body.find(b"\n", begin + PIECE, end)) >= 0:
        yield begin, stop
        begin = stop
    yield begin, end


def check_lines(body: bytes, limits: Limits = LIMITS) -> None:
    """Raises ScrapeError (too_many_lines). Free for a page that has not that many bytes."""
    if len(body) > limits.lines:
        count = sum(body.count(b"\n", begin, end) for begin, end in pieces(body, 0, len(body)))
        if count > limits.lines:
            raise limits.refuse("lines")


def check_page(body: bytes, limits: Limits = LIMITS) -> None:
    """Say what is wrong with a page that stops early or on which no wanted sample was found, if anything is.

    Raises ScrapeError: empty, truncated, invalid, too_many_lines, or a limit that its first line passes.
    """
    check_lines(body, limits)
    first = FIRST.match(body)
    for begin, end in pieces(body, 0, len(body)):
        first = first or OTHERS.search(body, begin, end)
        if first:
            break
    named = first and first[1][:1].isalpha()
    # HTML, JSON, bytes; not a name that is cut short, and a long line of another metric is no matter.
    if first and (not named or (first.end() < len(body) and len(first[1]) <= limits.line_bytes)):
        parse_line(first[1][: limits.line_bytes], limits)
    if body and not body.endswith(b"\n") and not body.endswith(b"# EOF"):
        raise ScrapeError(Reason.TRUNCATED, "the last line of the page has no end")
    if not first:
        raise ScrapeError(Reason.EMPTY, "the page has no sample")


def first_names(body: bytes) -> str:
    """The first few metrics of a page, for an error message."""
    names = dict.fromkeys(match[1].decode() for match in islice(NAME.finditer(body, 0, SEVERAL), 1000))
    return ", ".join(islice(names, 5)) or "none"


def _invalid(name: bytes, wrong: str) -> ScrapeError:
    printable = "".join(char if char.isprintable() else "\ufffd" for char in text(name[:60]))
    shown = printable or "a line without a metric name"
    return ScrapeError(Reason.INVALID, f"{shown}: {wrong}")
