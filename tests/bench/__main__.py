"""Every benchmark, one table: `make bench`. Ratios are against the named peer in the same run; only they travel."""

import asyncio

from tests.bench import footprint, render, scan

for row in (*scan.rows(), *render.rows()):
    print(f"{row['name']:70} {row['ours_us']:12,.1f} us   {row['peer']:55} {row['peer_us']:12,.1f} us {row['ratio']:8,.0f}x")
footprint.show(asyncio.run(footprint.measure()))
