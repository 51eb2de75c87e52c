"""The GPUs of hand-written pages of nvidia_gpu_exporter, number by number: either backend, and MIG."""

from __future__ import annotations

import pytest

from exporter.records import Gpu
from tests.sources.gpu_pages import bare, holders, line, read
from tests.sources.test_engines import page

A, B = "GPU-2a1f3c5e-0000-4000-8000-0000000000aa", "GPU-7b9d1e3f-0000-4000-8000-0000000000bb"


def test_what_nvidia_smi_says() -> None:
    gpus = read("nvidia_smi", page("nvidia-smi-1.14"))
    assert bare(gpus) == [
        Gpu(
            A, "0", "NVIDIA H200", utilization=0.42, memory_used=17781751808, memory_total=150754820096,
            power=295.25, temperature=46,
        ),
        Gpu(
            B, "1", "NVIDIA H200", utilization=0, memory_used=0, memory_total=150754820096,
            power=76.2, temperature=31,
        ),
        Gpu(
            "GPU-c4d6e8fa-0000-4000-8000-0000000000cc", "2", "NVIDIA L40S", utilization=1, memory_used=305799168,
            memory_total=48305799168, temperature=29,
        ),
    ]  # fmt: skip
    assert holders(gpus[A]) == [{"uuid": A, "gpu": "0", "product": "NVIDIA H200"}]


def test_what_the_driver_says_of_instances() -> None:
    """Two compute instances share the first one: what it costs is its three slices, once."""
    h200 = "NVIDIA H200"
    assert bare(read("nvidia_smi", page("nvidia-smi-1.14-nvml-mig"))) == [
        Gpu(
            A, "0", h200, memory_used=50000000000, memory_total=150754820096, power=310.5, energy=1250000,
            temperature=48,
        ),
        Gpu(
            B, "1", h200, utilization=0.99, memory_used=100000000000, memory_total=150754820096,
            power=640, energy=4000.125, temperature=63,
        ),
        Gpu(
            f"{A}/2", "0:2", h200, A, "3g.71gb", slices=3, utilization=0.5, memory_used=49000000000,
            memory_total=74625056768,
        ),
        Gpu(
            f"{A}/9", "0:9", h200, A, "1g.18gb", slices=1, utilization=0, memory_used=12582912,
            memory_total=17448304640,
        ),
    ]  # fmt: skip


def test_a_gpu_is_the_one_that_other_sources_know() -> None:
    """They write GPU- before its UUID: else one GPU would be paid for twice."""
    for uuid in (A, A.removeprefix("GPU-")):
        assert set(read("nvidia_smi", line("nvidia_smi_power_draw_watts", 5, uuid=uuid).encode())) == {A}


def test_a_gpu_without_its_info_is_known_by_its_uuid() -> None:
    (gpu,) = read("nvidia_smi", line("nvidia_smi_utilization_gpu_ratio", 0.5, uuid="a").encode()).values()
    assert (gpu.name, gpu.product, gpu.utilization) == ("GPU-a", "", 0.5)


@pytest.mark.parametrize(("profile", "slices"), [("", 0), ("1c.2g.35gb", 2), ("7g.141gb", 7), ("9g.1gb", 0)])
def test_an_instance_is_as_large_as_its_profile(profile: str, slices: int) -> None:
    instance = {"uuid": "a", "gpu_instance_id": "3"}
    body = line("nvidia_smi_mig_info", 1, **instance, profile=profile)
    body += line("nvidia_smi_mig_graphics_activity_ratio", 0.5, **instance)
    whole, part = read("nvidia_smi", body.encode()).values()
    assert (part.slices, part.of_slices, part.parent, part.utilization) == (slices, 7, whole.uuid, 0.5)
