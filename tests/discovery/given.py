"""What tests of discovery share: configs, addresses, and waiting while time flies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from exporter.config.discovery import Discover, DiscoverEndpoints
from exporter.config.schema import Config
from exporter.discovery.found import Address, labels
from exporter.records import NS
from tests.clock import ManualClock

NOON = 1_800_000_000 * NS  # Unix
FILES: dict[str, Any] = {"file_sd": {"files": ("/nowhere/*.json",)}}


def spec(**keys: Any) -> Discover:
    return DiscoverEndpoints.model_validate(keys or FILES)


def pool(name: str, *sources: dict[str, Any], urls: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    lists = {"endpoints": [{"url": url} for url in urls], "discover": list(sources)}
    rest = {"gpus": {"per_endpoint": Decimal(2)}, "usd_per_gpu_hour": Decimal(1), **more}
    return {"name": name, **{key: value for key, value in lists.items() if value}, **rest}


def gateway(name: str, *sources: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "discover": list(sources), "routes": [{"model": "*", "provider": "openai"}]}


def config(*pools: dict[str, Any], **more: Any) -> Config:
    return Config.model_validate({"pools": list(pools), **more})


def at(host: str, **pairs: str) -> Address:
    return Address(host, labels(**pairs))


async def flies(clock: ManualClock, until: Callable[[], object], what: str) -> None:
    """Let time pass until it is so; fails after 20 s of real time."""
    try:
        async with asyncio.timeout(20):
            while not until():
                clock.advance(NS // 10)
                await asyncio.sleep(0.001)
    except TimeoutError:
        raise AssertionError(f"never: {what}") from None
