"""Shards of one config: their books add up to those of one exporter that has it all, to the picodollar."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter.books import Books
from exporter.config.schema import Config
from exporter.config.shard import Shard
from exporter.demo.engine import SimEngine
from exporter.demo.gateway import SimGateway
from exporter.ledger import families as f
from exporter.ledger.accounts import Labels
from exporter.ledger.changes import Saved
from exporter.records import NS, Gpu, GpuReading, Instant, Reading
from exporter.sources.reader import Reader
from exporter.sources.registry import ENGINES, GATEWAYS

START_NS = 1_795_348_800 * NS
POOLS = [f"pool-{number}" for number in range(6)]
EDGES = ["edge", "edge-2"]
PLACES = st.one_of(
    st.sampled_from(POOLS).map(lambda name: {"pool": name}),
    st.lists(st.sampled_from(POOLS), min_size=2, max_size=3, unique=True).map(lambda names: {"pool": names}),
    st.sampled_from(["openai", "anthropic"]).map(lambda name: {"provider": name}),
)
MODELS = ["a", "b", "c", "d", "stray"]
ROUTES = st.lists(
    st.builds(lambda model, place: {"model": model, **place}, st.sampled_from(MODELS[:-1]), PLACES),
    min_size=1,
    max_size=4,
)
REQUEST = st.tuples(
    st.sampled_from(EDGES), st.sampled_from(["acme", "globex"]), st.sampled_from(MODELS), st.integers(0, 9999),
    st.integers(0, 999),
)  # fmt: skip
SERVED = st.tuples(st.sampled_from(POOLS), st.integers(0, 9999), st.integers(0, 999))
STEPS = st.lists(st.one_of(REQUEST, SERVED, st.sampled_from([NS, 15 * NS, 700 * NS])), max_size=30)


DCGM = "http://node:9400/metrics"
SHARED = POOLS[:3]  # these take their GPUs from one source, and parts of one GPU


def gpus(pool: str) -> dict[str, Any]:
    return {"source": "dcgm", "url": DCGM, "match": {"pod": pool}} if pool in SHARED else {"count": 1}


def held_by(*pods: str) -> tuple[tuple[tuple[str, str], ...], ...]:
    return tuple((("pod", pod),) for pod in pods)


# The first owns a GPU of which the second has an instance; another is shared in time by the second and the third; what
# the third asks for of the last one is more than there is.
DEVICES = (
    Gpu("GPU-a", "0", "H100", utilization=0.5, holders=held_by(SHARED[0])),
    Gpu("MIG-a", "0:1", "H100", "GPU-a", "3g", 3, utilization=0.25, holders=held_by(SHARED[1])),
    Gpu("GPU-b", "1", "H100", utilization=0.75, holders=held_by(SHARED[1], SHARED[2])),
    Gpu("GPU-c", "2", "H100", utilization=1.0, holders=held_by(SHARED[2])),
)


def engine_url(pool: str) -> str:
    return f"http://{pool}:8000/metrics"


def edge_url(edge: str) -> str:
    return f"http://{edge}:4000/metrics"


def config(routes: dict[str, list[dict[str, Any]]]) -> Config:
    price = {"model": "*", "input_usd_per_mtok": Decimal("2.5"), "output_usd_per_mtok": Decimal("10.000000000003")}
    return Config.model_validate({
        "pools": [
            {
                "name": name, "gpus": gpus(name), "usd_per_gpu_hour": Decimal("2.49"),
                "endpoints": [{"url": engine_url(name)}],
            }
            for name in POOLS
        ],
        "prices": {"catalog": "none", "models": [price]},
        "gateways": [
            {
                "name": edge, "engine": "litellm", "endpoints": [{"url": edge_url(edge)}],
                "tenant_label": "team_alias", "routes": routes[edge],
            }
            for edge in EDGES
        ],
        "budgets": [
            {"name": "all", "limit_usd": 100, "period": "month"},
            {"name": "one", "limit_usd": 100, "period": "month", "pool": POOLS[0]},
        ],
    })  # fmt: skip


class World:
    """Engines and gateways, and exporters that look at them at the same moments."""

    def __init__(self, whole: Config, shards: int) -> None:
        self.now_ns = START_NS
        self.engines = {name: SimEngine("m", start=START_NS / NS - 99) for name in POOLS}
        self.gateways = {name: SimGateway(START_NS / NS - 99) for name in EDGES}
        self.readers = {
            **{name: Reader("vllm", ENGINES) for name in POOLS},
            **{name: Reader("litellm", GATEWAYS) for name in EDGES},
        }
        configs = [whole, *(Shard(index, shards).part(whole) for index in range(shards))]
        self.one, *self.shards = (Books(each, Saved(), self.instant()) for each in configs)
        self.look()

    def instant(self) -> Instant:
        return Instant(self.now_ns - START_NS, self.now_ns)

    def readings(self) -> list[Reading]:
        at = self.instant()
        of_engines = [self.readers[n].read(engine_url(n), engine.page(), at) for n, engine in self.engines.items()]
        return of_engines + [self.readers[n].read(edge_url(n), edge.page(), at) for n, edge in self.gateways.items()]

    def look(self) -> None:
        readings = self.readings()
        for books in (self.one, *self.shards):
            books.observe_gpus(GpuReading(DCGM, "dcgm", self.instant(), DEVICES))
            for reading in readings:
                books.observe(reading)
            books.tick(self.instant())

    def step(self, what: Any) -> None:
        if isinstance(what, int):
            self.now_ns += what
            self.look()
        elif what[0] in self.gateways:
            edge, team, model, prompt, output = what
            self.gateways[edge].report(team, model, prompt=prompt, output=output)
        else:
            pool, prompt, output = what
            self.engines[pool].serve("m", prompt=prompt, output=output, prefill_seconds=1, decode_seconds=2)


MONEY = (f.TOKENS, f.REQUESTS, f.SPEND, f.COST, f.IDLE, f.UNPRICED, f.GPU_TIME)


def accounts(*all_books: Books) -> Counter[tuple[str, Labels]]:
    total: Counter[tuple[str, Labels]] = Counter()
    for books in all_books:
        for family in MONEY:
            for labels, row in books.accounts[family].rows.items():
                total[family, labels] += books.accounts[family].values[row]
    return +total


@given(edge=ROUTES, edge_2=ROUTES, steps=STEPS, shards=st.integers(2, 4))
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_sums_of_shards_are_those_of_one_exporter(
    edge: list[dict[str, Any]], edge_2: list[dict[str, Any]], steps: list[Any], shards: int
) -> None:
    world = World(config({"edge": edge, "edge-2": edge_2}), shards)
    for what in [*steps, NS]:
        world.step(what)
    assert accounts(*world.shards) == accounts(world.one)
    assert sum(books.pending(pool) for books in world.shards for pool in POOLS) == sum(map(world.one.pending, POOLS))
    at = world.instant()
    for name in ("spent_usd", "forecast_usd"):
        whole, *parts = (books.gauges(at)[f"tokencost_budget_{name}"] for books in (world.one, *world.shards))
        for budget, value in whole.items():
            assert abs(sum(part[budget] for part in parts) - value) <= 1e-9 * max(1.0, value)
