"""The simulated world: pools of engines, their traffic, and the crashes that happen to them. Pure and seeded."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass

from exporter.demo.engine import SimEngine
from exporter.demo.traffic import Source, Traffic
from exporter.demo.worker import Speed, Worker
from exporter.records import Role, TokenClass

MEAN_LIFE_SECONDS = 600.0  # of an engine process between crashes
DOWN_SECONDS = (8.0, 20.0)

PoolTotals = Counter[tuple[str, str, str, TokenClass]]  # tokens by pool, model, tenant and class


@dataclass(frozen=True, slots=True)
class PoolPlan:
    """One pool of the world, as its owner would describe it. It serves one model, named like the pool."""

    name: str
    gpus: int
    product: str
    usd_per_gpu_hour: float
    speed: Speed  # of each engine
    roles: tuple[Role, ...]  # one engine for each
    sources: tuple[Source, ...]
    tenant: str = ""  # the whole pool is this tenant's
    tenant_label: str = ""  # or the engines name the tenant


PLANS = (
    PoolPlan(
        name="chat-70b",
        gpus=4,
        product="NVIDIA H100 80GB HBM3",
        usd_per_gpu_hour=2.49,
        speed=Speed(slots=96, prefill_rate=9_000, itl=0.018, kv_tokens=400_000),
        roles=("any", "any"),
        sources=(
            Source("acme", peak_rate=4.0, prompt=700, output=260, cached_share=0.45),
            Source("globex", peak_rate=2.0, prompt=1500, output=180, cached_share=0.25),
            Source("initech", peak_rate=0.8, prompt=400, output=600, cached_share=0.10),
        ),
        tenant_label="lora_name",
    ),
    PoolPlan(
        name="code-32b",
        gpus=2,
        product="NVIDIA A100-SXM4-80GB",
        usd_per_gpu_hour=1.49,
        speed=Speed(slots=64, prefill_rate=8_000, itl=0.015, kv_tokens=300_000),
        roles=("prefill", "decode"),
        sources=(Source("research", peak_rate=2.5, prompt=3000, output=160, cached_share=0.45),),
        tenant="research",
    ),
)


@dataclass(slots=True)
class _Pool:
    plan: PoolPlan
    traffic: Traffic
    workers: dict[str, Worker]


class Fleet:
    """Everything that the exporter will watch, and what truly happened in it.

    `start` is the Unix time at which the world and all its processes begin; `day_seconds` is how long a simulated
    day takes. The same `rng` state, plans and steps give the same world, byte for byte.
    """

    def __init__(
        self, rng: random.Random, start: float, plans: tuple[PoolPlan, ...] = PLANS, day_seconds: float = 300.0
    ) -> None:
        self.plans = plans
        self._rng = rng
        self._pools: list[_Pool] = []
        self.workers: dict[str, Worker] = {}  # by engine name, such as chat-70b-any-0
        for plan in plans:
            tenants = tuple(source.tenant for source in plan.sources)
            workers: dict[str, Worker] = {}
            for index, role in enumerate(plan.roles):
                engine = SimEngine(plan.name, start=start, tenant_label=plan.tenant_label, tenants=tenants)
                workers[f"{plan.name}-{role}-{index}"] = Worker(engine, plan.name, role, plan.speed)
            self._pools.append(_Pool(plan, Traffic(plan.sources, rng, start, day_seconds), workers))
            self.workers |= workers
        self._turns = {name: start + rng.expovariate(1 / MEAN_LIFE_SECONDS) for name in self.workers}

    @property
    def engines(self) -> dict[str, SimEngine]:
        return {name: worker.engine for name, worker in self.workers.items()}

    def up(self, name: str) -> bool:
        """Whether that engine answers."""
        return self.workers[name].up

    @property
    def truth(self) -> PoolTotals:
        """What the users of each pool were given. In a disaggregated pool the prompt is what the prefill engine
        counted and the output is what the decode engine counted: each token once."""
        total: PoolTotals = Counter()
        for pool in self._pools:
            for worker in pool.workers.values():
                for (model, tenant, kind), tokens in worker.engine.truth.items():
                    if worker.role == "any" or (kind == "output") == (worker.role == "decode"):
                        total[pool.plan.name, model, tenant, kind] += tokens
        return total

    def advance(self, dt: float, now: float) -> None:
        """Live through the `dt` seconds up to `now` (Unix seconds). Steps of up to half a second look smooth."""
        for name, worker in self.workers.items():
            while now >= self._turns[name]:
                self._turn(name, worker, self._turns[name])
        for pool in self._pools:
            workers = list(pool.workers.values())
            for request in pool.traffic.arrivals(now, dt):
                if entry := self._least_busy(workers, "any", "prefill"):
                    entry.submit(request)
            for worker in workers:
                for handed_on in worker.advance(dt, now) if worker.up else ():
                    if decoder := self._least_busy(workers, "decode"):
                        decoder.submit(handed_on)

    def _turn(self, name: str, worker: Worker, at: float) -> None:
        if worker.up:
            worker.stop()
            self._turns[name] = at + self._rng.uniform(*DOWN_SECONDS)
        else:
            worker.restart(at)
            self._turns[name] = at + self._rng.expovariate(1 / MEAN_LIFE_SECONDS)

    def _least_busy(self, workers: list[Worker], *roles: Role) -> Worker | None:
        """The engine a router would choose; None when all are down and the client gets an error."""
        able = [worker for worker in workers if worker.up and worker.role in roles]
        return min(able, key=lambda worker: worker.busy, default=None)


def demo_fleet(start: float, seed: int = 1, day_seconds: float = 300.0) -> Fleet:
    """The world of `tokencost-exporter demo`."""
    return Fleet(random.Random(seed), start, day_seconds=day_seconds)  # noqa: S311  # a simulation, no secret
