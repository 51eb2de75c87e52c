"""What a pool costs as time passes, whether or not anything answers (DESIGN.md section 2, "Supply").

Cost accrues in exact integers: rate x nanoseconds plus what was left over last time, divided into pico-USD; the
remainder is carried. Over any number of ticks the sum equals the floor of price x time, and of price x energy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction

from exporter.allocation.gputime import Counts, GpuTime
from exporter.config.gpus import CountedGpus
from exporter.config.prices import Energy
from exporter.config.schema import Pool
from exporter.ledger.money import RATE_NS_PER_PICO, rate
from exporter.pricing.book import PriceBook

GPU, OVERHEAD, ENERGY = "gpu", "overhead", "energy"
_NANO = 10**9
# atto-USD/kWh x microjoules, per pico-USD: 1e6 atto in a pico, 3.6e12 microjoules in a kWh.
_KWH_MICROJOULES_PER_PICO = 10**6 * 3_600_000 * 10**6


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
    """The GPUs, the energy and the overhead of one pool. `carry` is state: what is not yet a whole pico-USD."""

    def __init__(self, pool: Pool, prices: PriceBook, energy: Energy | None = None) -> None:
        self._pool = pool
        self._prices = prices
        self._energy_rate = rate(energy.usd_per_kwh * energy.pue) if energy else None  # atto-USD per kWh
        # Where the config counts the GPUs: how many.
        gpus = pool.gpus
        self.configured: Counts = {}
        if isinstance(gpus, CountedGpus):
            self.configured[gpus.product] = Fraction(gpus.of(len(pool.endpoints)))
        self.carry: dict[str, int] = {}
        self._rates: dict[tuple[Decimal, Fraction], int] = {}

    def usd_per_gpu_hour(self, product: str, wall_ns: int) -> Decimal | None:
        """The price of one GPU at that moment; None when nobody said."""
        if self._pool.usd_per_gpu_hour is not None:
            return self._pool.usd_per_gpu_hour
        return self._prices.usd_per_hour(product, wall_ns, self._pool.purchase)

    def accrue(self, start_ns: int, end_ns: int, gpus: Counts) -> Accrued:
        """The cost of [start, end) in Unix nanoseconds with these GPUs, cut where a price changes."""
        accrued = Accrued()
        owed = {GPU: self.carry.get(GPU, 0), OVERHEAD: self.carry.get(OVERHEAD, 0)}
        for start, end in self._prices.segments(start_ns, end_ns):
            for product, count in gpus.items():
                price = self.usd_per_gpu_hour(product, start)
                if price is not None:
                    owed[GPU] += self._rate(price, count) * (end - start)
                    accrued.priced = True
            owed[OVERHEAD] += self._rate(self._pool.overhead_usd_per_hour, Fraction(1)) * (end - start)
        for resource, amount in owed.items():
            accrued.cost[resource], self.carry[resource] = divmod(amount, RATE_NS_PER_PICO)
        nano = int(sum(gpus.values(), Fraction(0)) * _NANO) * (end_ns - start_ns) + self.carry.get("gpu_time", 0)
        accrued.gpu_ns, self.carry["gpu_time"] = divmod(nano, _NANO)
        return accrued

    def draw(self, microjoules: int) -> dict[str, int]:
        """What that much energy cost, as its own resource; nothing where energy has no price."""
        if self._energy_rate is None:
            return {}
        owed = microjoules * self._energy_rate + self.carry.get(ENERGY, 0)
        cost, self.carry[ENERGY] = divmod(owed, _KWH_MICROJOULES_PER_PICO)
        return {ENERGY: cost}

    def at_work(self, gpus: GpuTime, wall_ns: int, *, by_price: bool) -> tuple[Fraction, Fraction]:
        """(part of the GPUs whose source said whether they were at work, part of the GPUs that was), each between 0 and
        1; GPUs count by what they cost at that moment or by their number."""
        whole = known = busy = Fraction(0)
        for device in gpus.devices:
            price = self.usd_per_gpu_hour(device.held.gpu.product, wall_ns) if by_price else None
            weight = device.held.share * (Fraction(price or 0) if by_price else 1)
            whole += weight
            if device.busy is not None:
                known += weight
                busy += weight * device.busy
        return (known / whole, busy / whole) if whole else (Fraction(0), Fraction(0))

    def _rate(self, usd_per_hour: Decimal, count: Fraction) -> int:
        known = self._rates.get((usd_per_hour, count))
        if known is None:
            if len(self._rates) > 1000:
                self._rates.clear()
            known = self._rates[usd_per_hour, count] = rate(usd_per_hour, count)
        return known
