"""For the tests of each exporter of GPUs: a page read, its GPUs by uuid, and lines written in a row."""

from __future__ import annotations

from dataclasses import replace

from exporter.records import Gpu, Instant
from exporter.sources.gpu_page import GpuPage
from exporter.sources.gpus import GPUS
from tests.sources.pages import quoted

TARGET = "http://node:9400/metrics"
AT = Instant(7, 9)
MIB = 1048576
Labels = dict[str, str]


def read(source: str, body: bytes, target: str = TARGET) -> dict[str, Gpu]:
    """uuid -> GPU."""
    reading = GpuPage(GPUS[source]).read(target, body, AT)
    assert (reading.target, reading.engine, reading.at) == (target, source, AT)
    gpus = {gpu.uuid: gpu for gpu in reading.gpus}
    assert len(gpus) == len(reading.gpus)
    return gpus


def bare(gpus: dict[str, Gpu]) -> list[Gpu]:
    """Without their holders."""
    return [replace(gpu, holders=()) for gpu in gpus.values()]


def holders(gpu: Gpu) -> list[Labels]:
    assert all(list(labels) == sorted(labels) for labels in gpu.holders)
    return [dict(labels) for labels in gpu.holders]


def line(name: str, value: object, /, **labels: str) -> str:
    return f"{name}{{{','.join(f'{label}={quoted(text)}' for label, text in labels.items())}}} {value}\n"
