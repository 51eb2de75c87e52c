"""The laws over GPUs that come, go, are cut up and lost: each pool pays its share of each while it holds it."""

from __future__ import annotations

import shutil
from copy import deepcopy
from decimal import Decimal
from fractions import Fraction

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from exporter.books import Books
from exporter.config.schema import Config
from exporter.demo.engine import SimEngine
from exporter.ledger import families as f
from exporter.ledger.store import Store
from exporter.records import NS, NVML, Gpu, GpuReading, Instant
from exporter.sources.reader import Reader
from tests.laws.world import START_NS, folder_in_memory

SELECT = {"owner": [0], "slice": ["MIG-1"], "part": ["GPU-1"]}
PRICE, KWH = Decimal("2.49"), Decimal("0.31")
CONFIG = Config.model_validate({
    "prices": {"gpus": [{"product": "H100", "usd_per_hour": PRICE}], "energy": {"usd_per_kwh": KWH}},
    "pools": [
        {
            "name": name,
            "endpoints": [{"url": f"http://{name}:8000/metrics"}],
            "gpus": {"source": "nvml", "select": select} | ({"replicas": 2} if name == "part" else {}),
        }
        for name, select in SELECT.items()
    ],
})  # fmt: skip
WAIT = st.sampled_from([1, NS // 3, NS, 15 * NS, 601 * NS])
LAYOUTS = ["gpu0 mig gpu1", "gpu0 gpu1", "gpu0 mig", "gpu0", "gpu1", ""]
RATIO = st.one_of(st.none(), st.sampled_from([0.0, 0.25, 1.0]))


class Truth:
    """Who holds what, told by the rules in plain words, and what that has cost."""

    def __init__(self) -> None:
        self.here: set[str] = set()  # of gpu0, mig, gpu1: those that are paid for
        self.first = True  # no reading yet since the start
        self.cost = dict.fromkeys(SELECT, Fraction(0))  # USD

    def shares(self) -> dict[str, Fraction]:
        sliced = Fraction(3, 7) if "mig" in self.here else Fraction(0)
        return {
            "owner": 1 - sliced if "gpu0" in self.here else Fraction(0),
            "slice": sliced,
            "part": Fraction(1, 2) if "gpu1" in self.here else Fraction(0),
        }

    def passes(self, ns: int) -> None:
        for name, share in self.shares().items():
            self.cost[name] += Fraction(PRICE) * share * ns / (3600 * NS)

    def sees(self, found: set[str]) -> None:
        if self.first:
            self.here = set(found)
        elif "gpu0" in found and "mig" not in found:
            self.here.discard("mig")
        self.here |= found
        self.first = False


class Machine(RuleBasedStateMachine):
    """A driver that is read now and then, engines that serve, an exporter that ticks, dies and comes back."""

    @initialize()
    def begin(self) -> None:
        self.folder = folder_in_memory()
        self.now_ns = START_NS
        self.engines = {name: SimEngine("m", start=START_NS / NS - 99, process_metrics=False) for name in SELECT}
        self.joules = 0.0
        self.truth = Truth()
        self.saved = deepcopy(self.truth)
        self.boot()

    def boot(self) -> None:
        self.store = Store(str(self.folder / "ledger.db"))
        self.books = Books(CONFIG, self.store.open(), self.instant())
        self.readers = {name: Reader("vllm") for name in SELECT}
        self.truth = deepcopy(self.saved)
        self.truth.first = True

    def instant(self) -> Instant:
        return Instant(self.now_ns, self.now_ns)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            shutil.rmtree(self.folder)

    def time_passes(self, ns: int) -> None:
        self.now_ns += ns
        self.truth.passes(ns)

    @rule(name=st.sampled_from(list(SELECT)), output=st.integers(0, 1000), running=st.integers(0, 1))
    def engine_serves(self, name: str, output: int, running: int) -> None:
        self.engines[name].serve("m", prompt=3, output=output, prefill_seconds=0.1, decode_seconds=1)
        self.engines[name].load("m", running=running)

    @rule(name=st.sampled_from(list(SELECT)))
    def engine_is_scraped(self, name: str) -> None:
        target = f"http://{name}:8000/metrics"
        self.books.observe(self.readers[name].read(target, self.engines[name].page(), self.instant()))

    @rule(names=st.sampled_from(LAYOUTS), ratio=RATIO, joules=st.integers(0, 10**4), ns=WAIT)
    def driver_is_read(self, names: str, ratio: float | None, joules: int, ns: int) -> None:
        self.time_passes(ns)
        found = set(names.split())
        self.joules += joules
        gpus = {
            "gpu0": Gpu("GPU-0", "0", "H100", utilization=ratio, energy=self.joules),
            "mig": Gpu("MIG-1", "0:1", "H100", "GPU-0", "3g.40gb", 3, 7, ratio),
            "gpu1": Gpu("GPU-1", "1", "H100", utilization=ratio, power=300.0),
        }
        reading = GpuReading(NVML, "nvml", self.instant(), tuple(gpus[name] for name in sorted(found)))
        assert self.books.observe_gpus(reading) == []
        self.truth.sees(found)

    @rule(ns=WAIT)
    def exporter_ticks(self, ns: int) -> None:
        self.time_passes(ns)
        self.books.tick(self.instant())
        self.store.save(self.books.drain())
        self.saved = deepcopy(self.truth)
        for name in SELECT:
            paid = self.books.accounts[f.COST].get((name, "gpu"))
            assert abs(paid - self.truth.cost[name] * 10**12) <= 1, "law 6: each pool pays its share of its time"

    @rule(ns=WAIT)
    def exporter_is_killed_and_started_again(self, ns: int) -> None:
        """No engine proves that it was alive meanwhile, so that time is not paid for."""
        self.store.close()
        self.now_ns += ns
        self.boot()

    @invariant()
    def the_books_close(self) -> None:
        if not hasattr(self, "books"):
            return
        accounts = self.books.accounts
        for name in SELECT:
            cost = sum(
                v
                for labels, v in zip(accounts[f.COST].labels, accounts[f.COST].values, strict=True)
                if labels[0] == name
            )
            spend = sum(
                v
                for labels, v in zip(accounts[f.SPEND].labels, accounts[f.SPEND].values, strict=True)
                if labels[2] == name
            )
            assert cost == spend + accounts[f.IDLE].get((name,)) + self.books.pending(name), "law 1"
            assert accounts[f.BUSY_TIME].get((name,)) <= accounts[f.GPU_TIME].get((name,)) + 1
        assert sum(self.truth.shares().values()) <= 2, "law 8"


def test_the_laws_hold_over_random_device_layouts() -> None:
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=120, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
