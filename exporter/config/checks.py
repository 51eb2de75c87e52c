"""What is wrong between the parts of a config, and what this version cannot do yet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any, NamedTuple

from exporter.config.schema import Config, StaticGpus, Target
from exporter.config.types import Loc, Mistake


class Missing(NamedTuple):
    """A feature that the schema knows and this version does not have."""

    path: tuple[str, ...]  # "*" is every item
    values: frozenset[str] | None  # the values that ask for it; None: anything but an empty one
    wrong: str
    fix: str


LATER_GATEWAYS = frozenset({"agentgateway", "kong", "epp", "aibrix", "kthena", "smg", "custom"})
AVAILABLE_ENGINES = ("auto", "vllm", "sglang", "llamacpp")
LATER_ENGINES = frozenset(
    {"tgi", "tei", "triton", "trtllm", "nim", "dynamo", "lmdeploy", "ray_serve", "kserve", "xinference", "custom"}
)
MISSING = (
    Missing(
        ("pools", "*", "engine"),
        LATER_ENGINES,
        "this engine is not available in this version",
        f"write one of: {', '.join(AVAILABLE_ENGINES)}",
    ),
    Missing(
        ("gateways", "*", "engine"),
        LATER_GATEWAYS,
        "this gateway is not available in this version",
        "write one of: auto, litellm, envoy_ai_gateway, otel_genai",
    ),
    Missing(
        ("pools", "*", "gpus", "source"),
        frozenset({"nvml", "dcgm"}),
        "reading GPUs from NVML or dcgm-exporter is not available in this version",
        "write the number of GPUs and their product: {count: 4, product: ...}",
    ),
    Missing(
        ("pools", "*", "busy_from"),
        frozenset({"gpu_utilization"}),
        "busy time from GPU utilization is not available in this version",
        "write busy_from: auto",
    ),
    Missing(
        ("prices", "energy"),
        None,
        "the price of energy is not available in this version",
        "remove the key, and put it into overhead_usd_per_hour",
    ),
    Missing(
        ("budgets",),
        None,
        "budgets are not available in this version",
        "remove the key; an alert on tokencost_spend_usd_total does for now",
    ),
)


def unavailable(data: Any) -> Iterator[Mistake]:
    """Every use of what this version does not have: an error, never silence. Works on data that may be wrong."""
    for missing in MISSING:
        for loc, value in walk(data, missing.path):
            asked = value in missing.values if missing.values and isinstance(value, str) else not missing.values
            if asked and value:
                yield loc, missing.wrong, missing.fix


def walk(data: Any, path: tuple[str, ...]) -> Iterator[tuple[Loc, Any]]:
    """What stands at the path, as far as it is there."""
    if not path:
        yield (), data
        return
    items: Any = enumerate(data) if path[0] == "*" and isinstance(data, list) else ()
    if isinstance(data, dict) and path[0] in data:
        items = ((path[0], data[path[0]]),)
    for step, item in items:
        yield from (((step, *loc), value) for loc, value in walk(item, path[1:]))


def disagreements(config: Config, today: date) -> Iterator[Mistake]:
    """Names that nobody has, names and targets that two have, products without a price on that day (UTC)."""
    yield from twice(config)
    yield from unpriced(config, today)
    yield from unknown(config)


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


def unpriced(config: Config, today: date) -> Iterator[Mistake]:
    prices = config.prices.gpus
    known = ", ".join(dict.fromkeys(repr(price.product) for price in prices if price.holds_on(today)))
    for index, pool in enumerate(config.pools):
        if pool.usd_per_gpu_hour is not None or not isinstance(pool.gpus, StaticGpus):
            continue
        product = pool.gpus.product
        if not product:
            fix = "add product to gpus (and its price to prices.gpus), or usd_per_gpu_hour to the pool"
            yield ("pools", index, "gpus"), "nothing says what these GPUs cost", fix
        elif not any(price.covers(product, today) for price in prices):
            wrong = f"no price for {product!r} holds on {today}"
            fix = f"add one to prices.gpus, which now has {known or 'none'}, or set usd_per_gpu_hour"
            yield ("pools", index, "gpus", "product"), wrong, fix


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
