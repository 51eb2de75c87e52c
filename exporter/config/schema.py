"""The config, whole: every key, its type, its default. load() is the way in; tokencost.schema.json is made of this.

Money is exact decimal US dollars, durations are integer nanoseconds. A model refuses what is wrong within itself;
what is wrong between models (a price that is missing, a pool nobody knows) is in checks.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pydantic import ConfigDict, Field, PrivateAttr

from exporter.config import types as t
from exporter.config.custom import Custom, CustomGateway, CustomPool
from exporter.config.discovery import DiscoverEndpoints, DiscoverGateways
from exporter.config.gpus import CountedGpus, ExportedGpus, Gpus, NvmlGpus
from exporter.config.part import Part
from exporter.config.prices import Prices, Purchase
from exporter.config.target import Target
from exporter.config.types import DAY, HOUR, MINUTE, SECOND, Mistake, format_duration
from exporter.records import NVML, Role
from exporter.sources.registry import ENGINES, GATEWAYS

if TYPE_CHECKING:
    PoolEngine: TypeAlias = str
    GatewayEngine: TypeAlias = str
else:
    PoolEngine = Literal["auto", *ENGINES, "custom"]
    GatewayEngine = Literal["auto", *GATEWAYS, "custom"]


class Scrape(Part):
    interval: t.Duration = Field(default=15 * SECOND, description="How often every target is read.")
    timeout: t.Duration = Field(
        default_factory=lambda data: min(5 * SECOND, data["interval"]),
        description="How long one scrape may take, at most the interval.",
        json_schema_extra={"default": "5s"},
    )
    max_body_bytes: int = Field(
        default=67108864, strict=True, ge=1024, le=1 << 30, description="A longer page is a failed scrape."
    )

    def disagreements(self) -> Iterator[Mistake]:
        if self.timeout > self.interval:
            longest = format_duration(self.interval)
            wrong = f"the timeout {format_duration(self.timeout)} is longer than the interval {longest}"
            yield ("timeout",), wrong, f"write at most {longest}"


class Live(Part):
    windows: tuple[t.Duration, ...] = Field(
        default=(5 * MINUTE, HOUR), min_length=1, max_length=8, description="Windows of the live gauges."
    )

    def disagreements(self) -> Iterator[Mistake]:
        for index, window in enumerate(self.windows):
            if not 10 * SECOND <= window <= DAY:
                yield ("windows", index), f"{format_duration(window)} is out of range", "write 10s to 1d"
            if window in self.windows[:index]:
                yield ("windows", index), f"the window {format_duration(window)} is there twice", "remove one"


class Endpoint(Target):
    """One server of a pool."""

    role: Role = Field(default="any", description="Its share of the work where prefill and decode are apart.")
    model: t.Value | None = Field(
        default=None, description="The model's name where the page has none (llama.cpp); omitted: the pool's name."
    )
    tenant: t.Tenant | None = Field(
        default=None, description="All tokens of this server are this tenant's; wins over what the pool says."
    )


class FoundEndpoint(Endpoint):
    """One server that discovery found. Its tenant is a word from outside: "" where one was expected and none found."""

    tenant: str | None = None


# For editors: one of the two at least. `nowhere` says it in words.
SOMEWHERE: dict[str, Any] = {"anyOf": [{"required": ["endpoints"]}, {"required": ["discover"]}]}


def unmapped(engine: str, custom: Custom | None) -> Iterator[Mistake]:
    """A mapping and `engine: custom` need each other."""
    if engine == "custom" and custom is None:
        fix = "add custom: {tokens: {input: ..., output: ...}, one_process: true}, with the names of your metrics"
        yield ("custom",), "engine: custom without a mapping", fix
    elif engine != "custom" and custom is not None:
        yield ("custom",), f"a mapping, and engine: {engine}", "write engine: custom, or remove the mapping"


def nowhere(owner: Pool | Gateway) -> Iterator[Mistake]:
    """Nothing to read, now or later."""
    if not owner.endpoints and not owner.discover:
        example = "endpoints: [{url: http://127.0.0.1:8000/metrics}]"
        yield ("endpoints",), "the key is missing", f"add it, such as `{example}`, or discover"


class Weights(Part):
    """Relative cost of a token of each class."""

    input: t.Weight = Decimal(1)
    cache_read: t.Weight = Decimal("0.1")
    cache_write: t.Weight = Decimal(1)
    output: t.Weight = Decimal(4)
    reasoning: t.Weight = Decimal(4)

    def disagreements(self) -> Iterator[Mistake]:
        if not any((self.input, self.cache_read, self.cache_write, self.output, self.reasoning)):
            yield (), "every weight is 0", "give at least one class of tokens a weight"


class Pool(Part):
    """Capacity that costs money by the hour."""

    model_config = ConfigDict(json_schema_extra=SOMEWHERE)

    name: t.Name
    engine: PoolEngine = "auto"
    custom: CustomPool | None = None
    endpoints: tuple[Endpoint, ...] = Field(default=(), min_length=1, description="Required without `discover`.")
    discover: tuple[DiscoverEndpoints, ...] = Field(
        default=(), min_length=1, max_length=100, description="Sources of more endpoints, see docs/discovery.md."
    )
    gpus: Gpus
    usd_per_gpu_hour: t.Usd | None = Field(default=None, description="Wins over prices.gpus.")
    purchase: Purchase | None = Field(
        default=None,
        description="Which price of its product the pool pays: a kind, or {kind: part} with parts that add up to 1; "
        "omitted: the first that matches.",
    )
    overhead_usd_per_hour: t.Usd = Field(default=Decimal(0), description="CPU, RAM, storage, operations share.")
    split: Literal["fitted", "compute_time", "weights"] = Field(
        default="fitted", description="What divides cost between prompt and generation; fitted falls back to weights."
    )
    weights: Weights = Field(default_factory=Weights)
    busy_from: Literal["auto", "gpu_utilization", "tokens"] = Field(
        default="auto", description="What tells busy time from idle time."
    )
    claim_within: t.Duration = Field(
        default=10 * MINUTE, description="The longest that a cost stays pending while it is not known who used it."
    )
    tenant: t.Tenant | None = Field(default=None, description="The whole pool is this tenant's.")
    tenant_label: t.Labels = Field(
        default=(), description="Labels of the engine's series that name the tenant; the first non-empty one wins."
    )

    @property
    def gpus_from(self) -> str | None:
        """The target that its GPUs are read from; None where the config counts them."""
        if isinstance(self.gpus, NvmlGpus):
            return NVML
        return self.gpus.target if isinstance(self.gpus, ExportedGpus) else None

    def disagreements(self) -> Iterator[Mistake]:
        yield from unmapped(self.engine, self.custom)
        yield from nowhere(self)
        if self.tenant and self.tenant_label:
            yield ("tenant_label",), "both tenant and tenant_label are set", "keep one of them"
        if self.usd_per_gpu_hour is not None and self.purchase is not None:
            yield ("purchase",), "usd_per_gpu_hour is set too, and would win", "keep one of them"
        if self.busy_from == "gpu_utilization" and isinstance(self.gpus, CountedGpus):
            wrong = "nothing reads the utilization of GPUs that are only counted"
            yield ("busy_from",), wrong, "write busy_from: auto, or give gpus a source"
        roles = {one.role for one in self.endpoints} | {one.role for one in self.discover}
        if "any" in roles and len(roles) > 1:
            yield ("endpoints",), "role any beside prefill or decode", "give every endpoint the role prefill or decode"
        elif len(roles) == 1 and "any" not in roles:
            have, lack = ("prefill", "decode") if "prefill" in roles else ("decode", "prefill")
            yield (
                ("endpoints",),
                f"role {have} without {lack}",
                f"add an endpoint with role: {lack}, or write role: any",
            )


class Route(Part):
    """Where a gateway sends a model's requests. First match wins."""

    model: t.Value = Field(description="Glob on the gateway's model name.")
    pool: t.Name | tuple[t.Name, ...] | None = Field(
        default=None, description="Self-hosted: shares that pool's real cost. A list where several pools serve it."
    )
    provider: t.Name | None = Field(default=None, description="API: tokens times the price card.")

    @property
    def pools(self) -> tuple[str, ...]:
        """The pools it goes to; none for a provider's."""
        return (self.pool,) if isinstance(self.pool, str) else self.pool or ()

    def disagreements(self) -> Iterator[Mistake]:
        if bool(self.pool) == (self.provider is not None):
            yield (), "a route needs either pool or provider", "write exactly one of them"


class Gateway(Part):
    """Who used it: token counters that carry a tenant."""

    model_config = ConfigDict(json_schema_extra=SOMEWHERE)

    name: t.Name
    engine: GatewayEngine = "auto"
    custom: CustomGateway | None = None
    endpoints: tuple[Target, ...] = Field(default=(), min_length=1, description="Required without `discover`.")
    discover: tuple[DiscoverGateways, ...] = Field(
        default=(), min_length=1, max_length=100, description="Sources of more endpoints, see docs/discovery.md."
    )
    tenant_label: t.Labels = Field(default=(), description="Labels that name the tenant; the first non-empty one wins.")
    routes: tuple[Route, ...] = Field(min_length=1)

    def disagreements(self) -> Iterator[Mistake]:
        yield from unmapped(self.engine, self.custom)
        yield from nowhere(self)


class Tenants(Part):
    limit: int = Field(default=1000, strict=True, ge=1, le=1_000_000, description="Beyond it tenants are _other.")
    known: tuple[t.Tenant, ...] = Field(default=(), description="Always shown, before the limit counts.")
    aliases: dict[t.Value, t.Tenant] = Field(default={}, description="Other names of a tenant: {name seen: tenant}.")

    def disagreements(self) -> Iterator[Mistake]:
        first = {tenant: index for index, tenant in reversed(list(enumerate(self.known)))}
        for index, tenant in enumerate(self.known):
            if first[tenant] != index:
                yield ("known", index), f"the tenant {tenant!r} is there twice", "remove one"
        if len(self.known) > self.limit:
            wrong = f"the limit {self.limit} is below the {len(self.known)} known tenants"
            yield ("limit",), wrong, f"write at least {len(self.known)}"
        for alias, tenant in self.aliases.items():
            if tenant in self.aliases:
                yield ("aliases", alias), f"{tenant!r} is itself an alias", f"write {self.aliases[tenant]!r}"


class Budget(Part):
    """A limit on spend in a calendar period. Tenant, model and pool narrow it; none of them: all spend."""

    name: t.Name
    limit_usd: t.Limit = Field(description="US dollars of tokencost_spend_usd_total in each period.")
    period: Literal["day", "week", "month", "quarter", "year"]
    timezone: t.Zone = Field(default="UTC", description="Where its periods begin at midnight, and weeks on Monday.")
    tenant: t.Value | None = Field(default=None, description="Only what this tenant spends.")
    model: t.Value | None = Field(default=None, description="Only what is spent on this model_name; no glob.")
    pool: t.Name | None = Field(default=None, description="Only what is spent in this pool or at this provider.")


class Otlp(Target):
    """A receiver of OpenTelemetry's protocol (OTLP over HTTP, protobuf) to which the metrics are pushed as well."""

    url: t.OtlpUrl = Field(
        alias="endpoint", description="The whole address, such as `http://127.0.0.1:4318/v1/metrics`; omitted: no push."
    )
    headers_file: t.File | None = Field(
        default=None, description="More HTTP headers, `Name: value` line by line; read at every push."
    )
    interval: t.Duration = Field(default=MINUTE, description="How often the last tick is pushed.")
    timeout: t.Duration = Field(
        default_factory=lambda data: min(10 * SECOND, data["interval"]),
        description="How long one request may take, at most the interval.",
        json_schema_extra={"default": "10s"},
    )
    resource: dict[t.Value, t.Value] = Field(
        default={},
        description="Resource attributes, such as `{service.name: tokencost-exporter}`; they win over those of "
        "OTEL_RESOURCE_ATTRIBUTES.",
    )

    def disagreements(self) -> Iterator[Mistake]:
        yield from Target.disagreements(self)
        if self.timeout > self.interval:
            longest = format_duration(self.interval)
            wrong = f"the timeout {format_duration(self.timeout)} is longer than the interval {longest}"
            yield ("timeout",), wrong, f"write at most {longest}"


class Config(Part):
    """The configuration of tokencost-exporter."""

    scrape: Scrape = Field(default_factory=Scrape)
    live: Live = Field(default_factory=Live)
    prices: Prices = Field(default_factory=Prices)
    pools: tuple[Pool, ...] = ()
    gateways: tuple[Gateway, ...] = ()
    tenants: Tenants = Field(default_factory=Tenants)
    budgets: tuple[Budget, ...] = ()
    otlp: Otlp | None = None
    _sharing: tuple[Pool, ...] | None = PrivateAttr(default=None)

    @property
    def sharing(self) -> tuple[Pool, ...]:
        """The pools among which GPUs are divided: those of other shards, too, that read them from the same sources."""
        return self.pools if self._sharing is None else self._sharing

    def share_gpus(self, pools: Iterable[Pool]) -> None:
        """Of one shard's config, as it is made: those pools, in the order of the whole."""
        self._sharing = tuple(pools)

    def disagreements(self) -> Iterator[Mistake]:
        if not self.pools and not self.gateways:
            yield (), "there are neither pools nor gateways", "add at least one pool, see README.md"
