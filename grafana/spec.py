"""What a dashboard is made of, as data: rows of panels, each a few queries in plain PromQL.

A query names metrics without the dashboard's filters; filters.py adds them. Widths and heights are in the cells of
Grafana's grid, which is 24 wide.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Steps = tuple[tuple[float, str], ...]  # from that value on that colour

USD, SHARE, SECONDS, TOKENS, COUNT, PLAIN = "currencyUSD", "percentunit", "s", "short", "short", "none"
TOKENS_PER_SECOND, REQUESTS_PER_SECOND, BYTES, JOULES = "count:tok/s", "reqps", "bytes", "joule"
DATE, AHEAD, WATTS, CELSIUS, HOURS = "dateTimeAsIso", "dateTimeFromNow", "watt", "celsius", "suffix:GPU-h"

HIGH_SHARE: Steps = ((0.9, "orange"), (1, "red"))
ANY_IS_BAD: Steps = ((1, "red"),)


@dataclass(frozen=True, kw_only=True)
class Panel:
    """What every panel has. `text` says where the number comes from and when it is absent."""

    title: str
    text: str
    unit: str
    decimals: int | None = None
    width: int
    height: int
    base: str = "green"  # the colour below the first step
    steps: Steps = ()


@dataclass(frozen=True, kw_only=True)
class Stat(Panel):
    """One number now, or over the dashboard's time range. `none` is shown where there is none."""

    query: str
    none: str
    legend: str = ""  # with it the panel shows this name beside the value
    words: Mapping[int, tuple[str, str]] | None = None  # value -> text, colour
    height: int = 4


@dataclass(frozen=True, kw_only=True)
class Graph(Panel):
    """Lines over time: legend -> query. Stacked ones add up."""

    lines: Mapping[str, str]
    stacked: bool = False
    highest: float | None = None  # of the axis
    width: int = 12
    height: int = 8
    every: str = ""  # the shortest step; rates are taken over at least four scrapes anyway


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of numbers."""

    title: str
    query: str
    unit: str
    decimals: int | None = None
    steps: Steps = ()
    words: Mapping[int, tuple[str, str]] | None = None
    shown: bool = True  # one that is only there for its labels is not


@dataclass(frozen=True, kw_only=True)
class Table(Panel):
    """One row for each combination of the labels, as it is now. `keys`: label -> title, in order."""

    keys: Mapping[str, str]
    columns: tuple[Column, ...]
    none: str
    sort: str = ""  # title of the column whose largest values come first
    links: Mapping[str, tuple[str, str]] | None = (
        None  # title of a key -> uid of a dashboard, the variable to set there
    )
    unit: str = PLAIN
    height: int = 8


@dataclass(frozen=True, kw_only=True)
class Section:
    """A row of the dashboard: a heading and what stands under it."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, kw_only=True)
class Dashboard:
    """One dashboard. `question` is what its first screen answers; `text` how to read it."""

    uid: str
    title: str
    question: str
    text: str
    filters: tuple[str, ...]  # variables, of those in filters.VARIABLES
    time: str  # how far back it looks at first
    refresh: str
    sections: tuple[Section, ...]
