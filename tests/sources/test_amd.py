"""The GPUs of hand-written pages of AMD device-metrics-exporter, number by number: whole, cut, old and virtual."""

from __future__ import annotations

import pytest

from exporter.allocation.holdings import hold
from exporter.config.schema import Pool
from exporter.errors import Reason, ScrapeError
from exporter.records import Gpu
from tests.sources.gpu_pages import MIB, TARGET, bare, holders, line, read
from tests.sources.test_engines import page

ID = {"gpu_id": "0", "serial_number": "SN-0", "hostname": "n", "card_model": "m"}


def one(name: str, value: object, **labels: str) -> Gpu:
    """The one GPU of a page with this line."""
    (gpu,) = read("amd", line(name, value, **(ID | labels)).encode()).values()
    return gpu


def cut(mode: str, *partitions: int, serial: str = "SN-0", product: str = "m", first: int = 0) -> str:
    """Lines of the partitions of a GPU: the memory they use."""
    who = {"serial_number": serial, "hostname": "n", "gpu_compute_partition_type": mode, "card_series": product}
    return "".join(
        line("gpu_used_vram", 1, gpu_id=str(first + index), gpu_partition_id=str(index), **who) for index in partitions
    )


# -- pages, number by number ----------------------------------------------------------------------------------------


def test_two_mi300x_one_of_them_held_by_a_pod() -> None:
    gpus = read("amd", page("amd-device-metrics-exporter-1.5-mi300x"))
    mi300x = "AMD Instinct MI300X"
    assert bare(gpus) == [
        Gpu(
            "6924160000", "node-a:0", mi300x, utilization=0.83, memory_used=183265 * MIB, memory_total=196592 * MIB,
            power=612, energy=140000000.250625, temperature=71,
        ),
        Gpu(
            "6924160010", "node-a:1", mi300x, utilization=0, memory_used=283 * MIB, memory_total=196592 * MIB,
            power=141, energy=70001, temperature=43,
        ),
    ]  # fmt: skip
    held, free = gpus.values()
    assert holders(held) == [
        {
            "host": "node-a", "gpu": "0", "uuid": "6924160000", "product": mi300x,
            "pod": "llama-0", "namespace": "serving", "container": "vllm",
        }
    ]  # fmt: skip
    assert holders(free) == [{"host": "node-a", "gpu": "1", "uuid": "6924160010", "product": mi300x}]


def partition(number: int, index: int, busy: float, used: int) -> Gpu:
    """One of the four of that page."""
    return Gpu(
        f"SN-P/{number}", f"node-p:{index}:{number}", "Instinct MI308X", "SN-P", "cpx", slices=1, of_slices=4,
        utilization=busy, memory_used=used * MIB, memory_total=49148 * MIB,
    )  # fmt: skip


def test_partitions_have_memory_and_engines_of_their_own_and_the_gpu_the_rest() -> None:
    """The lines stand in the order of their text: partition 2 (gpu_id 10) comes before partition 0 (gpu_id 8)."""
    gpus = read("amd", page("amd-device-metrics-exporter-1.5-cpx"))
    assert bare(gpus) == [
        Gpu("SN-P", "node-p:8", "Instinct MI308X", of_slices=4, power=390, energy=2000000.250625, temperature=58),
        partition(2, 10, 0.4, 9000),
        partition(3, 11, 0, 71),
        Gpu(
            "SN-W", "node-p:7", "Instinct MI308X", utilization=0.97, memory_used=150000 * MIB,
            memory_total=196592 * MIB, power=455, energy=5500000, temperature=66,
        ),
        partition(0, 8, 1, 40000),
        partition(1, 9, 0.75, 41000),
    ]  # fmt: skip
    assert [labels.get("pod") for gpu in gpus.values() for labels in holders(gpu)] == [
        None, "bge-0", None, "qwen-0", "llama-0", "llama-1",
    ]  # fmt: skip
    assert holders(gpus["SN-P/1"])[0].items() >= {"gpu": "9", "mig_id": "1", "mig_profile": "cpx"}.items()


def test_pools_pay_for_their_partitions_and_together_for_no_more_than_the_gpu() -> None:
    gpus = list(read("amd", page("amd-device-metrics-exporter-1.5-cpx")).values())
    pools = [
        Pool.model_validate(
            {
                "name": name,
                "endpoints": [{"url": f"http://{name}/metrics"}],
                "gpus": {"source": "amd", "url": TARGET, "match": match},
            }
        )
        for name, match in (("llama", {"pod": "llama-.*"}), ("bge", {"pod": "bge-0"}), ("rest", {"uuid": "SN-P"}))
    ]
    held, refused = hold(pools, {TARGET: gpus})
    assert not refused
    shares = {name: {one.gpu.uuid: str(one.share) for one in found} for name, found in held.items()}
    assert shares == {"llama": {"SN-P/0": "1/4", "SN-P/1": "1/4"}, "bge": {"SN-P/2": "1/4"}, "rest": {"SN-P": "1/4"}}


def test_what_an_old_version_shows_as_0_because_it_is_not_measured_is_none() -> None:
    gpus = read("amd", page("amd-device-metrics-exporter-1.2-mi210"))
    assert bare(gpus) == [
        Gpu(
            "PCB0", "hpc-3:0", "102-D67301-00", utilization=0.5, memory_used=60000 * MIB, memory_total=65520 * MIB,
            power=253, energy=3300.0765, temperature=55,
        ),
        Gpu(
            "PCB1", "hpc-3:1", "102-D67301-00", utilization=0, memory_used=10 * MIB, memory_total=65520 * MIB,
            power=41, energy=None, temperature=36,
        ),
    ]  # fmt: skip
    job = {"job_id": "8801", "job_user": "ada", "job_partition": "mi2"}
    assert holders(gpus["PCB0"])[0].items() >= job.items()
    assert not holders(gpus["PCB1"])[0].keys() & job


# -- readings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "amd_"])
@pytest.mark.parametrize(
    ("name", "value", "field", "reading"),
    [
        ("gpu_gfx_activity", 100, "utilization", 1),
        ("gpu_gfx_activity", 65535, "utilization", None),  # its 16 bits' word for none
        ("gpu_package_power", 748, "power", 748),
        ("gpu_package_power", 0, "power", None),
        ("gpu_package_power", 4294967295, "power", None),
        ("gpu_energy_consumed", "1.4e+17", "energy", 1.4e11),
        ("gpu_energy_consumed", 18446744073709551615 * 15.3, "energy", None),  # none, times the counter's resolution
        ("gpu_edge_temperature", 40, "temperature", 40),
        ("gpu_used_vram", 0, "memory_used", 0),
        ("gpu_total_vram", 0, "memory_total", None),
    ],
)
def test_units_and_limits(prefix: str, name: str, value: object, field: str, reading: float | None) -> None:
    assert getattr(one(prefix + name, value), field) == reading


@pytest.mark.parametrize(
    ("activity", "engines", "busy"),
    [(30, (100, 100), 0.3), (0, (100, 50), 0.75), (0, (0, 0), 0), (None, (100, 0), 0.5), (0, (), 0)],
)
def test_an_activity_of_0_is_not_believed_beside_engines_at_work(
    activity: int | None, engines: tuple[int, ...], busy: float
) -> None:
    body = "" if activity is None else line("gpu_gfx_activity", activity, **ID)
    body += "".join(
        line("gpu_gfx_busy_instantaneous", value, xcc_index=str(n), **ID) for n, value in enumerate(engines)
    )
    (gpu,) = read("amd", body.encode()).values()
    assert gpu.utilization == busy


def test_a_partition_is_as_busy_as_its_engines_are_on_average() -> None:
    who = ID | {"gpu_compute_partition_type": "DPX", "gpu_partition_id": "1"}
    body = "".join(
        line("gpu_gfx_busy_instantaneous", value, xcc_index=str(n), **who) for n, value in enumerate((80, 20))
    )
    body += line("gpu_gfx_activity", 7, **who)  # not meant for partitions
    whole, part = read("amd", body.encode()).values()
    assert (whole.utilization, part.utilization) == (None, 0.5)


def test_what_another_partition_says_of_the_whole_gpu_does_not_count() -> None:
    """Else its 0 W, or whatever a later version shows there, would be the GPU's, as the page's order has it."""
    mode = ID | {"gpu_compute_partition_type": "dpx"}
    body = line("gpu_package_power", 5, gpu_partition_id="1", **mode)
    body += line("gpu_package_power", 300, gpu_partition_id="0", **mode)
    assert [gpu.power for gpu in read("amd", body.encode()).values()] == [300, None, None]


# -- who is who -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "product", "listed", "slices"),
    [
        ("dpx", "m", (0, 1), (1, 2)),
        ("dpx", "m", (0,), (1, 2)),  # 1.5 has been seen to list partition 0 alone
        ("tpx", "m", (2,), (1, 3)),
        ("QPX", "m", (0, 1, 2, 3), (1, 4)),
        ("cpx", "AMD Instinct MI300X", (0,), (1, 8)),
        ("cpx", "AMD Instinct MI300A", (0,), (1, 6)),
        ("cpx", "Aqua Vanjaram [Instinct MI308X VF]", (3,), (1, 4)),
        ("cpx", "102-G36218-0C", tuple(range(8)), (1, 8)),
        ("cpx", "102-G36218-0C", (5,), (1, 6)),
        ("cpx", "102-G36218-0C", (0,), (0, 1)),  # of how many nobody says: no share of it is guessed
        ("cpx", "102-G36218-0C", (0, 1, 2), (0, 1)),
        ("dpx", "m", (2,), (0, 2)),
    ],
)
def test_a_partition_is_one_of_so_many(
    mode: str, product: str, listed: tuple[int, ...], slices: tuple[int, int]
) -> None:
    whole, *parts = read("amd", cut(mode, *listed, product=product).encode()).values()
    assert {(part.slices, part.of_slices) for part in parts} == {slices}
    assert {part.parent for part in parts} == {whole.uuid} == {"SN-0"}


@pytest.mark.parametrize(
    ("mode", "partition"), [("none", "NA"), ("spx", "0"), ("spx", "4294967295"), ("cpx", "NA"), ("cpx", "4294967295"),
                            ("cpx", "-1"), ("cpx", "²"), ("", "")],
)  # fmt: skip
def test_a_gpu_that_is_not_cut_is_whole(mode: str, partition: str) -> None:
    labels = {"gpu_compute_partition_type": mode, "gpu_partition_id": partition}
    assert one("gpu_package_power", 5, **labels).power == 5


def test_a_gpu_is_the_same_one_whole_and_cut() -> None:
    whole = read("amd", line("gpu_package_power", 5, **ID).encode())
    assert set(whole) < set(read("amd", cut("cpx", 0, 1).encode()))


def test_two_gpus_of_one_board_have_its_serial_number_and_are_two() -> None:
    body = "".join(line("gpu_package_power", 200 + gpu, **(ID | {"gpu_id": str(gpu)})) for gpu in (0, 1))
    body += line("gpu_package_power", 300, **(ID | {"gpu_id": "2", "serial_number": "SN-2"}))
    gpus = read("amd", body.encode())
    assert {uuid: gpu.power for uuid, gpu in gpus.items()} == {"SN-0/0": 200, "SN-0/1": 201, "SN-2": 300}


@pytest.mark.parametrize("nothing", ["", "N/A"])
def test_a_virtual_gpu_is_told_apart_by_its_uuid_else_by_host_and_index(nothing: str) -> None:
    zeros = "00000000-0000-0000-0000-000000000000"
    bare_of = {"serial_number": nothing, "card_model": nothing, "card_series": "Aqua Vanjaram [Instinct MI300X VF]"}
    virtual = one("gpu_package_power", 1, **bare_of, gpu_uuid="17ff74b5-0000-1000-805c-37b0fbe69430")
    assert (virtual.uuid, virtual.product) == ("17ff74b5-0000-1000-805c-37b0fbe69430", bare_of["card_series"])
    assert one("gpu_package_power", 1, **bare_of, gpu_uuid=zeros).uuid == "n/0"
    assert one("gpu_package_power", 1, **bare_of, hostname="").uuid == "node:9400/0"


def test_a_partition_that_nobody_can_assign_to_a_gpu_is_none() -> None:
    with pytest.raises(ScrapeError, match="no GPU of AMD device-metrics-exporter") as raised:
        read("amd", cut("cpx", 0, 1, serial="").encode())
    assert raised.value.reason == Reason.MISSING_SERIES
