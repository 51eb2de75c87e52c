"""MIG: the GPU and each of its instances, as they come and go."""

from __future__ import annotations

import logging

import pytest

from exporter.records import Gpu
from exporter.sources.nvml import Nvml
from tests.nvml.readings import LOST, NO_FUNCTION, NO_PERMISSION, NOT_SUPPORTED, UNKNOWN, gpus, lines, refusal
from tests.nvml.stub import GIB, ITSELF, StubDriver

PARENT = "GPU-00000000-0000-0000-0000-000000000000"


async def test_a_gpu_that_is_cut_and_each_of_its_instances(driver: StubDriver, nvml: Nvml) -> None:
    driver.add(rate=90)
    driver.cut(0, 0, ids=(1, 0), slices=3, uuid=b"MIG-a", total=40 * GIB, used=5, busy=25.0)
    driver.cut(0, 3, ids=(9, 0), slices=1, uuid=b"MIG-b", total=10 * GIB, used=6, busy=100.0)
    for seconds, busy in ((0, (None, None)), (1, (0.25, 1.0))):
        assert await gpus(nvml, seconds) == {
            "0": Gpu(
                uuid=PARENT, name="0", product="NVIDIA H100 80GB HBM3", memory_used=GIB, memory_total=80 * GIB,
                power=70.0, energy=1000.0, temperature=35.0,
            ),
            "0:1": Gpu(
                uuid="MIG-a", name="0:1", product="NVIDIA H100 80GB HBM3", parent=PARENT, mig_profile="3g.30gb",
                slices=3, of_slices=7, utilization=busy[0], memory_used=5, memory_total=40 * GIB,
            ),
            "0:9": Gpu(
                uuid="MIG-b", name="0:9", product="NVIDIA H100 80GB HBM3", parent=PARENT, mig_profile="1g.10gb",
                slices=1, of_slices=7, utilization=busy[1], memory_used=6, memory_total=10 * GIB,
            ),
        }  # fmt: skip


async def test_a_gpu_instance_cut_into_compute_instances(driver: StubDriver, nvml: Nvml) -> None:
    """They share what GPM measures, so it says nothing about either."""
    driver.add()
    whole = driver.cut(0, 0, ids=(5, 0), slices=2, name=b"NVIDIA H100 80GB HBM3 MIG 2c.3g.40gb")
    driver.cut(0, 1, ids=(5, 1), slices=1, name=b"NVIDIA H100 80GB HBM3 MIG 1c.3g.40gb")
    driver.cut(0, 2, ids=(9, 0), busy=50.0)
    await gpus(nvml)
    found = await gpus(nvml, 1)
    assert {name: (gpu.mig_profile, gpu.slices, gpu.utilization) for name, gpu in found.items() if gpu.parent} == {
        "0:5:0": ("2c.3g.40gb", 2, None),
        "0:5:1": ("1c.3g.40gb", 1, None),
        "0:9": ("1g.10gb", 1, 0.5),
    }
    driver.gpus[0].instances[1].exists = 0
    whole.busy = 75.0
    await gpus(nvml, 2)
    assert (await gpus(nvml, 3))["0:5"].utilization == 0.75


@pytest.mark.parametrize(("slices", "slots"), [(7, 7), (4, 4), (2, 2)])
async def test_how_many_slices_a_gpu_has(driver: StubDriver, nvml: Nvml, slices: int, slots: int) -> None:
    """An A30 has four: from its largest profile, or failing that from how many instances it can have."""
    driver.add(slices=slices, slots=1)
    driver.cut(0, 0, ids=(0, 0))
    driver.add(slices=slices, slots=slots)
    driver.cut(1, 0, ids=(0, 0))
    driver.fail(NO_PERMISSION, "nvmlDeviceGetGpuInstanceProfileInfoV", gpu=1)
    driver.fail(NO_PERMISSION, "nvmlDeviceGetGpuInstanceProfileInfo", gpu=1)
    found = await gpus(nvml)
    assert (found["0:0"].of_slices, found["1:0"].of_slices) == (slices, slots)


async def test_an_old_driver_knows_profiles_of_version_one(driver: StubDriver, nvml: Nvml) -> None:
    driver.add(slices=4)
    driver.cut(0, 0, ids=(0, 0))
    driver.fail(NO_FUNCTION, "nvmlDeviceGetGpuInstanceProfileInfoV")
    assert (await gpus(nvml))["0:0"].of_slices == 4


@pytest.mark.parametrize(
    ("name", "attributes", "expected"),
    [
        (b"NVIDIA A100 MIG 3g.20gb", True, ("3g.20gb", 3)),
        (b"NVIDIA A100 MIG 3g.20gb", False, ("3g.20gb", 3)),
        (b"NVIDIA A100 MIG 1c.3g.20gb", False, ("1c.3g.20gb", 1)),
        (b"NVIDIA A100 MIG 1g.10gb+me", False, ("1g.10gb+me", 1)),
        (b"NVIDIA A100", True, ("", 3)),
        (b"NVIDIA A100", False, ("", 0)),
        (b"NVIDIA A100 MIG 99g.20gb", False, ("99g.20gb", 0)),
        (b"NVIDIA A100 MIG \xff", True, ("", 3)),
        (b"NVIDIA A100 MIG 3g.\x07gb", False, ("3g.\ufffdgb", 3)),
    ],
)
async def test_profile_and_slices(
    driver: StubDriver, nvml: Nvml, name: bytes, attributes: bool, expected: tuple[str, int]
) -> None:
    driver.add()
    driver.cut(0, 0, ids=(2, 0), slices=3, name=name)
    if not attributes:
        driver.fail(NOT_SUPPORTED, "nvmlDeviceGetAttributes_v2")
    instance = (await gpus(nvml))["0:2"]
    assert (instance.mig_profile, instance.slices) == expected


async def test_absurd_slices_are_those_of_the_profile(driver: StubDriver, nvml: Nvml) -> None:
    driver.add()
    driver.cut(0, 0, ids=(2, 0), slices=2).slices = 4_000_000_000
    assert (await gpus(nvml))["0:2"].slices == 2


async def test_instances_come_and_go(driver: StubDriver, nvml: Nvml, caplog: pytest.LogCaptureFixture) -> None:
    driver.add()
    driver.cut(0, 0, ids=(1, 0), slices=3, busy=10.0)
    driver.cut(0, 1, ids=(2, 0), slices=3, busy=20.0)
    lines(caplog)
    await gpus(nvml)
    assert driver.gpm_samples == 2
    await gpus(nvml, 1)
    assert driver.gpm_samples == 4
    driver.gpus[0].instances[0].exists = 0
    assert list(await gpus(nvml, 2)) == ["0", "0:2"]
    assert driver.gpm_samples == 2, "those of the one that is gone were given back"
    driver.cut(0, 0, ids=(7, 0), uuid=b"MIG-new", busy=30.0)
    found = await gpus(nvml, 3)
    assert list(found) == ["0", "0:7", "0:2"]
    assert (found["0:7"].uuid, found["0:7"].utilization) == ("MIG-new", None)
    assert lines(caplog) == [], "this is nothing to speak of"
    assert driver.calls("nvmlInitWithFlags") == 1


async def test_an_instance_of_another_size_under_the_same_uuid(driver: StubDriver, nvml: Nvml) -> None:
    driver.add()
    driver.cut(0, 0, ids=(1, 0), slices=3, busy=10.0)
    await gpus(nvml)
    before = (await gpus(nvml, 1))["0:1"]
    driver.cut(0, 0, ids=(1, 0), slices=4, total=before.memory_total, busy=99.0)
    after = (await gpus(nvml, 2))["0:1"]
    assert after.uuid == before.uuid
    assert (after.mig_profile, after.slices, after.utilization) == ("4g.40gb", 4, None), "not compared with the old one"


async def test_mig_is_turned_on_and_off(driver: StubDriver, nvml: Nvml) -> None:
    gpu = driver.add(rate=30)
    assert (await gpus(nvml))["0"].utilization == 0.3
    driver.cut(0, 0, ids=(1, 0))
    found = await gpus(nvml, 1)
    assert list(found) == ["0", "0:1"]
    assert found["0"].utilization is None
    gpu.mig = 0
    found = await gpus(nvml, 2)
    assert list(found) == ["0"]
    assert found["0"].utilization == 0.3, "what was refused with MIG on is asked for again"
    assert driver.gpm_samples == 0


async def test_a_moment_in_which_the_mode_is_not_said_changes_nothing(driver: StubDriver, nvml: Nvml) -> None:
    driver.add()
    driver.cut(0, 0, ids=(1, 0), busy=10.0)
    await gpus(nvml)
    driver.fail(UNKNOWN, "nvmlDeviceGetMigMode")
    assert (await gpus(nvml, 1))["0:1"].utilization == 0.1


async def test_without_gpm_instances_have_no_utilization(driver: StubDriver, nvml: Nvml) -> None:
    """An A100."""
    driver.add(gpm=0)
    driver.cut(0, 0, ids=(1, 0), busy=10.0)
    for seconds in range(3):
        assert (await gpus(nvml, seconds))["0:1"].utilization is None
    assert driver.calls("nvmlGpmSampleAlloc") == 0


@pytest.mark.parametrize("function", ["nvmlGpmSampleAlloc", "nvmlGpmMigSampleGet", "nvmlGpmMetricsGet"])
async def test_gpm_that_is_refused_is_not_asked_again(driver: StubDriver, nvml: Nvml, function: str) -> None:
    driver.add()
    driver.cut(0, 0, ids=(1, 0), busy=10.0)
    driver.fail(NO_PERMISSION, function)
    for seconds in range(4):
        instance = (await gpus(nvml, seconds))["0:1"]
        assert (instance.utilization, instance.memory_used) == (None, GIB)
    assert driver.calls(function) == 1


@pytest.mark.parametrize("function", ["nvmlGpmSampleAlloc", "nvmlGpmMigSampleGet", "nvmlGpmMetricsGet"])
async def test_gpm_that_fails_for_a_while(driver: StubDriver, nvml: Nvml, function: str) -> None:
    driver.add()
    driver.cut(0, 0, ids=(1, 0), busy=10.0)
    driver.fail(UNKNOWN, function)
    for seconds in range(3):
        assert (await gpus(nvml, seconds))["0:1"].utilization is None
    driver.heal()
    await gpus(nvml, 4)
    assert (await gpus(nvml, 5))["0:1"].utilization == 0.1
    assert driver.gpm_samples == 2


@pytest.mark.parametrize("busy", [-0.1, 100.1, 1e300, float("nan"), float("inf")])
async def test_an_absurd_answer_of_gpm_is_absent(driver: StubDriver, nvml: Nvml, busy: float) -> None:
    driver.add()
    driver.cut(0, 0, ids=(1, 0), busy=busy)
    await gpus(nvml)
    assert (await gpus(nvml, 1))["0:1"].utilization is None


async def test_inside_a_container_the_gpu_itself_may_be_forbidden(driver: StubDriver, nvml: Nvml) -> None:
    """github.com/NVIDIA/nvidia-container-toolkit/issues/842"""
    driver.add()
    driver.cut(0, 0, ids=(1, 0))
    for function in ("MemoryInfo", "MemoryInfo_v2", "PowerUsage", "TotalEnergyConsumption"):
        driver.fail(NO_PERMISSION, f"nvmlDeviceGet{function}", gpu=0, instance=ITSELF)
    found = await gpus(nvml)
    assert (found["0"].memory_total, found["0"].power, found["0"].energy) == (None, None, None)
    assert found["0"].temperature == 35.0
    assert found["0:1"].memory_used == GIB


async def test_an_instance_that_is_forbidden_is_left_out_with_one_line(
    driver: StubDriver, nvml: Nvml, caplog: pytest.LogCaptureFixture
) -> None:
    driver.add()
    driver.cut(0, 0, ids=(1, 0))
    driver.cut(0, 1, ids=(2, 0))
    driver.fail(NO_PERMISSION, "nvmlDeviceGetUUID", gpu=0, instance=1)
    lines(caplog)
    for seconds in range(3):
        assert list(await gpus(nvml, seconds)) == ["0", "0:1"]
    failed = "nvmlDeviceGetUUID failed: NoPermission (4)"
    assert lines(caplog) == [(logging.WARNING, f"nvml: GPU 0, MIG slot 1, is left out: {failed}")]
    driver.heal()
    assert list(await gpus(nvml, 3)) == ["0", "0:1", "0:2"]
    assert lines(caplog) == [(logging.INFO, "nvml: GPU 0, MIG slot 1, is back")]


@pytest.mark.parametrize(
    "function", ["nvmlDeviceGetMemoryInfo_v2", "nvmlDeviceGetUUID", "nvmlGpmMigSampleGet", "nvmlDeviceGetAttributes_v2"]
)
async def test_a_lost_gpu_takes_its_instances_with_it(driver: StubDriver, nvml: Nvml, function: str) -> None:
    driver.add()
    driver.add()
    driver.cut(0, 0, ids=(1, 0))
    await gpus(nvml)
    driver.cut(0, 1, ids=(2, 0))
    driver.fail(LOST, function, gpu=0, instance=ITSELF if "Gpm" in function else 1)
    assert list(await gpus(nvml, 1)) == ["1"]
    assert driver.gpm_samples == 0


async def test_gpm_samples_are_given_back_before_nvml_is_shut_down(driver: StubDriver, nvml: Nvml) -> None:
    driver.add()
    driver.cut(0, 0, ids=(1, 0))
    await gpus(nvml)
    await gpus(nvml, 1)
    driver.fail(LOST)
    await refusal(nvml)
    driver.heal()
    assert list(await gpus(nvml, 2)) == ["0", "0:1"]
