"""The memory of a GPU or of an instance."""

from __future__ import annotations

from exporter.sources.nvml.library import Handle, Question

V2 = 0x0200_0028  # nvmlMemory_v2: `used` is without what the driver keeps for itself
QUESTIONS: tuple[Question, ...] = (("nvmlDeviceGetMemoryInfo", V2), ("nvmlDeviceGetMemoryInfo",))
MOST = 1 << 53  # bytes; NVML's "not available" is all ones


def memory(handle: Handle) -> tuple[int | None, int | None]:
    """Bytes: total and used."""
    answer = handle.first(QUESTIONS)
    if answer is None or not 0 < answer.total < MOST:
        return None, None
    return answer.total, answer.used if answer.used <= answer.total else None
