"""Who holds which part of which GPU: every rule by example, and law 8 over random layouts and configs."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.allocation.holdings import hold
from exporter.config.schema import Pool
from exporter.records import NVML, Gpu

DCGM = "http://dcgm:9400/metrics"


def pool(name: str, **gpus: Any) -> Pool:
    end = {"url": f"http://{name}/metrics"}
    return Pool.model_validate({"name": name, "endpoints": [end], "gpus": {"source": "nvml"} | gpus})


def dcgm(name: str, **gpus: Any) -> Pool:
    return pool(name, **{"source": "dcgm", "url": DCGM} | gpus)


def gpu(index: int, *holders: str, host: str = "n1") -> Gpu:
    """A whole GPU, held by these pods."""
    uuid = f"GPU-{host}-{index}"
    labels = tuple((("host", host), ("pod", pod), ("uuid", uuid)) for pod in holders) or (
        (("host", host), ("uuid", uuid)),
    )
    return Gpu(uuid, str(index), "H100", holders=labels)


def mig(index: int, number: int, slices: int, pod: str = "", of: int = 7) -> Gpu:
    """An instance of that GPU."""
    labels = ((("host", "n1"), ("pod", pod)),) if pod else ((("host", "n1"),),)
    return Gpu(
        f"MIG-{index}-{number}",
        f"{index}:{number}",
        "H100",
        f"GPU-n1-{index}",
        f"{slices}g",
        slices,
        of,
        holders=labels,
    )


def shares(
    pools: list[Pool], gpus: list[Gpu], target: str = NVML
) -> tuple[dict[str, dict[str, str]], list[tuple[str, str]]]:
    held, refused = hold(pools, {target: gpus})
    found = {name: {one.gpu.name: str(one.share) for one in part} for name, part in held.items()}
    return found, [(refusal.pool, refusal.gpu) for refusal in refused]


TWO = [gpu(0), gpu(1)]


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        ("all", {"0": "1", "1": "1"}),
        ([1], {"1": "1"}),
        (["GPU-n1-0"], {"0": "1"}),
        ([7], {}),
    ],
)
def test_nvml_selects_by_index_or_uuid_or_all(select: Any, expected: dict[str, str]) -> None:
    assert shares([pool("p", select=select)], TWO) == ({"p": expected}, [])


def test_an_instance_costs_its_slices_and_the_owner_of_the_gpu_pays_for_the_rest() -> None:
    gpus = [gpu(0), mig(0, 1, 3), mig(0, 2, 2)]
    pools = [pool("owner", select=[0]), pool("tenant", select=["MIG-0-1"])]
    held, refused = hold(pools, {NVML: gpus})
    assert not refused
    assert [one.share for one in held["tenant"]] == [Fraction(3, 7)]
    assert [one.share for one in held["owner"]] == [Fraction(4, 7)], "its own instance and two slices in none"
    assert held["owner"][0].parts == (("MIG-0-2", Fraction(2, 7)),)


def test_an_a30_has_four_slices() -> None:
    assert shares([pool("p", select=["MIG-0-1"])], [gpu(0), mig(0, 1, 2, of=4)])[0] == {"p": {"0:1": "1/2"}}


def test_an_instance_whose_slices_nobody_knows_is_refused_unless_the_config_says_its_share() -> None:
    unknown = [gpu(0), mig(0, 1, 0)]
    assert shares([pool("p", select=["MIG-0-1"])], unknown) == ({"p": {}}, [("p", "0:1")])
    assert shares([pool("p", select=["MIG-0-1"], share=Decimal("0.25"))], unknown) == ({"p": {"0:1": "1/4"}}, [])


def test_time_sliced_devices_count_one_part_in_so_many() -> None:
    pools = [pool(name, select=[0], replicas=2) for name in ("a", "b", "c")]
    assert shares(pools, TWO) == ({"a": {"0": "1/2"}, "b": {"0": "1/2"}, "c": {}}, [("c", "0")])


def test_a_share_that_is_no_longer_there_is_refused_and_named() -> None:
    pools = [pool("a", select=[0], share=Decimal("0.7")), pool("b", select="all", share=Decimal("0.5"))]
    held, refused = hold(pools, {NVML: TWO})
    assert [one.gpu.name for one in held["b"]] == ["1"]
    assert str(refused[0]).startswith("pool b asks for 1/2 of GPU 0, of which 3/10 is left: refused")


def test_dcgm_gives_a_pool_the_gpus_of_its_pods() -> None:
    gpus = [gpu(0, "llama-1"), gpu(1, "mistral-1"), gpu(2)]
    pools = [dcgm("llama", match={"pod": "llama-.*"}), dcgm("mistral", match={"pod": "mistral"})]
    assert shares(pools, gpus, DCGM) == ({"llama": {"0": "1"}, "mistral": {}}, [])


def test_pods_that_share_a_gpu_in_time_share_its_price_as_far_as_they_are_known() -> None:
    gpus = [gpu(0, "llama-1", "llama-2", "other")]
    assert shares([dcgm("p", match={"pod": "llama-.*"})], gpus, DCGM)[0] == {"p": {"0": "2/3"}}
    assert shares([dcgm("p", match={"pod": "llama-.*"}, replicas=4)], gpus, DCGM)[0] == {"p": {"0": "1/2"}}
    assert shares([dcgm("p", match={"pod": ".*"}, replicas=2)], gpus, DCGM) == ({"p": {}}, [("p", "0")])


def test_without_match_a_pool_has_every_gpu_of_the_page_and_no_instance_twice() -> None:
    gpus = [gpu(0), mig(0, 1, 3), gpu(1, "x", "y")]
    assert shares([dcgm("p")], gpus, DCGM)[0] == {"p": {"0": "1", "1": "1"}}
    assert shares([dcgm("p", match={"host": "n1"})], gpus, DCGM)[0] == {"p": {"0": "1", "1": "1"}}
    assert shares([dcgm("p", match={"pod": "a"})], [gpu(0), mig(0, 1, 3, "a"), mig(0, 2, 4, "b")], DCGM)[0] == {
        "p": {"0:1": "3/7"}
    }


def test_one_gpu_seen_by_two_sources_is_still_one_gpu() -> None:
    held, refused = hold([pool("a"), dcgm("b")], {NVML: [gpu(0)], DCGM: [gpu(0)]})
    assert (len(held["a"]), len(held["b"]), [refusal.pool for refusal in refused]) == (1, 0, ["b"])


@st.composite
def layouts(draw: st.DrawFn) -> list[Gpu]:
    found: list[Gpu] = []
    for index in range(draw(st.integers(0, 3))):
        found.append(gpu(index, *draw(st.lists(st.sampled_from(["a-1", "a-2", "b-1"]), unique=True, max_size=3))))
        for number, slices in enumerate(draw(st.lists(st.integers(0, 8), max_size=4))):
            found.append(mig(index, number, slices, draw(st.sampled_from(["", "a-1", "b-1"]))))
    return draw(st.permutations(found))


PART: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.just({}), st.integers(2, 4).map(lambda n: {"replicas": n}),
    st.decimals("0.01", 1, places=2).map(lambda part: {"share": part}),
)  # fmt: skip
SELECT = st.one_of(
    st.just("all"),
    st.lists(st.sampled_from([0, 1, "GPU-n1-2", "MIG-0-0", "MIG-0-1", "MIG-1-0"]), min_size=1, unique=True),
)
POOL = st.one_of(
    st.tuples(PART, SELECT).map(lambda args: {"source": "nvml", "select": args[1]} | args[0]),
    st.tuples(PART, st.sampled_from([{}, {"pod": "a-.*"}, {"pod": "b-1"}, {"host": "n1"}])).map(
        lambda args: {"source": "dcgm", "url": DCGM, "match": args[1]} | args[0]
    ),
)


@given(gpus=layouts(), configs=st.lists(POOL, max_size=5))
def test_shares_of_a_device_never_add_up_to_more_than_the_device(
    gpus: list[Gpu], configs: list[dict[str, Any]]
) -> None:
    pools = [pool(f"p{number}", **config) for number, config in enumerate(configs)]
    held, refused = hold(pools, {NVML: gpus, DCGM: gpus})
    total: dict[str, Fraction] = {}
    for one in (one for part in held.values() for one in part):
        assert one.share > 0
        total[one.device] = total.get(one.device, Fraction(0)) + one.share
        assert sum(size for _, size in one.parts) <= 8  # instances of a layout that lies; busy is bounded elsewhere
    assert all(share <= 1 for share in total.values())
    assert all(refusal.share > refusal.left or refusal.share == 0 for refusal in refused)
