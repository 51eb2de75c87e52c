"""What things cost: the section `prices` of the config, and which of its prices a pool pays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from fnmatch import fnmatchcase
from fractions import Fraction
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag

from exporter.config import types as t
from exporter.config.part import Part
from exporter.config.types import Mistake, refuse

# How the right to use a GPU was bought.
Kind = Literal["on_demand", "spot", "reserved", "owned"]
Blend: TypeAlias = Mapping[Kind, Decimal]  # kind -> part of the GPUs bought that way; the parts add up to 1

HOURS_PER_YEAR = 8760
OWNED_KEYS = frozenset({"purchase_usd", "years", "maintenance_percent_per_year", "utilization_target"})


def to_atto(usd: Fraction) -> Decimal:
    """US dollars rounded to 18 decimal places, the finest that a rate in the ledger can have."""
    return Decimal(f"{round(usd * 10**18)}e-18")  # read from text: no context rounds it


class Dated(Part):
    """A fact with dates (UTC): `from` is its first day, `until` the first day it no longer holds."""

    from_: t.Day | None = Field(default=None, alias="from", description="First day, UTC; omitted: always.")
    until: t.Day | None = Field(default=None, description="The first day after, UTC; omitted: for ever.")

    def holds_on(self, day: date) -> bool:
        return (self.from_ is None or self.from_ <= day) and (self.until is None or day < self.until)

    def disagreements(self) -> Iterator[Mistake]:
        if self.from_ and self.until and self.until <= self.from_:
            wrong = f"it ends on {self.until}, not after it starts on {self.from_}"
            yield ("until",), wrong, "write a later date: `until` is the first day after"


class OfProduct(Dated):
    product: t.Value = Field(description="Glob on the GPU's product name.")

    def covers(self, product: str, day: date) -> bool:
        """True where this price is the product's on that day; of several, the first in the file counts."""
        return self.holds_on(day) and fnmatchcase(product, self.product)


class GpuPrice(OfProduct):
    """A GPU that is paid for by the hour."""

    usd_per_hour: t.Usd = Field(description="US dollars per GPU and hour.")
    purchase: Literal["on_demand", "spot", "reserved"] = Field(
        default="on_demand", description="How it is bought; a pool may ask for one kind."
    )


class OwnedGpu(OfProduct):
    """A GPU that was bought, paid for over its years."""

    purchase_usd: t.Usd = Field(description="Owned hardware: US dollars paid for one GPU, with its part of the server.")
    years: t.Years = Field(description="Years over which an owned GPU is paid for, of 8760 hours each.")
    maintenance_percent_per_year: t.Percent = Field(
        default=Decimal(0), description="Percent of purchase_usd that upkeep costs per year."
    )
    utilization_target: t.Share | None = Field(
        default=None, description="Divides the hourly price: the planned share of time at work. For charge-back only."
    )
    purchase: Literal["owned"] = "owned"

    @property
    def usd_per_hour(self) -> Decimal:
        """US dollars per GPU and hour, to 18 decimal places."""
        per_year = Fraction(self.purchase_usd) * (
            1 / Fraction(self.years) + Fraction(self.maintenance_percent_per_year) / 100
        )
        return to_atto(per_year / HOURS_PER_YEAR / Fraction(self.utilization_target or 1))


def price_tag(value: Any) -> str:
    """Which kind of row this is: a price by the hour, unless it speaks of owned hardware."""
    if isinstance(value, dict):
        return "price:owned" if OWNED_KEYS & value.keys() or value.get("purchase") == "owned" else "price:hourly"
    return "price:owned" if isinstance(value, OwnedGpu) else "price:hourly"


def _one_form(value: Any) -> Any:
    if isinstance(value, dict) and "usd_per_hour" in value:
        fix = "keep usd_per_hour, or purchase_usd and years"
        for key in value:
            if key in OWNED_KEYS:
                raise refuse([((key,), "owned hardware in a row with usd_per_hour", fix)])
        if value.get("purchase") == "owned":
            raise refuse([(("purchase",), "owned hardware has no usd_per_hour", fix)])
    return value


GpuRow = Annotated[
    Annotated[GpuPrice, Tag("price:hourly")] | Annotated[OwnedGpu, Tag("price:owned")],
    Discriminator(price_tag),
    BeforeValidator(_one_form),
]


def _whole(blend: dict[Kind, Decimal]) -> dict[Kind, Decimal]:
    if (total := sum(blend.values())) != 1:
        raise refuse([((), f"the parts add up to {total}", "write parts that add up to 1, such as 0.6 and 0.4")])
    return blend


def purchase_tag(value: Any) -> str:
    """Which kind of `purchase` of a pool this is."""
    return "purchase:blend" if isinstance(value, dict) else "purchase:kind"


Purchase = Annotated[
    Annotated[Kind, Tag("purchase:kind")]
    | Annotated[dict[Kind, t.Share], AfterValidator(_whole), Tag("purchase:blend")],
    Discriminator(purchase_tag),
]


class ModelPrice(Dated):
    model: t.Value = Field(description="Glob on the model's name.")
    provider: t.Name | None = None
    input_usd_per_mtok: t.Usd | None = None
    cache_read_usd_per_mtok: t.Usd | None = None
    cache_write_usd_per_mtok: t.Usd | None = None
    output_usd_per_mtok: t.Usd | None = None
    reasoning_usd_per_mtok: t.Usd | None = None


class Energy(Part):
    """The energy of GPUs that are discovered; their source measures it."""

    usd_per_kwh: t.Usd = Field(description="US dollars per kWh that the GPUs used, where a source of GPUs measures it.")
    pue: t.Pue = Field(default=Decimal(1), description="Power usage effectiveness of the site.")


class Prices(Part):
    gpus: tuple[GpuRow, ...] = Field(default=(), description="First match wins.")
    models: tuple[ModelPrice, ...] = Field(default=(), description="API price card, USD per million tokens.")
    catalog: Literal["genai-prices", "none"] = Field(
        default="genai-prices", description="Fallback price card for API models."
    )
    energy: Energy | None = None
