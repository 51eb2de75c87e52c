"""Every exporter of GPUs by the name the config knows it by."""

from __future__ import annotations

from exporter.sources.amd import AMD
from exporter.sources.dcgm import DCGM
from exporter.sources.gpu_table import Exporter
from exporter.sources.nvidia_smi import NVIDIA_SMI
from exporter.sources.xpum import XPUM

GPUS: dict[str, Exporter] = {exporter.name: exporter for exporter in (DCGM, AMD, XPUM, NVIDIA_SMI)}
