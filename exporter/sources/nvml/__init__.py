"""The GPUs of this machine, read through NVIDIA's management library (NVML)."""

from exporter.sources.nvml.source import Nvml

__all__ = ["Nvml"]
