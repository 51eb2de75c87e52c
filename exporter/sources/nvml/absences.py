"""Which devices are left out of the readings: one line in the log when one goes, one when it is back."""

from __future__ import annotations

import logging

from exporter.sources.nvml.library import NvmlError

LOG = logging.getLogger("exporter.sources")


class Absences:
    """The names of those that are away."""

    def __init__(self) -> None:
        self._away: set[str] = set()

    def gone(self, name: str, error: NvmlError) -> None:
        """It cannot be read."""
        if name not in self._away:
            self._away.add(name)
            LOG.warning("nvml: GPU %s is left out: %s", name, error)

    def back(self, name: str) -> None:
        """It was read."""
        if name in self._away:
            self._away.remove(name)
            LOG.info("nvml: GPU %s is back", name)

    def ended(self, name: str) -> None:
        """There is no such device any more, which is nothing to speak of."""
        self._away.discard(name)
