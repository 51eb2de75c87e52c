"""What clients do wrong, in the log, and never so often that it fills a disk."""

from __future__ import annotations

import logging

log = logging.getLogger(__name__)

QUIET_SECONDS = 60.0
MOST_BUGS = 20


class Complaints:
    """One line a minute for each sort of refusal, with the number of those in between; each bug of ours once."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}  # by what is refused: from when it may be said again
        self._unsaid: dict[str, int] = {}
        self._bugs: set[str] = set()

    def refused(self, what: str, why: str, address: str, now: float) -> None:
        """A client was refused. `what` and `why` are words of ours, never of the request; `now` monotonic seconds."""
        if now < self._due.get(what, now):
            self._unsaid[what] = self._unsaid.get(what, 0) + 1
            return
        self._due[what] = now + QUIET_SECONDS
        extra = {"why": why, "address": address, "before": self._unsaid.pop(what, 0)}
        log.warning("refused %s", what, extra=extra)

    def bug(self, error: BaseException) -> None:
        """An error of ours while answering."""
        kind = repr(error)[:200]
        if kind not in self._bugs and len(self._bugs) < MOST_BUGS:
            self._bugs.add(kind)
            log.error("a request met an unexpected error", exc_info=error)
