"""The real process reads GPUs: a driver that loses one, dies and comes back; exporters that know the pods."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import require_peer
from tests.nvml.stub import StubDriver, build
from tests.peers.exporter import Page
from tests.process.engines import dice, serving, traffic, vllm
from tests.process.exporter import Running, config, exporter, once, pool, stop
from tests.sources.servers import http, serve
from tests.sources.test_engines import page as gpus_page

LOST = 15  # NVML_ERROR_GPU_IS_LOST
PRICES = {"gpus": [{"product": "NVIDIA H100*", "usd_per_hour": 3600}], "energy": {"usd_per_kwh": 3600}}


@pytest.fixture
def driver(tmp_path: Path) -> StubDriver:
    """A driver with two GPUs, in a file that a child process shares."""
    require_peer(sys.platform == "linux", "NVML is on Linux only")
    require_peer(shutil.which("cc"), "a C compiler for the stub of NVML (Debian: apt-get install gcc libc6-dev)")
    folder = tmp_path / "nvml"
    folder.mkdir()
    driver = StubDriver(build(folder), folder / "state")
    driver.add(rate=50)
    driver.add(rate=100)
    return driver


def nvml(url: str, **gpus: Any) -> dict[str, Any]:
    found = pool("chat", url, gpus={"source": "nvml", **gpus})
    del found["usd_per_gpu_hour"]
    return config(found, prices=PRICES)


def seen(page: Page, name: str) -> dict[str, float]:
    """That metric by GPU."""
    return {dict(labels)["gpu"]: value for (sample, labels), value in page.samples.items() if sample == name}


def said(running: Running, what: str) -> list[str]:
    return [event["msg"] for event in running.events() if what in event["msg"]]


async def test_a_gpu_that_is_lost_goes_on_costing_and_is_back_without_a_restart(
    tmp_path: Path, driver: StubDriver
) -> None:
    engine = vllm()
    async with (
        serving(engine) as url,
        exporter(tmp_path, nvml(url), environment=driver.environment) as running,
    ):
        traffic(engine, dice(1))
        page = await running.page_when(
            lambda page: seen(page, "tokencost_gpu_utilization_ratio") == pytest.approx({"0": 0.5, "1": 1.0}),
            "both GPUs are read",
        )
        assert page.total("tokencost_gpus", pool="chat") == 2
        assert seen(page, "tokencost_gpu_power_watts") == {"0": 70, "1": 70}

        driver.gpus[0].energy += 3_600_000  # mJ: a thousandth of a kWh, 3.60 USD
        driver.fail(LOST, gpu=1)
        lost = await running.page_when(
            lambda page: (
                seen(page, "tokencost_gpu_utilization_ratio").keys() == {"0"}
                and page.total("tokencost_cost_usd_total", resource="energy")
            ),
            "the second GPU no longer says how busy it is",
        )
        assert lost.total("tokencost_gpus", pool="chat") == 2, "it is still paid for"
        assert lost.total("tokencost_cost_usd_total", resource="energy") == pytest.approx(3.6)
        assert lost.total("tokencost_gpu_energy_joules_total", gpu="0") == 3600
        later = await running.page_when(
            lambda page: page.total("tokencost_gpu_seconds_total") > lost.total("tokencost_gpu_seconds_total") + 1,
            "a second of two GPUs is paid for",
        )
        grown = [later.total(name, pool="chat") - lost.total(name, pool="chat") for name in (
            "tokencost_gpu_seconds_total", "tokencost_cost_usd_total")]  # fmt: skip
        assert grown[0] == pytest.approx(grown[1]), "a dollar a second each"

        driver.heal()
        await running.page_when(
            lambda page: seen(page, "tokencost_gpu_utilization_ratio").keys() == {"0", "1"}, "it is back"
        )
        assert len(said(running, "GPU 1 is left out")) == 1
        assert len(said(running, "GPU 1 is back")) == 1


async def test_without_a_driver_it_serves_says_why_and_reads_it_when_it_comes(
    tmp_path: Path, driver: StubDriver
) -> None:
    driver.unload()
    async with (
        serving(vllm()) as url,
        exporter(tmp_path, nvml(url), environment=driver.environment) as running,
    ):
        page = await running.page_when(
            lambda page: page.total("tokencost_target_scrape_failures_total", reason="no_driver"), "the reason is given"
        )
        assert page.total("tokencost_target_up", engine="nvml") == 0
        assert page.total("tokencost_target_up", engine="vllm") == 1
        assert page.total("tokencost_gpus") == 0, "nothing is made up"
        driver.restart()
        await running.page_when(lambda page: page.total("tokencost_gpus") == 2, "the driver is there")
        assert len(said(running, "nvml://localhost is down")) == 1


async def test_after_kill_9_its_gpus_are_paid_for_while_the_driver_is_silent(
    tmp_path: Path, driver: StubDriver
) -> None:
    engine = vllm()
    async with serving(engine) as url:
        async with exporter(tmp_path, nvml(url, select=[0]), environment=driver.environment) as running:
            before = await running.page_when(lambda page: page.total("tokencost_cost_usd_total") > 0, "it costs")
            await stop(running, signal.SIGKILL)
        driver.unload()
        async with exporter(tmp_path, nvml(url, select=[0]), environment=driver.environment) as running:
            after = await running.page_when(
                lambda page: (
                    page.total("tokencost_cost_usd_total", resource="gpu")
                    > before.total("tokencost_cost_usd_total", resource="gpu") + 1
                ),
                "a GPU that the ledger knows is paid for",
            )
            assert after.total("tokencost_gpus") == 1
            assert not after.fell_from(before)


async def test_more_of_a_gpu_than_there_is_is_refused_and_named(tmp_path: Path, driver: StubDriver) -> None:
    async with serving(vllm()) as one, serving(vllm("n")) as other:
        first, second = pool("one", one), pool("two", other)
        uuid = driver.gpus[0].uuid.decode()
        first["gpus"], second["gpus"] = {"source": "nvml", "select": [0]}, {"source": "nvml", "select": [uuid]}
        async with exporter(tmp_path, config(first, second), environment=driver.environment) as running:
            page = await running.page_when(
                lambda page: page.total("tokencost_refused_gpus", pool="two"), "it is refused"
            )
            assert page.total("tokencost_gpus", pool="one") == 1
            assert page.total("tokencost_gpus", pool="two") == 0
            (line,) = said(running, "refused")
            assert line.startswith("pool two asks for 1 of GPU 0, of which 0 is left")


LINE = (
    'DCGM_FI_DEV_GPU_UTIL{{gpu="{gpu}",UUID="GPU-{gpu}",modelName="NVIDIA H100 80GB HBM3",Hostname="n1",'
    'namespace="ai",pod="{pod}",container="vllm"}} {busy}\n'
)


async def test_dcgm_gives_a_pool_the_gpus_of_its_pods_as_they_move(tmp_path: Path) -> None:
    pods = ["llama-0", "llama-1", "other-0", ""]

    async def metrics(_: bytes, writer: asyncio.StreamWriter) -> None:
        lines = [LINE.format(gpu=gpu, pod=pod, busy=25 * gpu) for gpu, pod in enumerate(pods)]
        writer.write(http(("# TYPE DCGM_FI_DEV_GPU_UTIL gauge\n" + "".join(lines)).encode(), "Connection: close"))

    async with serving(vllm()) as url, serve(metrics) as (origin, _):
        gpus = {"source": "dcgm", "url": f"{origin}/metrics", "match": {"pod": "llama-.*"}}
        async with exporter(tmp_path, config(pool("chat", url, gpus=gpus))) as running:
            page = await running.page_when(lambda page: page.total("tokencost_gpus") == 2, "two GPUs are the pool's")
            assert seen(page, "tokencost_gpu_info") == {"n1:0": 1, "n1:1": 1}
            pods[2] = "llama-2"
            await running.page_when(lambda page: page.total("tokencost_gpus") == 3, "a third one comes")
            pods[0] = ""
            page = await running.page_when(lambda page: page.total("tokencost_gpus") == 2, "one goes")
            assert seen(page, "tokencost_gpu_utilization_ratio") == pytest.approx({"n1:1": 0.25, "n1:2": 0.5}, rel=1e-6)

            async def healthy() -> bool:
                return (await running.get("/-/healthy"))[0] == 200

            await once("it serves", healthy, running)


async def test_amd_s_partitions_are_parts_of_a_gpu_and_a_pool_has_those_of_its_pods(tmp_path: Path) -> None:
    body = gpus_page("amd-device-metrics-exporter-1.5-cpx")

    async def metrics(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(http(body, "Connection: close"))

    async with serving(vllm()) as url, serve(metrics) as (origin, _):
        gpus = {"source": "amd", "url": f"{origin}/metrics", "match": {"pod": "llama-.*"}}
        own = pool("chat", url, gpus=gpus)
        del own["usd_per_gpu_hour"]
        prices = {"gpus": [{"product": "*MI308X", "usd_per_hour": 3600}]}
        async with exporter(tmp_path, config(own, prices=prices)) as running:
            page = await running.page_when(lambda page: page.total("tokencost_gpus") == 0.5, "two of four partitions")
            assert page.total("tokencost_target_up", engine="amd") == 1
            assert page.total("tokencost_unpriced_gpus") == 0
            assert seen(page, "tokencost_gpu_info") == {"node-p:8:0": 1, "node-p:9:1": 1}
            page = await running.page_when(
                lambda page: len(seen(page, "tokencost_gpu_utilization_ratio")) == 2, "a second reading says how busy"
            )
            busy = {"node-p:8:0": 1, "node-p:9:1": 0.75}
            assert seen(page, "tokencost_gpu_utilization_ratio") == pytest.approx(busy, rel=1e-6)
            assert not seen(page, "tokencost_gpu_power_watts"), "a partition's power is not known"
