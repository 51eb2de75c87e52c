"""From the bytes of a page to a reading: which engine it is, the scan, and what a complete page must have."""

from __future__ import annotations

from collections.abc import Mapping

from exporter.errors import Reason, ScrapeError
from exporter.records import Instant, Reading, Samples
from exporter.sources.engine import Engine
from exporter.sources.exposition import Scanner
from exporter.sources.limits import Room
from exporter.sources.registry import ENGINES, detect

PROCESS_START = "process_start_time_seconds"


class Reader:
    """Reads the pages of one target. `engine` is a table, "auto" or a name of `among` (the registry's engines or
    gateways); what auto found is kept while the pages go on being that engine's. `room` is shared by all targets."""

    def __init__(self, engine: str | Engine, among: Mapping[str, Engine] = ENGINES, room: Room | None = None) -> None:
        self._wanted = engine
        self._among = among
        self._room = room or Room()
        self._engine: Engine | None = None
        self._scanner: Scanner | None = None

    def read(self, target: str, body: bytes, at: Instant) -> Reading:
        """The page as a reading. ScrapeError: the scan's reasons, unknown_engine, missing_series."""
        engine, scanner = self._recognise(body)
        samples = scanner.scan(body)
        names = {series.name for series in samples}
        for group in engine.required:
            if names.isdisjoint(group):
                self._engine = None  # another server may have taken the address
                raise ScrapeError(Reason.MISSING_SERIES, f"{target}: the page has no {' or '.join(group)}")
        start = _process_start(samples) if engine.own_start else None
        return Reading(target, engine.name, at, start, samples)

    def _recognise(self, body: bytes) -> tuple[Engine, Scanner]:
        if self._engine is None or self._scanner is None:
            engine = self._wanted
            if engine == "auto":
                engine = detect(body, self._among)
            if isinstance(engine, str):
                if engine not in self._among:
                    wrong = f"this version cannot read {engine}, only {list(self._among)}"
                    raise ScrapeError(Reason.UNKNOWN_ENGINE, wrong)
                engine = self._among[engine]
            self._scanner = Scanner(engine.names | {PROCESS_START}, self._room.limits, self._room)
            self._engine = engine
        return self._engine, self._scanner


def _process_start(samples: Samples) -> float | None:
    """Unix seconds; None where the page has none, or one for each of several processes."""
    starts = [value for series, value in samples.items() if series.name == PROCESS_START]
    return starts[0] if len(starts) == 1 else None
