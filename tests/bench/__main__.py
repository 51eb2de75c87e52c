"""Every benchmark, one table: `make bench`. Ratios are against the named peer in the same run; only they travel."""

import asyncio

from tests.bench import budgets, footprint, gpus, render, scan, tick

ROW = "{name:70} {ours_us:12,.1f} us   {peer:55} {peer_us:12,.1f} us {ratio:8,.0f}x"

for row in (*scan.rows(), *render.rows()):
    print(ROW.format(**row))
footprint.show(tick.measure())
footprint.show(budgets.measure())
footprint.show(asyncio.run(footprint.measure()))
footprint.show(asyncio.run(gpus.measure()))
