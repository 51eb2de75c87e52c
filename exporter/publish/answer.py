"""One JSON answer: made once, when it is first asked for, however many ask; plain and gzipped."""

from __future__ import annotations

import threading
from collections.abc import Callable

from isal import igzip


class Answer:
    """What one path says until there is another answer. `tag` names it, without its body: same tag, same body."""

    __slots__ = ("_bodies", "_lock", "_make", "tag")

    def __init__(self, tag: str, make: Callable[[], bytes]) -> None:
        self.tag = tag
        self._make = make
        self._bodies: dict[bool, bytes] = {}
        self._lock = threading.Lock()

    def body(self, gzip: bool = False) -> bytes:
        """The JSON. May take tenths of a second the first time: call it in a worker thread."""
        with self._lock:
            if False not in self._bodies:
                self._bodies[False] = self._make()
            if gzip and True not in self._bodies:
                self._bodies[True] = igzip.compress(self._bodies[False], 2)
            return self._bodies[gzip]
