"""The GPUs of a pool: counted in the config, or read from a source."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import Discriminator, Field, Tag

from exporter.config import types as t
from exporter.config.part import Part
from exporter.config.target import Target
from exporter.config.types import Mistake
from exporter.sources.gpus import GPUS

if TYPE_CHECKING:
    GpuExporter: TypeAlias = str
else:
    GpuExporter = Literal[tuple(GPUS)]


class StaticGpus(Part):
    count: t.Count = Field(description="How many GPUs the pool pays for; may be fractional.")
    product: t.Value = Field(default="", description="Product name, priced by prices.gpus.")

    def of(self, _endpoints: int) -> Decimal:
        """How many GPUs there are, however many servers have them."""
        return self.count


class GpusPerEndpoint(Part):
    """GPUs of a pool whose servers come and go."""

    per_endpoint: t.Count = Field(description="Instead of `count`: how many GPUs each server has; may be fractional.")
    product: t.Value = Field(default="", description="Product name, priced by prices.gpus.")

    def of(self, endpoints: int) -> Decimal:
        """How many GPUs that many servers have."""
        return self.per_endpoint * endpoints


class DiscoveredGpus(Part):
    """GPUs that a source finds, and the part of each that the pool pays for, where that is not the whole."""

    source: str
    share: t.Share | None = Field(
        default=None,
        description="Part of each GPU's price that the pool pays; of a MIG instance: instead of its slices.",
    )
    replicas: t.Replicas | None = Field(
        default=None, description="Each device is shared in time (or by MPS) into so many, and the pool holds one."
    )

    def part(self, whole: Fraction = Fraction(1)) -> Fraction:
        """The part of a GPU's price that the pool pays for one device, itself `whole` of the GPU (a MIG instance: its
        slices)."""
        return whole / (self.replicas or 1) if self.share is None else Fraction(self.share)

    def disagreements(self) -> Iterator[Mistake]:
        if self.share is not None and self.replicas is not None:
            yield ("replicas",), "both share and replicas are set", "keep one of them"


class NvmlGpus(DiscoveredGpus):
    source: Literal["nvml"] = Field(description="GPUs are read, not counted: from this host's driver, or an exporter.")
    select: t.Devices = Field(
        default=(), description="Devices of this host by index or UUID.", json_schema_extra={"default": "all"}
    )


class ExportedGpus(Target, DiscoveredGpus):
    """GPUs of an exporter's page."""

    source: GpuExporter
    match: dict[t.Label, t.Regex] = Field(
        default={},
        description="Regular expressions, each on a whole value, by label: of whoever holds a GPU (pod, namespace, "
        "container, vgpu) or of the GPU (host, gpu, uuid, product, mig_profile, mig_id).",
    )

    def disagreements(self) -> Iterator[Mistake]:
        yield from Target.disagreements(self)
        yield from DiscoveredGpus.disagreements(self)


def gpus_tag(value: Any) -> str:
    """Which kind of `gpus` this is: a source is named, or there is none and the count stands in the file."""
    source = value.get("source") if isinstance(value, dict) else getattr(value, "source", None)
    if source:
        return "gpus:exported" if source in tuple(GPUS) else f"gpus:{source}"
    return (
        "gpus:per_endpoint" if "per_endpoint" in (value if isinstance(value, dict) else dir(value)) else "gpus:static"
    )


CountedGpus = StaticGpus | GpusPerEndpoint
Gpus = Annotated[
    Annotated[StaticGpus, Tag("gpus:static")]
    | Annotated[GpusPerEndpoint, Tag("gpus:per_endpoint")]
    | Annotated[NvmlGpus, Tag("gpus:nvml")]
    | Annotated[ExportedGpus, Tag("gpus:exported")],
    Discriminator(gpus_tag),
]
