"""The GPUs of hand-written pages of Intel's XPU Manager, 1.x and xpumd, number by number; tiles, domains and hosts."""

from __future__ import annotations

import pytest

from exporter.errors import Reason, ScrapeError
from exporter.records import Gpu
from tests.sources.gpu_pages import bare, holders, line, read
from tests.sources.test_engines import page

OLD = {"uuid": "01000000-0000-0000-0000-0000002f0000", "pci_bdf": "0000:2f:00.0", "dev_name": "Max", "node": "n"}
NEW = {"hw_id": "u", "pci_bdf": "0000:03:00.0"}


def gpu(*lines: str) -> Gpu:
    (one,) = read("xpum", "".join(lines).encode()).values()
    return one


# -- pages, number by number ----------------------------------------------------------------------------------------


def test_xpum_with_two_tiles_and_with_one() -> None:
    gpus = read("xpum", page("xpum-1.3-max-1550"))
    big, small = "Intel(R) Data Center GPU Max 1550", "Intel(R) Data Center GPU Flex 170"
    assert bare(gpus) == [
        Gpu(
            "node-x/0000:29:00.0", "node-x:0000:29:00.0", big,
            utilization=(0.875 + 0.125) / 2, memory_used=80000000001, power=480.25, energy=18264062.5, temperature=52,
        ),
        Gpu(
            "node-x/0000:9a:00.0", "node-x:0000:9a:00.0", small,
            utilization=0.0625, memory_used=1500000000, power=88.5, energy=250000.5, temperature=44,
        ),
    ]  # fmt: skip
    held, free = gpus.values()
    assert holders(held)[0].items() >= {"pod": "llama-0", "namespace": "serving", "container": "vllm"}.items()
    assert "pod" not in holders(free)[0]


def test_xpumd_takes_the_card_and_the_memory_of_the_device() -> None:
    b60, memory = "Intel(R) Arc(TM) Pro B60 Graphics", 25669140480
    assert bare(read("xpum", page("xpumd-2.0-b60"))) == [
        Gpu(
            "node:9400/0000:03:00.0", "0000:03:00.0", b60, utilization=1, memory_used=8589934592, memory_total=memory,
            power=131.5, energy=90000.125, temperature=56,
        ),
        Gpu(
            "node:9400/0000:05:00.0", "0000:05:00.0", b60, utilization=0.015625, memory_used=4294967296,
            memory_total=memory, power=29.5, energy=1234.5, temperature=34,
        ),
    ]  # fmt: skip


def test_xpumd_s_components_belong_to_their_gpu_and_tiles_are_not_counted_twice() -> None:
    assert bare(read("xpum", page("xpumd-2.0-max-1550"))) == [
        Gpu(
            "node:9400/0000:29:00.0", "0000:29:00.0", "Intel(R) Data Center GPU Max 1550",
            utilization=0.5, memory_used=60000000001, memory_total=2 * 68719476736,
            power=402.5, energy=5000.5, temperature=53,
        )
    ]  # fmt: skip


def test_xpum_s_page_has_no_newline_at_its_end() -> None:
    body = page("xpum-1.3-max-1550")
    assert read("xpum", body.removesuffix(b"\n")) == read("xpum", body)
    with pytest.raises(ScrapeError) as raised:
        read("xpum", b"")
    assert raised.value.reason == Reason.EMPTY


# -- readings -------------------------------------------------------------------------------------------------------


def test_the_compute_engines_count_and_no_other() -> None:
    """Also where they stand still and others run: copies are no work."""
    copy = line("xpum_engine_group_ratio", 0.9, type="copy", **OLD)
    every = line("xpum_engine_ratio", 1.0, **OLD)
    assert gpu(copy, every, line("xpum_engine_group_ratio", 0.25, type="compute", **OLD)).utilization == 0.25
    assert gpu(copy, every, line("xpum_engine_group_ratio", 0, type="compute", **OLD)).utilization == 0
    assert gpu(copy, every).utilization == 1
    assert gpu(line("hw_gpu_utilization_ratio", 0.5, hw_gpu_task="all", **NEW)).utilization == 0.5


@pytest.mark.parametrize(("said", "busy"), [(1.00014, 1), (1.05, 1), (1.06, None), (-0.1, None), ("NaN", None)])
def test_a_ratio_may_overshoot_by_rounding_and_not_by_more(said: object, busy: float | None) -> None:
    power = line("hw_power_watts", 5, hw_sensor_location="card", **NEW)
    assert gpu(power, line("hw_gpu_utilization_ratio", said, hw_gpu_task="compute-all", **NEW)).utilization == busy


@pytest.mark.parametrize(
    ("tiles", "used", "temperature"),
    [((10, 20), 30, 20), ((20, 10), 30, 20), ((10, "1e300"), None, None), ((10,), 10, 10)],
)
def test_tiles_are_put_together_unless_one_of_them_says_nothing(
    tiles: tuple[object, ...], used: int | None, temperature: int | None
) -> None:
    lines = [
        line(name, value, sub_dev=str(number), **OLD, **more)
        for number, value in enumerate(tiles)
        for name, more in (("xpum_memory_used_bytes", {}), ("xpum_temperature_celsius", {"location": "gpu"}))
    ]
    lines.append(line("xpum_power_watts", 9, **OLD))
    assert (gpu(*lines).memory_used, gpu(*lines).temperature) == (used, temperature)


def test_a_gpu_s_own_line_wins_over_its_tiles() -> None:
    tiles = [line("xpum_power_watts", 100, sub_dev=tile, **OLD) for tile in "01"]
    assert gpu(*tiles).power == 200
    assert gpu(*tiles, line("xpum_power_watts", 210, **OLD)).power == 210


def test_the_energy_of_tiles_is_none() -> None:
    """XPUM has shown one counter on both: 18264.05 and 18264.06 J."""
    tiles = [line("xpum_energy_joules_total", f"18264.0{tile}", sub_dev=tile, **OLD) for tile in "01"]
    assert gpu(*tiles).energy is None


def test_modules_of_memory_are_added_up() -> None:
    modules = [
        line("hw_memory_usage_bytes", 5, hw_name=f"mem-{n}", hw_memory_location="device", **NEW) for n in range(2)
    ]
    system = line("hw_memory_usage_bytes", 99, hw_name="mem-9", hw_memory_location="system", **NEW)
    assert gpu(*modules, system).memory_used == 10


# -- who is who -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["node", "host_name", "instance"])
def test_the_same_slot_of_two_hosts_is_two_gpus(host: str) -> None:
    """Their UUIDs are made of the slot, and the same."""
    shown = {name: value for name, value in OLD.items() if name != "node"}
    body = "".join(line("xpum_power_watts", 5, **shown, **{host: name}) for name in "ab")
    assert set(read("xpum", body.encode())) == {"a/0000:2f:00.0", "b/0000:2f:00.0"}
    pages = [read("xpum", line("xpum_power_watts", 5, **shown).encode(), f"http://{name}:1/metrics") for name in "ab"]
    assert [set(found) for found in pages] == [{"a:1/0000:2f:00.0"}, {"b:1/0000:2f:00.0"}]


def test_two_gpus_of_one_host_with_one_uuid_are_two() -> None:
    """Old drivers make it of the model alone."""
    body = "".join(
        line("xpum_power_watts", 5, **(OLD | {"pci_bdf": slot})) for slot in ("0000:2f:00.0", "0000:30:00.0")
    )
    assert len(read("xpum", body.encode())) == 2


def test_the_model_of_a_gpu_is_not_taken_from_the_same_id_of_another_host() -> None:
    body = "".join(line("hw_gpu_info", 1, hw_id="u", hw_model=name, instance=name) for name in "ab")
    body += "".join(line("hw_power_watts", 5, hw_id="u", hw_sensor_location="card", instance=name) for name in "ab")
    assert {one.name: one.product for one in read("xpum", body.encode()).values()} == {"a:u": "a", "b:u": "b"}


def test_the_sum_over_a_card_is_no_gpu() -> None:
    with pytest.raises(ScrapeError, match="no GPU of Intel XPU Manager"):
        read("xpum", line("xpum_power_watts", 568.75, card="2147483649", node="n", src="sum").encode())
