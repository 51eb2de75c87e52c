"""Simulated engines on real HTTP, and what they truly served."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

from exporter.demo.engine import SimEngine
from tests.process.exporter import Tokens
from tests.sources.servers import http, serve

LABEL = "lora_name"
TENANTS = ("acme", "globex")


def vllm(model: str = "m", *, process_metrics: bool = True) -> SimEngine:
    """A vLLM that has been up for a while, served no one yet, and labels its tenants."""
    start = time.time() - 1000
    return SimEngine(model, start=start, tenant_label=LABEL, tenants=TENANTS, process_metrics=process_metrics)


@asynccontextmanager
async def serving(engine: SimEngine) -> AsyncIterator[str]:
    """Its page on a free port; yields the URL."""

    async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(http(engine.page(), "Connection: close"))

    async with serve(answer) as (origin, _):
        yield f"{origin}/metrics"


def dice(seed: int) -> Random:
    """What the traffic is drawn from."""
    return Random(seed)


def traffic(engine: SimEngine, dice: Random, requests: int = 3) -> None:
    """Some requests, all at once."""
    for _ in range(requests):
        prompt, output = dice.randint(1, 5000), dice.randint(1, 800)
        engine.serve(
            engine.models[0], tenant=dice.choice(TENANTS), prompt=prompt, cached=dice.randint(0, prompt), output=output,
            queue_seconds=0.01, prefill_seconds=prompt / 5000, decode_seconds=output / 50,
        )  # fmt: skip


def truth(engine: SimEngine) -> Tokens:
    return {key: tokens for key, tokens in engine.truth.items()}  # noqa: C416 - widens the type of its keys
