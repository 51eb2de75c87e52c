"""Pods come and go for hours, and neither the program nor its ledger holds more than before. `make soak` is the day."""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryDirectory

from exporter.ledger import families as f
from tests.soak.world import PODS, Soak

INTERVAL = 60
WARM = 66  # turns: longer than an hour, and a thousand targets have left
LATER = 44  # a multiple of four, so that what is published is as fresh as it was
QUIET = 2  # until all is booked, and what is published was asked for
# The ledger is synced at every tick, and the disk is not what is tested.
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108


async def test_what_is_held_does_not_grow_with_the_number_of_pods_that_there_ever_were() -> None:
    with TemporaryDirectory(dir=MEMORY) as folder:
        soak = Soak(Path(folder), INTERVAL)
        async with soak.running():
            for _ in range(WARM):
                await soak.turn(leaving=2 * PODS)
            held, rows, born = soak.held(), soak.rows(), soak.town.born
            for _ in range(LATER):
                await soak.turn(leaving=2 * PODS)
            later = soak.held()
            came = soak.town.born - born
            assert came >= LATER * 2 * PODS
            assert soak.rows() == rows
            grown = later - held
            assert grown.total() < came / 3, grown  # the trail of a budget grows a little, for a week

            for _ in range(QUIET):
                await soak.turn(quiet=True)
            page = soak.pages["/metrics"]
            there = {soak.town.url(number) for number in soak.town.pods}
            targets = set(re.findall(rf'^{f.SCRAPES}\{{target="([^"]*)"\}}', page, re.MULTILINE))
            assert there <= targets
            assert len(targets) < 70 * 2 * PODS  # those of the last hour
            tokens = map(int, re.findall(rf"^{f.ENGINE_TOKENS}\{{[^}}]*\}} (\d+)$", page, re.MULTILINE))
            assert sum(tokens) == soak.town.served
