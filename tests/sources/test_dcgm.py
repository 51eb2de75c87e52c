"""The GPUs of hand-written pages of dcgm-exporter, number by number; who holds them; and what is no reading."""

from __future__ import annotations

from dataclasses import fields, replace
from math import isfinite

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.errors import Reason, ScrapeError
from exporter.records import Gpu, Instant
from exporter.sources.dcgm import DCGM
from exporter.sources.gpu_page import MOST_HOLDERS, GpuPage
from tests.sources.pages import quoted
from tests.sources.test_engines import page

TARGET = "http://node:9400/metrics"
AT = Instant(7, 9)
MIB = 1048576
NAMES = [field.name for field in DCGM.fields]
Labels = dict[str, str]


def read(body: bytes, reader: GpuPage | None = None) -> dict[str, Gpu]:
    """uuid -> GPU."""
    reading = (reader or GpuPage(DCGM)).read(TARGET, body, AT)
    assert (reading.target, reading.engine, reading.at) == (TARGET, "dcgm", AT)
    gpus = {gpu.uuid: gpu for gpu in reading.gpus}
    assert len(gpus) == len(reading.gpus)
    return gpus


def holders(gpu: Gpu) -> list[Labels]:
    assert all(list(labels) == sorted(labels) for labels in gpu.holders)
    return [dict(labels) for labels in gpu.holders]


def line(name: str, value: object, **labels: str) -> str:
    shown = {"gpu": "0", "UUID": "GPU-a", "modelName": "NVIDIA A100-SXM4-80GB"} | labels
    return f"{name}{{{','.join(f'{label}={quoted(text)}' for label, text in shown.items())}}} {value}\n"


def one(name: str, value: object, **labels: str) -> Gpu:
    """The one GPU of a page with this line, and one more so that there is always a reading."""
    gpus = read((line(name, value, **labels) + line("DCGM_FI_DEV_GPU_TEMP", 1, UUID="other", gpu="9")).encode())
    return gpus["GPU-a"]


# -- pages, number by number ----------------------------------------------------------------------------------------


def test_two_hosts_one_with_the_old_and_one_with_the_new_name_of_its_label() -> None:
    h100 = "NVIDIA H100 80GB HBM3"
    gpus = read(page("dcgm-exporter-4.8-two-hosts"))
    assert list(gpus.values()) == [
        Gpu(
            "GPU-aaaa0000-0000-0000-0000-000000000000", "node-a:0", h100,
            utilization=0.625, memory_used=73000 * MIB, memory_total=(73000 + 8000 + 559) * MIB,
            power=512.25, energy=128996.013, temperature=61,
            holders=((
                ("gpu", "0"), ("host", "node-a"), ("product", h100),
                ("uuid", "GPU-aaaa0000-0000-0000-0000-000000000000"),
            ),),
        ),
        Gpu(
            "GPU-aaaa1111-0000-0000-0000-000000000000", "node-a:1", h100,
            utilization=0, memory_used=0, memory_total=(81000 + 559) * MIB,
            power=71.5, energy=7000, temperature=34,
            holders=((
                ("gpu", "1"), ("host", "node-a"), ("product", h100),
                ("uuid", "GPU-aaaa1111-0000-0000-0000-000000000000"),
            ),),
        ),
        Gpu(
            "GPU-bbbb0000-0000-0000-0000-000000000000", "node-b:0", "NVIDIA L40S",
            utilization=0.37, memory_used=40000 * MIB, memory_total=45000 * MIB,
            power=287.75, energy=55000.5, temperature=55,
            holders=((
                ("gpu", "0"), ("host", "node-b"), ("product", "NVIDIA L40S"),
                ("uuid", "GPU-bbbb0000-0000-0000-0000-000000000000"),
            ),),
        ),
    ]  # fmt: skip


def test_instances_have_what_is_theirs_and_their_gpu_what_is_the_whole_one_s() -> None:
    a100 = "NVIDIA A100-SXM4-80GB"
    gpus = read(page("dcgm-exporter-4.8-mig"))
    assert list(gpus) == ["GPU-mig0", "GPU-mig0/1", "GPU-mig0/5", "GPU-mig0/13", "GPU-mig1", "GPU-mig1/1", "GPU-whole2"]
    bare = [replace(gpu, holders=()) for gpu in gpus.values()]
    assert bare == [
        Gpu("GPU-mig0", "node-m:0", a100, power=210.5, energy=900000.25, temperature=48),
        Gpu(
            "GPU-mig0/1", "node-m:0:1", a100, "GPU-mig0", "3g.40gb", slices=3,
            utilization=0.75, memory_used=39000 * MIB, memory_total=40000 * MIB,
        ),
        Gpu(
            "GPU-mig0/5", "node-m:0:5", a100, "GPU-mig0", "2g.20gb", slices=2,
            utilization=0.25, memory_used=18000 * MIB, memory_total=20000 * MIB,
        ),
        Gpu(
            "GPU-mig0/13", "node-m:0:13", a100, "GPU-mig0", "1g.10gb+me", slices=1,
            utilization=0, memory_used=12 * MIB, memory_total=9712 * MIB,
        ),
        Gpu("GPU-mig1", "node-m:1", "NVIDIA A30", of_slices=4, power=30, energy=1, temperature=41),
        Gpu("GPU-mig1/1", "node-m:1:1", "NVIDIA A30", "GPU-mig1", "2g.12gb", slices=2, of_slices=4),
        Gpu("GPU-whole2", "node-m:2", a100, utilization=0.875, power=390, energy=2, temperature=66),
    ]  # fmt: skip
    assert holders(gpus["GPU-mig0"]) == [{"host": "node-m", "gpu": "0", "uuid": "GPU-mig0", "product": a100}]
    assert holders(gpus["GPU-mig0/1"]) == [
        {
            "host": "node-m", "gpu": "0", "uuid": "GPU-mig0/1", "product": a100,
            "mig_profile": "3g.40gb", "mig_id": "1", "pod": "llama-0", "namespace": "serving", "container": "vllm",
        }
    ]  # fmt: skip
    assert [labels.get("pod") for labels in holders(gpus["GPU-mig0/13"])] == [None]


def test_sharers_of_a_time_sliced_gpu_are_holders_each_and_a_line_without_pods_is_none() -> None:
    gpus = read(page("dcgm-exporter-4.8-time-sliced"))
    shared = gpus["GPU-shared"]
    assert [(labels["pod"], labels["namespace"], labels["vgpu"]) for labels in holders(shared)] == [
        ("llama-7d9f-x", "team-a", "0"),
        ("llama-7d9f-x", "team-a", "1"),
        ("bge-0", "team-b", "2"),
    ]
    assert (shared.utilization, shared.power) == (0.83, 60)  # of the first line, whoever it names
    assert holders(gpus["GPU-free"]) == [{"host": "node-s", "gpu": "1", "uuid": "GPU-free", "product": "Tesla T4"}]
    assert [labels["pod"] for labels in holders(gpus["GPU-alone"])] == ["qwen-0"]


def test_the_names_and_units_of_4_9() -> None:
    first, second = read(page("dcgm-exporter-4.9")).values()
    assert replace(first, holders=()) == Gpu(
        "GPU-new0", "0", "NVIDIA B200", utilization=0.9125, memory_used=150000000000, memory_total=192265846784,
        power=640.125, energy=128996, temperature=57,
    )  # fmt: skip
    assert holders(first) == [
        {
            "gpu": "0", "uuid": "GPU-new0", "product": "NVIDIA B200",
            "pod": "llama-0", "namespace": "serving", "container": "vllm",
            "dra_claim_name": "one-gpu", "dra_claim_namespace": "serving", "dra_device_name": "gpu-0",
            "dra_driver_name": "gpu.nvidia.com", "dra_pool_name": "node-d",
        }
    ]  # fmt: skip
    # Profiling that says 0 while a kernel ran has stopped.
    assert (second.utilization, second.memory_total) == (1, 1000000000 + 190000000000 + 1265846784)
    assert holders(second) == [{"gpu": "1", "uuid": "GPU-new1", "product": "NVIDIA B200", "hpc_job": "4711"}]


def test_the_names_of_1_x_and_the_labels_of_the_old_namespace() -> None:
    a100 = "NVIDIA A100 80GB PCIe"
    gpus = read(page("dcgm-exporter-1.x-names"))
    assert [replace(gpu, holders=()) for gpu in gpus.values()] == [
        Gpu(
            "GPU-old0", "0", a100, utilization=0.64, memory_used=79000 * MIB, memory_total=80024 * MIB,
            power=250.5, energy=3000.5, temperature=44,
        ),
        Gpu("GPU-old1", "1", a100, temperature=39),
        Gpu("GPU-old1/1", "1:1", a100, "GPU-old1", "4g.40gb", slices=4, utilization=0.008246),
    ]  # fmt: skip
    assert [labels.get("pod") for labels in holders(gpus["GPU-old0"])] == ["llama-0"]
    assert holders(gpus["GPU-old0"])[0].items() >= {"namespace": "serving", "container": "serve"}.items()
    assert "pod" not in holders(gpus["GPU-old1/1"])[0]


def test_a_prometheus_names_the_holder_in_exported_labels() -> None:
    gpus = read(page("dcgm-exporter-4.8-federated"))
    assert [(gpu.name, gpu.utilization) for gpu in gpus.values()] == [("node-a:0", 0.42), ("node-b:0", 0)]
    (held,) = holders(gpus["GPU-fed0"])
    assert (held["pod"], held["namespace"], held["container"]) == ("llama-0", "serving", "vllm")
    assert set(held) == {"pod", "namespace", "container", "host", "gpu", "uuid", "product"}


# -- what is a reading ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        "9223372036854775792", "9223372036854775793", "9223372036854775794", "9223372036854775795",
        "2147483632", "2147483633", "2147483634", "2147483635",
        "140737488355328", "140737488355329.000000", "140737488355330", "140737488355331",
        "NaN", "-1", "+Inf", "1e300",
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", NAMES)
def test_blanks_and_nonsense_are_no_readings(name: str, value: str) -> None:
    said = read((line(name, value) + line("DCGM_FI_DEV_GPU_TEMP", 33, device="nvidia0")).encode())["GPU-a"]
    assert replace(said, holders=(), temperature=None) == Gpu("GPU-a", "0", "NVIDIA A100-SXM4-80GB")


@pytest.mark.parametrize(
    ("name", "value", "field", "reading"),
    [
        ("DCGM_FI_DEV_GPU_UTIL", 100, "utilization", 1),
        ("DCGM_FI_DEV_GPU_UTIL", 101, "utilization", None),
        ("DCGM_FI_DEV_GPU_UTIL", 4294967295, "utilization", None),  # seen: DCGM #199
        ("DCGM_FI_PROF_GR_ENGINE_ACTIVE", "1.000000", "utilization", 1),
        ("DCGM_FI_PROF_GR_ENGINE_ACTIVE", "1.294000", "utilization", None),
        ("DCGM_FI_DEV_GPU_UTIL_RATIO", 0.5, "utilization", 0.5),
        ("DCGM_FI_DEV_FB_USED", "1.5", "memory_used", 1572864),
        ("DCGM_FI_DEV_FB_TOTAL", 15109, "memory_total", 15109 * MIB),
        ("DCGM_FI_DEV_FB_USED", 10, "memory_total", None),
        ("DCGM_FI_DEV_FB_FREE", 10, "memory_total", None),
        ("DCGM_FI_DEV_POWER_USAGE", "8.969000", "power", 8.969),
        # Five years at 1 kW, in mJ, lie between the blanks of the floating point numbers and of the 64-bit integers.
        ("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", 157680000000000, "energy", 157680000000),
        ("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", 2147483636, "energy", 2147483.636),
    ],
)
def test_units_and_limits(name: str, value: object, field: str, reading: float | None) -> None:
    assert getattr(one(name, value), field) == reading


@pytest.mark.parametrize(
    ("active", "util", "busy"),
    [
        (0.25, 100, 0.25),
        (0.25, 0, 0.25),
        (0.0, 100, 1),
        (0.0, 0, 0),
        (0.0, None, 0),
        (None, 40, 0.4),
        (None, None, None),
        ("NaN", 40, 0.4),
        (0.25, 300, 0.25),
    ],
)
def test_utilization_is_the_mean_unless_it_is_0_beside_a_gpu_that_is_busy(
    active: object, util: object, busy: float | None
) -> None:
    said = {"DCGM_FI_PROF_GR_ENGINE_ACTIVE": active, "DCGM_FI_DEV_GPU_UTIL": util, "DCGM_FI_DEV_GPU_TEMP": 1}
    body = "".join(line(name, value) for name, value in said.items() if value is not None)
    assert read(body.encode())["GPU-a"].utilization == busy


@pytest.mark.parametrize("util", [0, 50])
def test_gpu_util_on_the_line_of_an_instance_says_nothing(util: int) -> None:
    """Some versions print 0 there whatever the instance does (dcgm-exporter #216)."""
    whole, part = read(line("DCGM_FI_DEV_GPU_UTIL", util, GPU_I_ID="1").encode()).values()
    assert (whole.utilization, part.utilization) == (None, None)


def test_of_two_names_for_one_thing_the_newer_one_counts_wherever_it_stands() -> None:
    """Else an energy that two names give in different units would fall when the page is in another order."""
    both = [line("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", 5999), line("DCGM_FI_DEV_GPU_ENERGY_JOULES_TOTAL", 5)]
    for body in ("".join(both), "".join(reversed(both))):
        assert read(body.encode())["GPU-a"].energy == 5
    assert read((both[0] + line("DCGM_FI_DEV_GPU_ENERGY_JOULES_TOTAL", "NaN")).encode())["GPU-a"].energy == 5.999


def test_readings_follow_the_page_and_the_same_gpus_are_not_made_anew() -> None:
    reader = GpuPage(DCGM)
    for power, pod in ((100, "a"), (200, "a"), (300, "b"), (50, "b")):
        gpu = read(line("DCGM_FI_DEV_POWER_USAGE", power, pod=pod).encode(), reader)["GPU-a"]
        assert (gpu.power, holders(gpu)[0]["pod"]) == (power, pod)


# -- who is who -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("profile", "product", "slices", "of_slices"),
    [
        ("1g.10gb", "NVIDIA H100 80GB HBM3", 1, 7),
        ("1g.20gb", "NVIDIA H100 80GB HBM3", 1, 7),
        ("1g.10gb+me", "NVIDIA H100 80GB HBM3", 1, 7),
        ("1c.2g.20gb", "NVIDIA H100 80GB HBM3", 1, 7),
        ("7g.141gb", "NVIDIA H200", 7, 7),
        ("MIG 4g.96gb+gfx", "NVIDIA RTX PRO 6000 Blackwell Server Edition", 4, 4),
        ("1g.24gb-me", "NVIDIA-RTX-PRO-6000-Blackwell-Server-Edition", 1, 4),
        ("4g.24gb", "NVIDIA A30", 4, 4),
        ("1g.6gb", "NVIDIA-A30", 1, 4),
        ("2g.48gb", "NVIDIA RTX PRO 5000 Blackwell", 2, 2),
        ("3g.40gb", "NVIDIA A300", 3, 7),
        ("5g.24gb", "NVIDIA A30", 0, 4),
        ("99g.1gb", "NVIDIA H200", 0, 7),
        ("101g.1gb", "NVIDIA H200", 0, 7),
        ("whole", "", 0, 7),
    ],
)
def test_slices(profile: str, product: str, slices: int, of_slices: int) -> None:
    body = line("DCGM_FI_DEV_FB_USED", 1, GPU_I_PROFILE=profile, GPU_I_ID="3", modelName=product)
    whole, part = read(body.encode()).values()
    assert (part.slices, part.of_slices, part.mig_profile, part.product) == (slices, of_slices, profile, product)
    assert (whole.slices, whole.of_slices, whole.mig_profile, whole.product) == (0, of_slices, "", product)
    assert (part.uuid, part.parent, part.name) == ("GPU-a/3", "GPU-a", "0:3")


def test_old_and_new_spellings_of_a_label_make_one_gpu() -> None:
    body = line("DCGM_FI_DEV_POWER_USAGE", 10, Hostname="n", pod="a")
    body += line("DCGM_FI_DEV_GPU_TEMP", 20, UUID="", uuid="GPU-a", modelName="", model_name="x", hostname="n", pod="a")
    body += line("DCGM_FI_DEV_GPU_UTIL", 30, UUID="", gpu_uuid="GPU-a", hostname="n", pod="", pod_name="a")
    (gpu,) = read(body.encode()).values()
    assert (gpu.name, gpu.power, gpu.temperature, gpu.utilization) == ("n:0", 10, 20, 0.3)
    assert [labels["pod"] for labels in holders(gpu)] == ["a"]


def test_names_are_unique_even_where_hosts_and_indexes_are_not() -> None:
    """Every host is called localhost behind a host engine on another port (dcgm-exporter #572)."""
    body = "".join(line("DCGM_FI_DEV_GPU_TEMP", 1, UUID=uuid, Hostname="localhost") for uuid in ("GPU-a", "GPU-b"))
    body += line("DCGM_FI_DEV_GPU_TEMP", 1, UUID="GPU-c", Hostname="localhost", gpu="1")
    body += line("DCGM_FI_DEV_GPU_TEMP", 1, UUID="GPU-d", Hostname="localhost", gpu="")
    assert [gpu.name for gpu in read(body.encode()).values()] == ["GPU-a", "GPU-b", "localhost:1", "GPU-d"]


def test_lines_of_cpus_switches_and_links_are_no_gpus() -> None:
    body = line("DCGM_FI_DEV_GPU_TEMP", 1)
    body += 'DCGM_FI_DEV_GPU_TEMP{cpu="0",Hostname="n"} 40\nDCGM_FI_DEV_GPU_TEMP{nvswitch="nvswitch0"} 50\n'
    assert list(read(body.encode())) == ["GPU-a"]


HOLDER = st.fixed_dictionaries(
    {}, optional={name: st.sampled_from("xy") for name in ("pod", "namespace", "container", "vgpu", "hpc_job")}
)
SPELLED = {"pod": "pod_name", "namespace": "pod_namespace", "container": "container_name"}


@st.composite
def device_lines(draw: st.DrawFn) -> tuple[list[str], dict[str, set[frozenset[tuple[str, str]]]]]:
    """Lines of a page, and uuid -> who holds it: the sets of labels of its lines, if any with a pod's only those."""
    spelling = draw(st.sampled_from([{}, SPELLED, {name: f"exported_{name}" for name in SPELLED}]))
    lines, truth = [], {}
    some = st.lists(HOLDER, min_size=1, max_size=4, unique_by=lambda holder: frozenset(holder.items()))
    for index, who in enumerate(draw(st.lists(some, min_size=1, max_size=3))):
        named = {frozenset(holder.items()) for holder in who}
        pods = {holder for holder in named if any(name in SPELLED for name, _ in holder)}
        truth[f"GPU-{index}"] = pods or named - {frozenset()} or named
        names = ["DCGM_FI_DEV_GPU_TEMP", draw(st.sampled_from(["DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_FB_USED"]))]
        for holder in who:
            shown = {spelling.get(name, name): value for name, value in holder.items()}
            if any(name.startswith("exported_") for name in shown):
                shown |= {"pod": "dcgm-exporter", "namespace": "monitoring"}
            jobs = draw(st.sampled_from([("",), ("a", "b")]))  # scraped once, or twice
            shown |= {"UUID": f"GPU-{index}", "gpu": str(index)}
            lines += [line(name, 5, job=job, **shown) for name in names for job in jobs]
    return draw(st.permutations(lines)), truth


@given(device_lines())
def test_each_distinct_set_of_labels_is_a_holder_once_whatever_the_order_and_spelling(
    found: tuple[list[str], dict[str, set[frozenset[tuple[str, str]]]]],
) -> None:
    lines, truth = found
    gpus = read("".join(lines).encode())
    device = {"gpu", "uuid", "product"}
    for uuid, who in truth.items():
        named = [
            frozenset((name, value) for name, value in labels if name not in device) for labels in gpus[uuid].holders
        ]
        assert len(named) == len(set(named))
        assert set(named) == who
    assert gpus.keys() == truth.keys()


# -- hostile pages --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", Reason.EMPTY),
        (b"# HELP DCGM_FI_DEV_GPU_TEMP GPU temperature (in C).\n# TYPE DCGM_FI_DEV_GPU_TEMP gauge\n", Reason.EMPTY),
        (b'DCGM_FI_DEV_GPU_TEMP{gpu="0",UUID="GPU-a"} 4', Reason.TRUNCATED),
        (b"<html>no</html>\n", Reason.INVALID),
        (b'DCGM_FI_DEV_GPU_TEMP{gpu="0",UUID="GPU-a"} hot\n', Reason.INVALID),
        (line("DCGM_FI_DEV_GPU_TEMP", 1).encode() * 2, Reason.INVALID),
        (b"vllm:prompt_tokens_total 5\nprocess_open_fds 3\n", Reason.MISSING_SERIES),
        (b'DCGM_FI_DEV_GPU_TEMP{cpu="0"} 40\n', Reason.MISSING_SERIES),
        (line("DCGM_FI_DEV_GPU_TEMP", 1, pod="p" * 70_000).encode(), Reason.LINE_TOO_LONG),
    ],
)
def test_a_page_that_is_none_is_a_failed_scrape(body: bytes, reason: Reason) -> None:
    with pytest.raises(ScrapeError) as raised:
        read(body)
    assert raised.value.reason == reason


def test_another_server_s_page_is_named_by_its_metrics() -> None:
    with pytest.raises(ScrapeError, match=r"node:9400.*dcgm-exporter.*vllm:prompt_tokens_total, process_open_fds$"):
        read(b"vllm:prompt_tokens_total 5\nprocess_open_fds 3\n")


def test_a_page_may_come_back_after_a_bad_one() -> None:
    reader = GpuPage(DCGM)
    good = line("DCGM_FI_DEV_GPU_TEMP", 7).encode()
    for body in (good, b"up 1\n", good, good[:-1], good):
        if body == good:
            assert read(body, reader)["GPU-a"].temperature == 7
        else:
            with pytest.raises(ScrapeError):
                read(body, reader)


@pytest.mark.parametrize("label", ["UUID", "pod", "GPU_I_ID"])
def test_a_page_with_too_many_of_anything_is_refused(label: str) -> None:
    def body(count: int) -> bytes:
        return "".join(line("DCGM_FI_DEV_GPU_UTIL", 1, **{label: f"x{n}"}) for n in range(count)).encode()

    most = MOST_HOLDERS - (label == "GPU_I_ID")  # the GPU that they are instances of
    assert sum(len(gpu.holders) for gpu in read(body(most)).values()) == MOST_HOLDERS
    with pytest.raises(ScrapeError, match="4097 GPUs") as raised:
        read(body(most + 1))
    assert raised.value.reason == Reason.TOO_MANY_SERIES


def test_labels_are_safe_to_show() -> None:
    gpu = one("DCGM_FI_DEV_GPU_TEMP", 1, modelName="a\nb\x1b[31m", Hostname="h" * 500, pod="é\u202e")
    assert gpu.product == "a\ufffdb\ufffd[31m"
    assert len(gpu.name) < 140
    assert holders(gpu)[0]["pod"] == "é\ufffd"


LABEL_NAMES = st.sampled_from(
    [
        "gpu",
        "UUID",
        "uuid",
        "Hostname",
        "hostname",
        "modelName",
        "GPU_I_ID",
        "GPU_I_PROFILE",
        "pod",
        "exported_pod",
        "vgpu",
    ]
)
ANY_LABELS = st.dictionaries(LABEL_NAMES, st.sampled_from(["", "0", "1", "GPU-a", "GPU-a/1", "3g.40gb"]), max_size=6)
ANY_VALUE = st.integers(-1, 1 << 64) | st.floats() | st.sampled_from(["x", ""])


@given(st.lists(st.tuples(st.sampled_from([*NAMES, "up"]), ANY_LABELS, ANY_VALUE), max_size=12))
def test_whatever_the_page_says_a_reading_is_sane_or_refused(lines: list[tuple[str, Labels, object]]) -> None:
    body = "".join(
        f"{name}{{{','.join(f'{label}={quoted(text)}' for label, text in labels.items())}}} {value}\n"
        for name, labels, value in lines
    )
    try:
        reading = GpuPage(DCGM).read(TARGET, body.encode(), AT)
    except ScrapeError:
        return
    uuids = {gpu.uuid for gpu in reading.gpus}
    assert len(uuids) == len(reading.gpus)
    for gpu in reading.gpus:
        assert gpu.uuid
        assert gpu.name
        assert gpu.holders
        assert gpu.parent in uuids | {""}
        assert 0 <= gpu.slices <= gpu.of_slices
        assert gpu.utilization is None or 0 <= gpu.utilization <= 1
        numbers = [getattr(gpu, field.name) for field in fields(gpu)]
        assert all(isfinite(number) and number >= 0 for number in numbers if isinstance(number, int | float))
