"""What a pool costs as time passes, whether or not anything answers (DESIGN.md section 2, "Supply").

Cost accrues in exact integers: rate x nanoseconds plus what was left over last time, divided into pico-USD; the
remainder is carried. Over any number of ticks the sum equals the floor of price x time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from exporter.config.schema import Pool, StaticGpus
from exporter.ledger.money import RATE_NS_PER_PICO, rate
from exporter.pricing.book import PriceBook

GPU, OVERHEAD = "gpu", "overhead"
_MICRO = 10**6


@dataclass(slots=True)
class Accrued:
    """What one stretch of time cost."""

    cost: dict[str, int] = field(default_factory=dict)  # resource -> pico-USD
    gpu_ns: int = 0  # GPUs x nanoseconds
    priced: bool = False  # some GPU time in it had a price

    @property
    def total(self) -> int:
        """pico-USD over all resources."""
        return sum(self.cost.values())


class Supply:
    """The GPUs and the overhead of one pool. `carry` is state: what is not yet a whole pico-USD, per resource."""

    def __init__(self, pool: Pool, prices: PriceBook) -> None:
        if not isinstance(pool.gpus, StaticGpus):
            raise TypeError(f"pool {pool.name}: gpus.source is not available in this version")
        self._pool = pool
        self._prices = prices
        self.gpus = pool.gpus.count  # may be fractional
        self.product = pool.gpus.product  # "" when the config does not name one
        self.carry: dict[str, int] = {}

    def usd_per_gpu_hour(self, wall_ns: int) -> Decimal | None:
        """The price of one GPU at that moment; None when nobody said."""
        if self._pool.usd_per_gpu_hour is not None:
            return self._pool.usd_per_gpu_hour
        return self._prices.usd_per_hour(self.product, wall_ns, self._pool.purchase)

    def accrue(self, start_ns: int, end_ns: int) -> Accrued:
        """The cost of [start, end) in Unix nanoseconds, cut where a price changes."""
        accrued = Accrued()
        owed = {GPU: self.carry.get(GPU, 0), OVERHEAD: self.carry.get(OVERHEAD, 0)}
        for start, end in self._prices.segments(start_ns, end_ns):
            price = self.usd_per_gpu_hour(start)
            if price is not None:
                owed[GPU] += rate(price, self.gpus) * (end - start)
                accrued.priced = True
            owed[OVERHEAD] += rate(self._pool.overhead_usd_per_hour) * (end - start)
        for resource, amount in owed.items():
            accrued.cost[resource], self.carry[resource] = divmod(amount, RATE_NS_PER_PICO)
        micro = round(self.gpus * _MICRO) * (end_ns - start_ns) + self.carry.get("gpu_time", 0)
        accrued.gpu_ns, self.carry["gpu_time"] = divmod(micro, _MICRO)
        return accrued
