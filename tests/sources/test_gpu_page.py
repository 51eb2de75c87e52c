"""What must hold of every exporter of GPUs: its table is on a page, and no page, however bad, is a false reading."""

from __future__ import annotations

from dataclasses import fields, replace
from math import isfinite

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.config.gpus import ExportedGpus
from exporter.errors import Reason, ScrapeError
from exporter.sources.gpu_page import MOST_HOLDERS, GpuPage
from exporter.sources.gpu_table import Exporter
from exporter.sources.gpus import GPUS
from tests.sources.gpu_pages import AT, TARGET, line, read
from tests.sources.pages import of_gpus
from tests.sources.test_engines import PAGES

NAMES = sorted(path.stem for path in PAGES.glob("*.prom") if of_gpus(path.stem))
# Labels that make a line one of a GPU, and a part of those that tell which
WHO: dict[str, dict[str, str]] = {
    "dcgm": {"gpu": "0", "UUID": "a"},
    "amd": {"gpu_id": "0", "serial_number": "a"},
    "xpum": {"pci_bdf": "a"},
    "nvidia_smi": {"uuid": "a"},
}
WHICH = {"dcgm": "UUID", "amd": "serial_number", "xpum": "pci_bdf", "nvidia_smi": "uuid"}
EXPORTERS = pytest.mark.parametrize("exporter", GPUS.values(), ids=lambda exporter: exporter.name)


def lines(exporter: Exporter, value: object) -> str:
    """A line for each row of its table."""
    return "".join(line(field.name, value, **(WHO[exporter.name] | dict(field.only))) for field in exporter.fields)


@EXPORTERS
def test_the_config_knows_it_by_its_name(exporter: Exporter) -> None:
    gpus = ExportedGpus.model_validate({"source": exporter.name, "url": TARGET})
    assert GPUS[gpus.source] is exporter


@EXPORTERS
def test_the_pages_know_every_name_of_its_table(exporter: Exporter) -> None:
    """A misspelt name would silently read nothing."""
    text = b"".join((PAGES / f"{name}.prom").read_bytes() for name in NAMES if _of(name) == exporter.name)
    rows = text.decode().replace("\namd_", "\n").split("\n")
    for name, only in {(field.name.removeprefix("amd_"), field.only) for field in exporter.fields}:
        known = [row for row in rows if row.startswith(f"{name}{{")]
        labelled = any(all(f'{label}="{value}"' in row for label, value in only) for row in known)
        assert labelled or name == "DCGM_FI_DEV_FB_TOTAL", name  # in no default CSV, so on no page


@pytest.mark.parametrize("name", NAMES)
@EXPORTERS
def test_a_page_is_of_no_other_exporter(name: str, exporter: Exporter) -> None:
    body = (PAGES / f"{name}.prom").read_bytes()
    if _of(name) == exporter.name:
        assert read(exporter.name, body)
        return
    with pytest.raises(ScrapeError, match=rf"node:9400.*no GPU of {exporter.title}; its first metrics: \w+") as raised:
        read(exporter.name, body)
    assert raised.value.reason == Reason.MISSING_SERIES


@EXPORTERS
@pytest.mark.parametrize("value", ["NaN", "-1", "+Inf", "-Inf", "1e300", "1e17"])
def test_nonsense_is_no_reading(exporter: Exporter, value: str) -> None:
    good = next(field for field in exporter.fields if field.what == "temperature")
    body = lines(exporter, value)
    body += line(good.name, 33, **WHO[exporter.name], **dict(good.only), job="another")
    (gpu,) = read(exporter.name, body.encode()).values()
    unknown = replace(gpu, holders=(), temperature=None, energy=None)
    assert all(
        getattr(unknown, name) is None for name in ("utilization", "memory_used", "memory_total", "power", "energy")
    )
    assert gpu.temperature == 33
    assert gpu.energy is None or value == "1e17"  # in microjoules it is an energy


@EXPORTERS
def test_a_page_with_too_many_gpus_is_refused(exporter: Exporter) -> None:
    field = exporter.fields[0]

    def body(count: int) -> bytes:
        who = WHO[exporter.name] | dict(field.only)
        return "".join(line(field.name, 0, **(who | {WHICH[exporter.name]: f"x{n}"})) for n in range(count)).encode()

    assert len(read(exporter.name, body(MOST_HOLDERS))) == MOST_HOLDERS
    with pytest.raises(ScrapeError, match="4097 GPUs") as raised:
        read(exporter.name, body(MOST_HOLDERS + 1))
    assert raised.value.reason == Reason.TOO_MANY_SERIES


@EXPORTERS
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("", Reason.EMPTY),
        ("# only comments\n", Reason.EMPTY),
        ("<html>no</html>\n", Reason.INVALID),
        ("{row}{row}", Reason.INVALID),
        ("up 1\n{cut}", Reason.TRUNCATED),
    ],
)
def test_a_page_that_is_none_is_a_failed_scrape(exporter: Exporter, body: str, reason: Reason) -> None:
    field = exporter.fields[0]
    row = line(field.name, 0, **WHO[exporter.name], **dict(field.only))
    text = body.replace("{row}", row).replace("{cut}", row[:-1])
    if reason is Reason.TRUNCATED and exporter.unended:
        assert read(exporter.name, text.encode())
        return
    with pytest.raises(ScrapeError) as raised:
        read(exporter.name, text.encode())
    assert raised.value.reason == reason


VALUES = st.integers(-1, 1 << 64) | st.floats() | st.sampled_from(["x", ""])
WORDS = st.sampled_from(["", "0", "1", "a", "cpx", "spx", "N/A", "3g.40gb", "device", "card", "gpu", "max", "all"])


@EXPORTERS
@given(data=st.data())
@settings(deadline=None)
def test_whatever_the_page_says_a_reading_is_sane_or_refused(exporter: Exporter, data: st.DataObject) -> None:
    names = sorted({field.name for field in exporter.fields})
    labels = sorted({*LABELS[exporter.name], *(name for field in exporter.fields for name, _ in field.only), "pod"})
    row = st.tuples(st.sampled_from(names), st.dictionaries(st.sampled_from(labels), WORDS, max_size=8), VALUES)
    body = "".join(line(name, value, **shown) for name, shown, value in data.draw(st.lists(row, max_size=12)))
    try:
        reading = GpuPage(exporter).read(TARGET, body.encode(), AT)
    except ScrapeError:
        return
    uuids = {gpu.uuid for gpu in reading.gpus}
    assert len(uuids) == len(reading.gpus) == len({gpu.name for gpu in reading.gpus})
    for gpu in reading.gpus:
        assert gpu.uuid
        assert gpu.name
        assert gpu.holders
        assert gpu.parent in uuids | {""}
        assert 0 <= gpu.slices <= gpu.of_slices
        assert gpu.utilization is None or 0 <= gpu.utilization <= 1
        numbers = [getattr(gpu, field.name) for field in fields(gpu)]
        assert all(isfinite(number) and number >= 0 for number in numbers if isinstance(number, int | float))


LABELS = {
    "dcgm": ("gpu", "UUID", "Hostname", "modelName", "GPU_I_ID", "GPU_I_PROFILE"),
    "amd": ("gpu_id", "serial_number", "gpu_uuid", "hostname", "card_series", "gpu_compute_partition_type",
            "gpu_partition_id", "xcc_index"),
    "xpum": ("pci_bdf", "uuid", "dev_name", "node", "sub_dev", "hw_id", "hw_parent", "hw_name",
             "com_intel_subdevice_id"),
    "nvidia_smi": ("uuid", "name", "index", "gpu_instance_id", "profile"),
}  # fmt: skip


def _of(name: str) -> str:
    """The exporter that a page's file is named after."""
    return next(source for source in GPUS if name.replace("-", "_").startswith(source))
