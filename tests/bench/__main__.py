"""Every benchmark, one table: `make bench`, or some of it: `make bench ARGS="scan fanout"`.

A ratio is against the named peer in the same run, round by round; only ratios travel from one machine to another. A
peer that is not installed is left out, and said so.
"""

from __future__ import annotations

import asyncio
import platform
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from exporter import __version__
from tests.bench import budgets, fanout, footprint, gpus, held, render, save, scan, served, tick
from tests.bench.process import cores
from tests.bench.table import Row, markdown

PARTS: Mapping[str, Callable[[], list[Row]]] = {
    "scan": scan.rows,
    "render": render.rows,
    "served": served.rows,
    "fanout": fanout.rows,
    "tick": tick.rows,
    "budgets": budgets.rows,
    "save": save.rows,
    "footprint": lambda: asyncio.run(footprint.measure()),
    "gpus": lambda: asyncio.run(gpus.measure()),
    "held": held.rows,
}


def main(names: list[str]) -> None:
    """The rows of these parts, all of them if none is named."""
    found: list[Row] = []
    try:
        for name in names or PARTS:
            print(f"{datetime.now(UTC):%H:%M:%S} {name} ...", file=sys.stderr, flush=True)
            found += PARTS[name]()
    finally:  # what there is, if one of them fails
        print(
            f"tokencost-exporter {__version__}, Python {platform.python_version()}, {platform.system()} "
            f"{platform.machine()}, {cores()} cores, {datetime.now(UTC):%Y-%m-%d}; medians of at least five rounds\n"
        )
        print(markdown(found))


if __name__ == "__main__":
    main(sys.argv[1:])
