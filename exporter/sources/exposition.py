"""The scan: one page in, the wanted samples out, in the time it takes to find them.

The body stays bytes and labels are parsed the first time a series is seen. A page is read in one of two ways:

* The search finds every line that starts with a wanted name, wherever it stands. It is right for any page.
* The format demands that the lines of a metric stand in one group under its comments, and nearly every page does so.
  Where the search has seen that a page is grouped, the next page is followed from comment to comment: if all comments
  are the same and in the same order, only the groups of wanted names are read, and the rest is never looked at.

A followed page is believed only if no series of the last page is missing and no group gained as much as a wanted line
is long without being searched; else the page is searched. So metrics that appear, move or are split, lines without
comments, pages without groups and lines put among those of another metric are all read by the search. Left out is one
case that the format forbids: under unchanged comments, another metric's group loses a line and gains a wanted one of
a series never seen, both between the same two scrapes. It is read at the next search.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from itertools import groupby
from math import inf
from typing import NamedTuple

from exporter.errors import Reason, ScrapeError
from exporter.records import Samples, Series
from exporter.sources.limits import LIMITS, Limits, Room
from exporter.sources.sample import check_lines, check_page, parse_line, pieces

NEWLINE = 10
UNDERSCORE = 95
LONGEST_VALUE = 32  # bytes; longer ones are read with care
WORD, TEXT = 512, 16_384  # bytes: what replicas have in common is kept once up to that length, so much of each
FEW = 64  # lines up to which a foreign group that stands still is compared whole, as if it were a comment
# What is remembered of a page is a part of it, for every target and for good. Larger ones are searched each time.
LARGEST_FOLLOWED = 1 << 23  # bytes
MOST_GROUPS = 10_000
MOVED = -1  # in place of the hash of a group that stands still no more: no object's
COMMENT = re.compile(rb"#\s*(?:HELP|TYPE)\s+(\S+)")
NOWHERE = b"\n\n"  # stands for the comments after the last group: never found at a "#"


class Group(NamedTuple):
    """The lines between two runs of comments. Foreign groups that stand still, as most do, count as comments."""

    after: bytes  # the comments that follow
    skip: int  # their length
    limit: int  # bytes up to which a group cannot have gained a foreign line; -1: all its lines are wanted
    needles: tuple[bytes, ...]  # newline + name of each wanted metric that belongs here; none: not ours
    # Of a histogram: how many lines each needle has. They are the last of their buckets, and a new series brings so
    # many buckets that the group passes its limit.
    counts: tuple[int, ...] = ()


class Scanner:
    """Reads the pages of one target. Keeps each series it made while the series keeps appearing.

    `names` are whole sample names. `room` is shared by the scanners of all targets.
    """

    def __init__(self, names: Iterable[str], limits: Limits = LIMITS, room: Room | None = None) -> None:
        self._names = frozenset(names)
        self._limits = limits
        self._room = room or Room(limits)
        wanted = sorted((name.encode() for name in self._names), key=len)
        # Names that start with another wanted name are found with it.
        self._needles = tuple(b"\n" + n for n in wanted if not any(n != m and n.startswith(m) for m in wanted))
        self._shortest = len(wanted[0]) + len("\n 0") if wanted else 0
        names_pattern = b"|".join(re.escape(name) for name in reversed(wanted))
        line = rb'[^\S\n]*+(?:\{[^\S\n]*+")?(?:%s)(?![a-zA-Z0-9_:])' % names_pattern
        self._first = re.compile(line)
        self._others = re.compile(rb"\n" + line)
        self._by_raw: dict[bytes, Series] = {}  # the line up to its value -> series
        self._by_key: dict[str, Series] = {}
        self._labels = 0  # of the series in _by_key
        self._head = b""  # comments before the first group
        self._groups: list[Group] = []  # empty: the last page was not grouped
        self._still: dict[bytes, int] = {}  # hash of each foreign group that has stood still since it was seen
        self._last: Samples = {}  # every wanted line of the last good page

    def scan(self, body: bytes) -> Samples:
        """The finite, non-negative samples of the wanted names.

        Raises ScrapeError: empty, truncated, invalid, or the reason of a limit.
        """
        if not body.endswith((b"\n", b"# EOF")):
            check_page(body, self._limits)
        if max(len(self._by_raw), len(self._by_key)) > 2 * len(self._last) + 64:
            self._forget()
        samples: Samples = {}
        followed = (lines := self._follow(body)) is not None
        if lines is not None:
            try:
                samples = self._read(lines)
            except ScrapeError:  # what looks wrong in a part may be right in the whole
                followed = False
        if not followed or len(samples) < len(self._last):
            check_lines(body, self._limits)
            samples = self._read(self._search(body, 0, len(body)))
            self._learn(body)
        if not samples:
            check_page(body, self._limits)
        if len(samples) != len(self._last):
            self._room.hold(self, len(samples))
        self._last = samples
        values = samples.values()
        if not sum(values) < self._limits.value or min(values, default=0) < 0:
            samples = {series: value for series, value in samples.items() if 0 <= value < inf}
            if sum(samples.values()) >= self._limits.value < inf:
                raise self._limits.refuse("value")
        return samples

    def _forget(self) -> None:
        """All series but those of the last page."""
        self._by_raw.clear()
        self._by_key = {series.key: series for series in self._last}
        self._labels = sum(len(series.labels) for series in self._last)

    def _search(self, body: bytes, begin: int, end: int) -> list[bytes]:
        """All wanted lines of the body, or of those that follow a newline from `begin` on and start before `end`."""
        lines: list[bytes] = []
        starts = [0] if begin == 0 and self._first.match(body) else []
        for piece in pieces(body, begin, end):
            starts += [match.start() + 1 for match in self._others.finditer(body, *piece)]
            for start in starts:
                stop = body.find(b"\n", start)
                if stop < 0:  # only where the page ends in "# EOF" on that very line
                    stop = len(body)
                if stop - start > self._limits.line_bytes:
                    raise self._limits.refuse("line_bytes")
                lines.append(body[start:stop])
            if len(lines) > self._limits.series:
                raise self._limits.refuse("series")
            starts = []
        return lines

    def _follow(self, body: bytes) -> list[bytes] | None:  # noqa: C901 - one loop, kept flat for its speed
        """The lines of the wanted groups, perhaps with some unwanted ones; None if this is not the page we know."""
        if not self._groups or not body.startswith(self._head):
            return None
        lines: list[bytes] = []
        grown: dict[bytes, int] = {}
        find, starts_with = body.find, body.startswith
        start = len(self._head)
        for after, skip, limit, needles, counts in self._groups:
            stop = find(b"#", start)
            while not starts_with(after, stop) or body[stop - 1] != NEWLINE:
                if stop < 0 and after is NOWHERE:
                    stop = len(body)
                    break
                if stop < 0 or body[stop - 1] == NEWLINE:
                    return None
                stop = find(b"\n#", stop) + 1 or -1  # that one was within a line
            if stop - start > limit:
                if limit < 0:
                    lines += body[start : stop - 1].split(b"\n", self._limits.series)
                else:
                    new = self._search(body, start - 1, stop)
                    if new and not needles:
                        return None
                    lines += new
                    grown[after] = stop - start + self._shortest - 1
            elif counts:
                lines += _pick_last(body, needles, counts, start - 1, stop)
            elif needles:
                lines += _pick(body, needles, start - 1, stop)
            start = stop + skip
        if grown:
            self._groups = [group._replace(limit=grown.get(group.after, group.limit)) for group in self._groups]
        return lines

    def _learn(self, body: bytes) -> None:
        """Note the groups of a page, if each holds only lines that begin with the name its comments give."""
        self._groups = []
        if not body.startswith(b"#") or not body.endswith(b"\n") or len(body) > LARGEST_FOLLOWED:
            return
        known = self._still
        still: dict[bytes, int] = {}
        parts: list[tuple[bytes, tuple[bytes, ...], list[bytes]]] = []  # comments, whose names they give, lines
        comments, name = bytearray(), NOWHERE
        for commented, run in groupby(body[:-1].split(b"\n"), key=lambda line: line.startswith(b"#")):
            block = list(run)
            text = b"\n".join(block) + b"\n"
            if commented:
                named = COMMENT.match(block[-1])
                name = _shared(named[1]) if named else NOWHERE
                comments += text
                continue
            if len(parts) + len(still) > MOST_GROUPS or not all(line.startswith(name) for line in block if line):
                return
            needles = tuple(needle for needle in self._needles if needle.startswith(b"\n" + name))
            if not needles and len(block) <= FEW and known.get(name, hash(text)) == hash(text):
                still[name] = hash(text)
                comments += text
                continue
            if name in known:
                still[name] = MOVED
            parts.append((bytes(comments), needles, block))
            comments.clear()
        if comments:  # they end the page
            parts.append((bytes(comments), (), []))
        self._head, self._still = _shared(parts[0][0]), still
        for (before, needles, block), (after, _, _) in zip(parts, [*parts[1:], (NOWHERE, (), [])], strict=True):
            dense = bool(needles) and all(map(self._first.match, block))
            size = sum(map(len, block)) + len(block)
            limit = -1 if dense else size + self._shortest - 1
            counts: tuple[int, ...] = ()
            if not dense and before.endswith(b" histogram\n"):
                counts = tuple(sum(line.startswith(needle[1:]) for line in block) for needle in needles)
            self._groups.append(Group(_shared(after), len(after), limit, needles, counts))

    def _read(self, lines: list[bytes]) -> Samples:
        """The samples of these lines, whatever their values; lines of other names are skipped."""
        samples: Samples = {}
        by_raw = self._by_raw
        unwanted = 0
        for line in lines:
            raw, _, text = line.rpartition(b" ")
            series = by_raw.get(raw)
            if series is not None and len(text) <= LONGEST_VALUE and UNDERSCORE not in text:
                try:
                    samples[series] = float(text)
                    continue
                except ValueError:
                    pass  # say what is wrong below
            sample = self._meet(line, raw)
            if sample is None:
                unwanted += 1
            else:
                samples[sample[0]] = sample[1]
        if len(samples) > self._limits.series:
            raise self._limits.refuse("series")
        if len(samples) + unwanted != len(lines):
            raise ScrapeError(Reason.INVALID, "a series stands on the page twice")
        return samples

    def _meet(self, line: bytes, raw: bytes) -> tuple[Series, float] | None:
        """Read a line with care, and remember its series; None if its name is not wanted."""
        if not self._first.match(line):
            return None
        parsed = parse_line(line, self._limits)
        if parsed is None or parsed.name not in self._names:
            return None
        key = parsed.key()
        series = self._by_key.get(key)
        if series is None:
            self._labels += len(parsed.labels)
            if self._labels > self._limits.labels:
                self._last = {}
                self._forget()
                raise self._limits.refuse("labels")
            series = self._by_key[key] = parsed.series(key)
        if (
            len(raw) >= parsed.end and not raw[parsed.end :].strip()
        ):  # no timestamp or exemplar: what precedes the last space is the series
            self._by_raw[_shared(raw)] = series
        return series, parsed.value


def _shared(text: bytes) -> bytes:
    """The same object for the same text: replicas of one engine have the same comments and series, tens of KB. So much
    is remembered as the pages of some engines have in common, and not what each pod that ever came has of its own."""
    return _same_word(text) if len(text) <= WORD else _same_text(text) if len(text) <= TEXT else text


@lru_cache(1024)
def _same_word(text: bytes) -> bytes:
    return text


@lru_cache(256)
def _same_text(text: bytes) -> bytes:
    return text


def _pick(body: bytes, needles: tuple[bytes, ...], start: int, stop: int) -> list[bytes]:
    """The lines that follow a newline from `start` on and begin with a needle."""
    lines = []
    for needle in needles:
        at = body.find(needle, start, stop)
        while at >= 0:
            end = body.find(b"\n", at + 1)
            lines.append(body[at + 1 : end])
            at = body.find(needle, end, stop)
    return lines


def _pick_last(body: bytes, needles: tuple[bytes, ...], counts: tuple[int, ...], start: int, stop: int) -> list[bytes]:
    """The same of a group of which it is known how many there are: from its end, where they stand."""
    lines = []
    for needle, count in zip(needles, counts, strict=True):
        end = stop
        for _ in range(count):
            at = body.rfind(needle, start, end)
            if at < 0:
                break
            lines.append(body[at + 1 : body.find(b"\n", at + 1)])
            end = at + 1
    return lines
