"""A day of churn in minutes: `make soak`. How much memory the process has at 1 h, 6 h, 12 h and 24 h; fails when it
grew by more than 5 % after the first hour."""

from __future__ import annotations

import asyncio
import logging
import resource
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.soak.world import Soak

INTERVAL = 15
HOURS = 24
SHOWN = (1, 6, 12, 24)
TURNS_EACH = 4  # one pod makes way for another every minute
MOST_GROWTH = 1.05


def resident() -> int:
    """Bytes of memory that this process has now; the most it ever had where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


async def day(folder: Path) -> int:
    """Live through it; the exit status."""
    soak, began, sizes = Soak(folder, INTERVAL), time.monotonic(), {}
    soak.town.closing = True
    print(f"{'hour':>5} {'RSS, MiB':>9} {'pods so far':>12} {'accounts':>9} {'real s':>7}")
    async with soak.running():
        for hour in range(1, HOURS + 1):
            for turn in range(3600 // INTERVAL):
                await soak.turn(leaving=turn % TURNS_EACH == 0)
            sizes[hour] = resident()
            if hour in SHOWN:
                accounts, real = soak.rows()["account"], time.monotonic() - began
                print(f"{hour:5} {sizes[hour] / 2**20:9.1f} {soak.town.born:12,} {accounts:9,} {real:7.0f}", flush=True)
    growth = max(sizes.values()) / sizes[1]
    print(f"the most after the first hour: {growth:.3f} of what it was then")
    return int(growth > MOST_GROWTH)


if __name__ == "__main__":
    logging.disable()
    with TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as place:  # noqa: S108
        sys.exit(asyncio.run(day(Path(place))))
