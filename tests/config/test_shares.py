"""No device is sold twice, as far as a config can tell; what may be two devices is not added up."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from exporter.config.gpus import NvmlGpus
from exporter.config.schema import Config, Pool
from exporter.config.shares import oversold

PAGE = {"source": "dcgm", "url": "http://h:9400/metrics"}
DEVICES = (0, 1, "GPU-a", "GPU-b", "MIG-a")
UNNAMED = "a GPU that no pool names"


def pools(*chosen: dict[str, Any]) -> tuple[Pool, ...]:
    listed = [
        {"name": f"p{n}", "endpoints": [{"url": f"http://h:{n + 1}/m"}], "gpus": gpus} for n, gpus in enumerate(chosen)
    ]
    return Config.model_validate({"pools": listed}).pools


def test_shares_that_may_be_of_different_devices_are_not_added_up() -> None:
    """An index beside a UUID, a GPU beside its instances, other labels of a page, other pages."""
    nvml = {"source": "nvml"}
    some = pools(
        {**nvml, "select": [0, "MIG-1"]},
        {**nvml, "select": ["GPU-1"]},
        {**PAGE, "match": {"pod": "a"}},
        {**PAGE, "match": {"pod": "b"}},
        {**PAGE, "match": {"namespace": "a"}},
        PAGE,
        {**PAGE, "url": "http://h:9401/metrics"},
        {"count": Decimal(9)},
    )
    assert list(oversold(some)) == []
    assert list(oversold(pools(nvml, {**nvml, "select": ["MIG-1", "MIG-2"]}))) == []


def test_a_device_may_be_sold_whole_in_parts() -> None:
    thirds = [{"source": "nvml", "select": [1], "replicas": 3}] * 2  # exact: three thirds of a float may be more than 1
    assert list(oversold(pools(*thirds, {"source": "nvml", "replicas": 3}))) == []
    parts = [{**PAGE, "share": Decimal(share)} for share in ("0.7", "0.2", "0.1")]
    assert list(oversold(pools(*parts))) == []


NVML = st.fixed_dictionaries(
    {
        "source": st.just("nvml"),
        "select": st.just("all") | st.lists(st.sampled_from(DEVICES), min_size=1, max_size=3, unique=True),
    },
    optional={"share": st.sampled_from([Decimal(1), Decimal("0.5"), Decimal("0.25"), Decimal("0.000001")])},
) | st.fixed_dictionaries({"source": st.just("nvml"), "replicas": st.integers(2, 4)})


@given(st.lists(NVML, min_size=1, max_size=5))
def test_a_config_is_refused_if_and_only_if_some_device_is_sold_more_than_once(chosen: list[dict[str, Any]]) -> None:
    some = pools(*chosen)
    sold: dict[int | str, Fraction] = dict.fromkeys((*DEVICES, UNNAMED), Fraction(0))
    for pool in some:
        assert isinstance(pool.gpus, NvmlGpus)
        every = [device for device in sold if device != "MIG-a"]
        for device in pool.gpus.select or every:
            sold[device] += pool.gpus.part()
    assert bool(list(oversold(some))) == any(part > 1 for part in sold.values())


def test_a_pool_that_is_refused_takes_nothing_from_those_below_it() -> None:
    whole, half = {"source": "nvml", "select": [0]}, {"source": "nvml", "select": [0], "share": Decimal("0.5")}
    found = list(oversold(pools(half, whole, half, half)))
    assert [loc[1] for loc, _, _ in found] == [1, 3]
    assert "pools 'p0', 'p2' and 'p3' together" in found[1][1]
