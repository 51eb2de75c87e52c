"""How each target is doing: what the page, the JSON and the target_* gauges say about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from exporter.errors import ScrapeError
from exporter.ledger.accounts import Labels
from exporter.publish.view import TargetStatus
from exporter.records import NS, Instant
from exporter.sources.target import Target


class Health:
    """One status per target of the config."""

    def __init__(self) -> None:
        self._status: dict[str, TargetStatus] = {}
        self._untried: set[str] = set()

    def configure(self, targets: Iterable[Target]) -> None:
        """The targets of a new config; those that stay keep their status."""
        wanted = {target.name: target for target in targets}
        self._untried = (self._untried & wanted.keys()) | (wanted.keys() - self._status.keys())
        self._status = {
            name: replace(self._status[name], pool=target.pool)
            if name in self._status
            else TargetStatus(name, target.pool, target.engine, up=False, reason="untried")
            for name, target in wanted.items()
        }

    @property
    def all_tried(self) -> bool:
        """True once every target has been tried, well or badly."""
        return not self._untried

    def good(self, target: str, engine: str, at: Instant, seconds: float) -> None:
        """A scrape went well."""
        if target in self._status:
            self._untried.discard(target)
            self._status[target] = replace(
                self._status[target],
                engine=engine, up=True, reason="", detail="", last_success=at.wall_ns / NS, duration_seconds=seconds,
            )  # fmt: skip

    def failed(self, target: str, seconds: float, error: ScrapeError) -> None:
        """A scrape gave nothing."""
        if target in self._status:
            self._untried.discard(target)
            self._status[target] = replace(
                self._status[target], up=False, reason=error.reason.value, detail=str(error), duration_seconds=seconds
            )

    def statuses(self) -> tuple[TargetStatus, ...]:
        """All of them, in the config's order."""
        return tuple(self._status.values())

    def gauges(self) -> dict[str, dict[Labels, float]]:
        """The target_* gauges; a target that has not been tried has none."""
        up: dict[Labels, float] = {}
        duration: dict[Labels, float] = {}
        success: dict[Labels, float] = {}
        for name, status in self._status.items():
            labels = (name, status.pool, status.engine)
            if name not in self._untried:
                up[labels] = float(status.up)
                duration[labels] = status.duration_seconds
            if status.last_success is not None:
                success[labels] = status.last_success
        return {
            "tokencost_target_up": up,
            "tokencost_target_scrape_duration_seconds": duration,
            "tokencost_target_last_success_timestamp_seconds": success,
        }
