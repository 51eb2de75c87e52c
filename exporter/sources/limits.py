"""How much of a page is read: ceilings that no honest page comes near. A page beyond one is a failed scrape.

They protect memory and time: 64 MiB can be written so that they become gigabytes of labels, or take minutes to read.
Bytes are bounded before (scrape.max_body_bytes), tenants after (tenants.limit). SECURITY.md has the whole list.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, fields
from typing import Any
from weakref import WeakKeyDictionary

from exporter.errors import Reason, ScrapeError


def _most(value: int, what: str, reason: Reason) -> Any:
    return field(default=value, metadata={"what": what, "reason": reason})


@dataclass(frozen=True, slots=True)
class Limits:
    """The table. No recorded page has more than 627 lines, 1,062 bytes in one, 440 series with 1,274 labels, 37 labels
    in one, and 37 and 64 bytes in a label's name and value. Simulated, a LiteLLM of 10,000 tenants and 3 models has
    120,000 series with 1.3 million labels."""

    lines: int = _most(1_000_000, "lines on a page", Reason.TOO_MANY_LINES)
    line_bytes: int = _most(65_536, "bytes in a line that is read", Reason.LINE_TOO_LONG)
    series: int = _most(200_000, "series read on a page", Reason.TOO_MANY_SERIES)
    labels: int = _most(4_000_000, "labels of all series read on a page", Reason.TOO_MANY_LABELS)
    labels_each: int = _most(128, "labels of a series", Reason.TOO_MANY_LABELS)
    name_bytes: int = _most(256, "bytes in a label's name", Reason.LABEL_NAME_TOO_LONG)
    value_bytes: int = _most(16_384, "bytes in a label's value", Reason.LABEL_VALUE_TOO_LONG)
    # Above it a float can no longer count by one. Who knows better what can be (GPUs) sets this to inf.
    value: float = _most(2**53, "in the sum of all values read on a page", Reason.VALUE_TOO_LARGE)
    all_series: int = _most(1_000_000, "series of all targets together", Reason.TOO_MANY_SERIES_IN_ALL)

    def refuse(self, limit: str) -> ScrapeError:
        """The error of a page that has more than that field allows."""
        meta = next(one.metadata for one in fields(self) if one.name == limit)
        return ScrapeError(meta["reason"], f"more than {getattr(self, limit)} {meta['what']}")


LIMITS = Limits()


class Room:
    """The series of all targets, counted by who holds them: scanners what a page has, meters what they remember. Safe
    in any thread."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.limits = limits
        self._lock = threading.Lock()
        self._held: WeakKeyDictionary[object, int] = WeakKeyDictionary()  # a target that leaves leaves its room

    def hold(self, reader: object, series: int) -> None:
        """That reader has so many now. Raises ScrapeError (too_many_series_in_all): together they are too many,
        and this is one of those with more than an equal share, so that no target can crowd out the small ones."""
        with self._lock:
            self._held.setdefault(reader, 0)
            others = sum(self._held.values()) - self._held[reader]
            if others + series > self.limits.all_series and series > self.limits.all_series // len(self._held):
                raise self.limits.refuse("all_series")
            self._held[reader] = series
