"""Which pool holds how much of which GPU. Shares of one GPU never add up to more than the GPU (law 8).

A whole GPU counts 1, a MIG instance its compute slices of those the GPU has, a GPU shared in time one part in so many
as the config says (`replicas`) or as its source names holders; `share` says it outright. The pool that selects a whole
GPU owns it: it pays for what instances selected by others leave, unallocated slices too. What does not fit is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from exporter.config.gpus import ExportedGpus, NvmlGpus
from exporter.config.schema import Pool
from exporter.records import Gpu


@dataclass(frozen=True, slots=True)
class Held:
    """What a pool holds of one GPU or MIG instance."""

    gpu: Gpu
    share: Fraction  # of the whole GPU
    parts: tuple[tuple[str, Fraction], ...] = ()  # instances of a whole GPU that no one else holds: uuid, part of it

    @property
    def device(self) -> str:
        """The uuid of the GPU, also for one of its instances."""
        return self.gpu.parent or self.gpu.uuid


@dataclass(frozen=True, slots=True)
class Refusal:
    """A share that would have made more of a GPU than there is."""

    pool: str
    gpu: str
    share: Fraction
    left: Fraction

    def __str__(self) -> str:
        if not self.share:
            return f"pool {self.pool}: nobody says how many compute slices {self.gpu} has: refused, set share"
        return (
            f"pool {self.pool} asks for {self.share} of GPU {self.gpu}, of which {self.left} is left: refused, "
            "its cost is not counted (set share or replicas, or select it in one pool only)"
        )


@dataclass(frozen=True, slots=True)
class _Claim:
    pool: str
    gpu: Gpu
    share: Fraction | None  # None: the whole GPU, or what is left of it

    @property
    def order(self) -> int:
        return 0 if self.gpu.parent else 1 if self.share is not None else 2


def hold(
    pools: Sequence[Pool], sources: Mapping[str, Sequence[Gpu]]
) -> tuple[dict[str, tuple[Held, ...]], list[Refusal]]:
    """What each pool that reads its GPUs from a source holds, and what was refused. `sources`: GPUs by target."""
    claims = [claim for pool in pools for claim in _claims(pool, sources)]
    instances: dict[str, dict[str, Fraction]] = {}
    for gpu in (gpu for gpus in sources.values() for gpu in gpus if gpu.parent):
        instances.setdefault(gpu.parent, {})[gpu.uuid] = _size(gpu)
    left: dict[str, Fraction] = {}  # by the uuid of the GPU
    shared: set[str] = set()  # GPUs of which a pool holds the whole or a share in time
    held: dict[str, list[Held]] = {pool.name: [] for pool in pools}
    refused: list[Refusal] = []
    for claim in sorted(claims, key=lambda claim: claim.order):  # stable: among equals, the config's order
        device = claim.gpu.parent or claim.gpu.uuid
        free = left.get(device, Fraction(1))
        owner = claim.share is None and device not in shared
        share = free if owner else Fraction(1) if claim.share is None else claim.share
        if share > free or (claim.gpu.parent and not share):
            refused.append(Refusal(claim.pool, claim.gpu.name, share, free))
            continue
        left[device] = free - share
        parts = () if claim.gpu.parent else tuple(instances.get(device, {}).items())
        if claim.gpu.parent:
            instances[device].pop(claim.gpu.uuid, None)
        else:
            shared.add(device)
        if share:
            held[claim.pool].append(Held(claim.gpu, share, parts))
    return {name: tuple(found) for name, found in held.items()}, refused


def _size(gpu: Gpu) -> Fraction:
    return Fraction(min(gpu.slices, gpu.of_slices), gpu.of_slices) if gpu.of_slices > 0 else Fraction(0)


def _claims(pool: Pool, sources: Mapping[str, Sequence[Gpu]]) -> Iterator[_Claim]:
    gpus = sources.get(pool.gpus_from or "", ())
    if isinstance(pool.gpus, NvmlGpus):
        for gpu in gpus:
            if _selected(pool.gpus, gpu):
                yield _Claim(pool.name, gpu, _share(pool.gpus, gpu, 1, 1))
    elif isinstance(pool.gpus, ExportedGpus):
        patterns = {label: re.compile(regex) for label, regex in pool.gpus.match.items()}
        found = [(gpu, matched) for gpu in gpus if (matched := _matching(patterns, gpu))]
        whole = {gpu.uuid for gpu, _ in found if not gpu.parent}
        for gpu, matched in found:
            if gpu.parent not in whole:  # else it comes with the GPU
                yield _Claim(pool.name, gpu, _share(pool.gpus, gpu, matched, max(1, len(gpu.holders))))


def _share(config: NvmlGpus | ExportedGpus, gpu: Gpu, holders: int, of: int) -> Fraction | None:
    """The part of the GPU that `holders` of its `of` holders have; None for the whole of it."""
    if config.share is None and config.replicas is None and holders == of and not gpu.parent:
        return None
    size = _size(gpu) if gpu.parent else Fraction(1)
    if config.share is None:
        size *= Fraction(holders, 1 if config.replicas else of)
    return config.part(size)


def _selected(config: NvmlGpus, gpu: Gpu) -> bool:
    if not config.select:
        return not gpu.parent
    return gpu.uuid in config.select or (not gpu.parent and gpu.name in {str(index) for index in config.select})


def _matching(patterns: Mapping[str, re.Pattern[str]], gpu: Gpu) -> int:
    """How many of its holders match; 1 for a GPU that says nothing of holders where nothing is asked for."""
    if not patterns:
        return 0 if gpu.parent else max(1, len(gpu.holders))
    return sum(_fits(patterns, dict(holder)) for holder in gpu.holders)


def _fits(patterns: Mapping[str, re.Pattern[str]], labels: Mapping[str, str]) -> bool:
    return all(pattern.fullmatch(labels.get(label, "")) for label, pattern in patterns.items())
