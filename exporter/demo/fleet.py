"""The simulated world: pools of engines, a provider, the gateway before them, their traffic and the crashes that
happen to them. Pure and seeded."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass

from exporter.demo.engine import SimEngine
from exporter.demo.gateway import SimGateway
from exporter.demo.traffic import Request, Source, Traffic, always, nightly
from exporter.demo.worker import Provider, Speed, Worker
from exporter.records import Role, TokenClass

DOWN_SECONDS = (8.0, 20.0)

PoolTotals = Counter[tuple[str, str, str, TokenClass]]  # tokens by pool (or provider), model, tenant and class


@dataclass(frozen=True, slots=True)
class PoolPlan:
    """One pool of the world, as its owner would describe it. It serves one model, named like the pool, under which
    its engines count whatever they were asked for. Without a tenant it stands behind the gateway."""

    name: str
    gpus: int
    product: str
    usd_per_gpu_hour: float
    speed: Speed  # of each engine
    roles: tuple[Role, ...]  # one engine for each
    sources: tuple[Source, ...]
    tenant: str = ""  # the whole pool is this tenant's


@dataclass(frozen=True, slots=True)
class ApiPlan:
    """A provider's model, bought by the token through the gateway."""

    provider: str
    model: str
    usd_per_mtok: tuple[float, float, float]  # uncached input, cached input, output
    itl: float  # seconds per output token
    sources: tuple[Source, ...]


RUNAWAY = (180.0, 1800.0)  # seconds: long enough to see what it does to a budget, short enough to see the end of it

PLANS = (
    PoolPlan(
        name="chat-70b",
        gpus=4,
        product="NVIDIA H100 80GB HBM3",
        usd_per_gpu_hour=2.49,
        speed=Speed(slots=96, prefill_rate=9_000, itl=0.018, kv_tokens=400_000),
        roles=("any", "any"),
        sources=(
            Source("acme", 2.0, prompt=700, output=260, cached_share=0.45, shape=always, noise=0.1),
            Source("globex", 0.8, prompt=1500, output=180, cached_share=0.25, noise=1.2, model="chat-70b-lora-legal"),
            Source("initech", 2.0, prompt=400, output=600, cached_share=0.10, shape=nightly),
            # An agent that usually asks little, until it asks the same again and again without end.
            Source("hooli", 0.2, prompt=600, output=120, cached_share=0.45),
            Source("hooli", 20.0, prompt=600, output=60, cached_share=0.90, shape=always, noise=0.1, span=RUNAWAY),
            # Claims take the oldest tokens first, so a bypass shows only once it has put them a whole `claim_within`
            # behind: enough of one to see that within minutes.
            Source("umbrella", 1.5, prompt=900, output=200, cached_share=0.20, shape=always, noise=0.1, direct=True),
        ),
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

API = ApiPlan(
    provider="openai",
    model="gpt-4o",
    usd_per_mtok=(2.50, 1.25, 10.00),
    itl=0.012,
    sources=(Source("soylent", 0.25, prompt=1200, output=300, cached_share=0.35),),
)

# Name, US dollars a month, and what narrows it. The second is plenty for an agent that asks little, and is burnt forty
# times too fast by one that runs away; the others are about what is spent.
BUDGETS = (
    ("everything", 7000, ""),
    ("hooli", 60, ", tenant: hooli"),
    (API.provider, 2000, f", pool: {API.provider}"),
)


@dataclass(slots=True)
class _Pool:
    plan: PoolPlan
    traffic: Traffic
    workers: dict[str, Worker]


class Fleet:
    """Everything that the exporter will watch, and what truly happened in it.

    `start` is the Unix time at which the world and all its processes begin; `day_seconds` is how long a simulated
    day takes, `mean_life` how many seconds an engine lives between crashes. The same `rng` state, plans and steps
    give the same world, byte for byte.
    """

    def __init__(
        self,
        rng: random.Random,
        start: float,
        plans: tuple[PoolPlan, ...] = PLANS,
        *,
        day_seconds: float = 300.0,
        api: ApiPlan = API,
        mean_life: float = 600.0,
    ) -> None:
        self._mean_life = mean_life
        self.plans = plans
        self.api = api
        self.gateway = SimGateway(start)
        self._rng = rng
        self._pools: list[_Pool] = []
        self.workers: dict[str, Worker] = {}  # by engine name, such as chat-70b-any-0
        for plan in plans:
            workers: dict[str, Worker] = {}
            for index, role in enumerate(plan.roles):
                engine = SimEngine(plan.name, start=start)
                workers[f"{plan.name}-{role}-{index}"] = Worker(engine, plan.name, role, plan.speed)
            self._pools.append(_Pool(plan, Traffic(plan.sources, rng, start, day_seconds), workers))
            self.workers |= workers
        self._provider, self._api_traffic = Provider(api.itl), Traffic(api.sources, rng, start, day_seconds)
        self._turns = {name: start + rng.expovariate(1 / self._mean_life) for name in self.workers}

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

    @property
    def bypassed(self) -> PoolTotals:
        """What of the truth was asked for past the gateway. What is neither here nor in `reported`, of a pool behind
        the gateway, is under way or died with an engine."""
        direct = {(plan.name, source.tenant) for plan in self.plans for source in plan.sources if source.direct}
        return Counter({key: tokens for key, tokens in self.truth.items() if (key[0], key[2]) in direct})

    @property
    def reported(self) -> PoolTotals:
        """What the gateway reported over all its lives, by pool or provider and by the model it was asked for."""
        places = {source.model or plan.name: plan.name for plan in self.plans for source in plan.sources}
        total: PoolTotals = Counter()
        for life in self.gateway.lives:
            for (tenant, model, kind), tokens in life.items():
                total[places.get(model, self.api.provider), model, tenant, kind] += tokens
        return total

    def advance(self, dt: float, now: float) -> None:
        """Live through the `dt` seconds up to `now` (Unix seconds). Steps of up to half a second look smooth."""
        for name, worker in self.workers.items():
            while now >= self._turns[name]:
                self._turn(name, worker, self._turns[name])
        for pool in self._pools:
            self._work(pool, dt, now)
        for request in self._api_traffic.arrivals(now, dt):
            self._provider.submit(request)
        for ended in self._provider.advance(now):
            self._report(ended, self.api.model)

    def _work(self, pool: _Pool, dt: float, now: float) -> None:
        workers = list(pool.workers.values())
        for request in pool.traffic.arrivals(now, dt):
            if entry := self._least_busy(workers, "any", "prefill"):
                entry.submit(request)
        for worker in workers:
            for ended in worker.advance(dt, now) if worker.up else ():
                if worker.role == "prefill":
                    if decoder := self._least_busy(workers, "decode"):
                        decoder.submit(ended)
                elif not (pool.plan.tenant or ended.source.direct):
                    self._report(ended, pool.plan.name)

    def _turn(self, name: str, worker: Worker, at: float) -> None:
        if worker.up:
            worker.stop()
            self._turns[name] = at + self._rng.uniform(*DOWN_SECONDS)
        else:
            worker.restart(at)
            self._turns[name] = at + self._rng.expovariate(1 / self._mean_life)

    def _report(self, request: Request, model: str) -> None:
        """A request through the gateway ended."""
        source = request.source
        self.gateway.report(
            source.tenant, source.model or model, prompt=request.prompt, cached=request.cached, output=request.output
        )

    def _least_busy(self, workers: list[Worker], *roles: Role) -> Worker | None:
        """The engine a router would choose; None when all are down and the client gets an error."""
        able = [worker for worker in workers if worker.up and worker.role in roles]
        return min(able, key=lambda worker: worker.busy, default=None)


def demo_fleet(start: float, seed: int = 1, day_seconds: float = 300.0) -> Fleet:
    """The world of `tokencost-exporter demo`."""
    return Fleet(random.Random(seed), start, day_seconds=day_seconds)  # noqa: S311  # a simulation, no secret
