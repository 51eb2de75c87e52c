"""What one tick hands to the publishers: finished numbers, nothing to compute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from exporter.ledger.accounts import Family, Labels
from exporter.publish.catalog import CATALOG, Metric
from exporter.records import Instant


@dataclass(frozen=True, slots=True)
class TargetStatus:
    """One target's health, for the page and the JSON."""

    target: str
    pool: str
    engine: str
    up: bool
    reason: str = ""  # a Reason when down
    detail: str = ""  # what happened, for a person; never a secret
    last_success: float | None = None  # Unix seconds
    duration_seconds: float = 0.0  # of the last scrape


@dataclass(frozen=True, slots=True)
class View:
    """Everything a tick publishes. Metric names are CONTRACT names; label values stand in the catalog's order."""

    at: Instant
    started: Instant
    counters: Mapping[str, Family]
    gauges: Mapping[str, Mapping[Labels, float]]
    targets: tuple[TargetStatus, ...] = ()
    catalog: tuple[Metric, ...] = CATALOG
