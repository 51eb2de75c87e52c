"""Pods come and go for hours, and neither the program nor its ledger holds more than before. `make soak` is the day."""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryDirectory

from exporter.ledger import families as f
from tests.soak.world import PODS, Soak

INTERVAL = 60
WARM = 66  # turns: longer than an hour, and a thousand targets have left
LATER = 46  # with the quiet ones, a multiple of four, so that what is published is as fresh as it was
QUIET = 2  # until all is booked, and what is published was asked for
# The ledger is synced at every tick, and the disk is not what is tested.
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108


async def churn(soak: Soak, turns: int) -> None:
    """All pods make way for others, so many times; then nobody asks for anything until all is booked and published."""
    for _ in range(turns):
        await soak.turn(leaving=2 * PODS)
    for _ in range(QUIET):
        await soak.turn(quiet=True)


async def test_what_is_held_does_not_grow_with_the_number_of_pods_that_there_ever_were() -> None:
    with TemporaryDirectory(dir=MEMORY) as folder:
        soak = Soak(Path(folder), INTERVAL)
        async with soak.running():
            await churn(soak, WARM)
            held, rows, born = soak.held(), soak.rows(), soak.town.born
            await churn(soak, LATER)
            grown, came = soak.held() - held, soak.town.born - born
            assert came >= LATER * 2 * PODS
            assert all(count <= rows[table] for table, count in soak.rows().items())
            assert grown.total() < came * 2 / 3, grown  # the trail of a budget grows a little, for a week

            page = soak.pages["/metrics"]
            there = {soak.town.url(number) for number in soak.town.pods}
            targets = set(re.findall(rf'^{f.SCRAPES}\{{target="([^"]*)"\}}', page, re.MULTILINE))
            assert there <= targets
            assert len(targets) < 70 * 2 * PODS  # those of the last hour
            tokens = map(int, re.findall(rf"^{f.ENGINE_TOKENS}\{{[^}}]*\}} (\d+)$", page, re.MULTILINE))
            assert sum(tokens) == soak.town.served
