"""What is wrong between the parts of a config."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from importlib.util import find_spec
from urllib.parse import urlsplit

from exporter.config.gpus import CountedGpus, ExportedGpus
from exporter.config.prices import GpuPrice, Kind, OwnedGpu
from exporter.config.schema import Config, Pool
from exporter.config.shares import oversold
from exporter.config.target import Target
from exporter.config.types import Loc, Mistake
from exporter.sources.gpus import GPUS


def disagreements(config: Config, today: date) -> Iterator[Mistake]:
    """Names that nobody has; names, targets and GPUs that several have; GPUs without a price on that day (UTC)."""
    yield from twice(config)
    yield from read_in_two_ways(config)
    yield from oversold(config.pools)
    yield from unpriced(config, today)
    yield from unpriced_kinds(config, today)
    yield from unknown(config)
    yield from not_installed(config)


def twice(config: Config) -> Iterator[Mistake]:
    for section in ("pools", "gateways", "budgets"):
        first: dict[str, int] = {}
        for index, item in enumerate(getattr(config, section)):
            earlier = first.setdefault(item.name, index)
            if earlier != index:
                wrong = f"the name {item.name!r} is taken by {section}[{earlier}]"
                yield (section, index, "name"), wrong, "choose another name"
    seen: dict[str, str] = {}
    owners: list[tuple[str, int, Sequence[Target]]]
    owners = [("pools", i, pool.endpoints) for i, pool in enumerate(config.pools)]
    owners += [("gateways", i, gateway.endpoints) for i, gateway in enumerate(config.gateways)]
    for section, index, endpoints in owners:
        for number, endpoint in enumerate(endpoints):
            key = f"{section}[{index}].endpoints[{number}].url"
            if (other := seen.setdefault(endpoint.target, key)) != key:
                wrong = f"the same address as {other}: its tokens would be counted twice"
                yield (section, index, "endpoints", number, "url"), wrong, "remove one of the two"


def read_in_two_ways(config: Config) -> Iterator[Mistake]:
    """Addresses of exporters of GPUs: one page for all pools that name it, and no engine's or gateway's."""
    served = {endpoint.target: pool.name for pool in config.pools for endpoint in pool.endpoints}
    served |= {endpoint.target: gateway.name for gateway in config.gateways for endpoint in gateway.endpoints}
    first: dict[str, tuple[int, ExportedGpus]] = {}
    for index, pool in enumerate(config.pools):
        gpus, loc = pool.gpus, ("pools", index, "gpus")
        if not isinstance(gpus, ExportedGpus):
            continue
        if gpus.target in served:
            wrong = f"this is the address of an endpoint of {served[gpus.target]!r}"
            yield (*loc, "url"), wrong, f"write the address of {GPUS[gpus.source].title}"
        earlier, other = first.setdefault(gpus.target, (index, gpus))
        for key in ("source", "url", "basic_auth", "bearer_token_file", "tls"):
            mine, theirs = (urlsplit(g.url).query if key == "url" else getattr(g, key) for g in (gpus, other))
            if mine != theirs:
                wrong = f"pools[{earlier}].gpus reads the same page with another {'query' if key == 'url' else key}"
                yield (*loc, key), wrong, "write the same in both: the page is read once"


def unpriced(config: Config, today: date) -> Iterator[Mistake]:
    prices = config.prices.gpus
    known = ", ".join(dict.fromkeys(repr(price.product) for price in prices if price.holds_on(today)))
    for index, pool in enumerate(config.pools):
        if pool.usd_per_gpu_hour is not None or not isinstance(pool.gpus, CountedGpus):
            continue
        product = pool.gpus.product
        if not product:
            fix = "add product to gpus (and its price to prices.gpus), or usd_per_gpu_hour to the pool"
            yield ("pools", index, "gpus"), "nothing says what these GPUs cost", fix
        elif not any(price.covers(product, today) for price in prices):
            wrong = f"no price for {product!r} holds on {today}"
            fix = f"add one to prices.gpus, which now has {known or 'none'}, or set usd_per_gpu_hour"
            yield ("pools", index, "gpus", "product"), wrong, fix


def unpriced_kinds(config: Config, today: date) -> Iterator[Mistake]:
    """Kinds of purchase that a pool asks for and no row has: for its product on that day, or, where GPUs are
    discovered, at all. A discovered product without a price is no mistake: tokencost_unpriced_gpus counts it."""
    for index, pool in enumerate(config.pools):
        rows: Sequence[GpuPrice | OwnedGpu] = config.prices.gpus
        of_it = ""
        if isinstance(pool.gpus, CountedGpus):
            product = pool.gpus.product
            rows, of_it = [row for row in rows if row.covers(product, today)], f" for {product!r} on {today}"
            if not product or not rows:
                continue  # unpriced says so
        kinds = dict.fromkeys(row.purchase for row in rows)
        for loc, kind in asked(pool):
            if kind not in kinds:
                wrong = f"no row of prices.gpus has purchase: {kind}{of_it}"
                yield (
                    ("pools", index, *loc),
                    wrong,
                    f"add one, or write one of: {', '.join(kinds) or '(there are none)'}",
                )


def asked(pool: Pool) -> Iterator[tuple[Loc, Kind]]:
    """The kinds of purchase that a pool names, and where."""
    if isinstance(pool.purchase, str):
        yield ("purchase",), pool.purchase
    else:
        yield from ((("purchase", kind), kind) for kind in pool.purchase or ())


def unknown(config: Config) -> Iterator[Mistake]:
    pools = {pool.name for pool in config.pools}
    providers = {route.provider for gateway in config.gateways for route in gateway.routes if route.provider}
    have = f"write one of: {', '.join(sorted(pools | providers)) or '(there are none)'}"
    for index, gateway in enumerate(config.gateways):
        for number, route in enumerate(gateway.routes):
            loc = ("gateways", index, "routes", number)
            for pool in route.pools:
                if pool not in pools:
                    yield (*loc, "pool"), f"no pool is called {pool!r}", have
            if route.provider in pools:
                yield (*loc, "provider"), f"{route.provider!r} is the name of a pool", "choose another name for one"
    for index, budget in enumerate(config.budgets):
        if budget.pool and budget.pool not in pools | providers:
            yield ("budgets", index, "pool"), f"no pool or provider is called {budget.pool!r}", have


def not_installed(config: Config, find: Callable[[str], object] = find_spec) -> Iterator[Mistake]:
    """What the config asks for and the environment does not have: opentelemetry and dnspython are extras."""
    if config.otlp and not (find("opentelemetry") and find("opentelemetry.sdk") and find("opentelemetry.proto")):
        fix = "pip install 'tokencost-exporter[otlp]', or remove the key"
        yield ("otlp",), "the packages for pushing are not installed", fix
    for section in ("pools", "gateways"):
        for index, owner in enumerate(getattr(config, section)):
            for number, source in enumerate(owner.discover):
                if source.dns and source.dns.type == "SRV" and not find("dns"):
                    fix = "pip install 'tokencost-exporter[dns]', or look up A or AAAA records"
                    loc = (section, index, "discover", number, "dns", "type")
                    yield loc, "the package that looks up SRV records is not installed", fix
