"""What a pool's GPUs did in a tick: each in its share, one that is cut up by the instances that are the pool's own."""

from __future__ import annotations

from fractions import Fraction

import pytest

from exporter.allocation.gputime import GpuTime, gpu_time
from exporter.allocation.holdings import Held
from exporter.metering.gpus import GpuUse
from exporter.records import NS, Gpu

GPU = Gpu("GPU-a", "0", "H100")
MIG = Gpu("MIG-1", "0:1", "H100", "GPU-a", "2g", 2, 7)
OWNED = (("MIG-2", Fraction(2, 7)), ("MIG-3", Fraction(1, 7)))  # of a GPU whose first instance is another pool's


def tick(held: Held, **busy: float | None) -> GpuTime:
    """A second in which uuid (with _ for -) was busy for that part of it; the GPU drew 700 J."""
    uses = {}
    for name, ratio in busy.items():
        uuid = name.replace("_", "-")
        covered = 0 if ratio is None else NS
        uses[uuid] = GpuUse(GPU, fresh=True, busy_ns=round((ratio or 0) * NS), covered_ns=covered)
    uses.setdefault("GPU-a", GpuUse(GPU)).microjoules = 700 * 10**6
    return gpu_time([(0, (held,))], uses)


def test_energy_is_that_of_the_gpu_in_the_pools_share_also_for_an_instance() -> None:
    assert tick(Held(GPU, Fraction(1, 2)), GPU_a=1.0).microjoules == 350 * 10**6
    assert tick(Held(MIG, Fraction(2, 7)), MIG_1=1.0).microjoules == 200 * 10**6


@pytest.mark.parametrize(
    ("busy", "expected"),
    [
        ({"GPU_a": 0.5, "MIG_2": 1.0, "MIG_3": 1.0}, "1/2"),  # the GPU's own word
        ({"MIG_2": 1.0, "MIG_3": 1.0}, "3/5"),  # of five slices two stand empty
        ({"MIG_2": 0.5, "MIG_3": 0.0}, "1/5"),
        ({"MIG_2": 1.0, "MIG_3": None}, None),  # one that does not say leaves it open
        ({}, None),
    ],
)
def test_the_owner_of_a_gpu_that_is_cut_up_is_as_busy_as_its_own_instances(
    busy: dict[str, float | None], expected: str | None
) -> None:
    (device,) = tick(Held(GPU, Fraction(5, 7), OWNED), **busy).devices
    assert device.busy == (None if expected is None else Fraction(expected))


def test_counts_are_by_product_and_from_when_they_held() -> None:
    other = Held(Gpu("GPU-b", "1", "A100"), Fraction(1))
    time = gpu_time([(0, ()), (5, (Held(GPU, Fraction(1)), Held(MIG, Fraction(2, 7)), other))], {})
    assert time.counts == ((0, {}), (5, {"H100": Fraction(9, 7), "A100": Fraction(1)}))
    assert [device.now for device in time.devices] == [None] * 3
