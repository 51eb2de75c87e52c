"""Rendering 100,000 series against prometheus_client's generate_latest on the same series in the same run."""

from __future__ import annotations

import gzip
import random
import statistics
import time
from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, generate_latest

from exporter.ledger.accounts import Family, Labels
from exporter.publish.catalog import USD
from exporter.publish.writer import Exposition
from tests.publish.world import SPEND, view

SERIES = 100_000
CLASSES = ("input", "cache_read", "cache_write", "output", "reasoning")


def accounts() -> list[Labels]:
    """Tenants x models x token types; a line is about 130 bytes."""
    return [
        (f"team-{number // 10:05d}", ("qwen3-32b", "llama-3.3-70b")[number // 5 % 2], "h100-eu-1", CLASSES[number % 5])
        for number in range(SERIES)
    ]


def median_us(rounds: int, prepare: Callable[[], object], work: Callable[[], object]) -> float:
    """Median CPU microseconds of `work`, which a busy machine disturbs least; `prepare` goes before, unmeasured."""
    times = []
    for _ in range(rounds):
        prepare()
        start = time.thread_time_ns()
        result = work()
        times.append((time.thread_time_ns() - start) / 1e3)
        del result
    return statistics.median(times)


def rows(rounds: int = 15, peer_rounds: int = 3) -> list[dict[str, Any]]:
    """Each row: name, ours_us, peer, peer_us, ratio = peer_us / ours_us."""
    chance = random.Random(20261121)
    labels = accounts()
    registry = CollectorRegistry()
    counter = Counter(
        SPEND, "US dollars attributed to use.", ("tenant", "model_name", "pool", "token_type"), registry=registry
    )
    children = [counter.labels(*own) for own in labels]
    books = Family(SPEND)
    for own, child in zip(labels, children, strict=True):
        amount = round(10 ** chance.uniform(6, 16))  # a millionth of a dollar to ten thousand
        books.add(own, amount)
        child.inc(amount / USD)

    def change(count: int) -> Callable[[], None]:
        def add() -> None:
            for number in range(SERIES) if count == SERIES else chance.sample(range(SERIES), count):
                books.add(labels[number], 1 + chance.getrandbits(33))

        return add

    exposition = Exposition()

    def page(squeezed: bool) -> bytes:
        return exposition.update(view(books)).body("text", squeezed)

    size = len(page(False)) // SERIES
    peer_us = median_us(peer_rounds, lambda: None, lambda: generate_latest(registry))
    gzip_us = median_us(1, lambda: None, lambda: gzip.compress(generate_latest(registry))) - peer_us
    every, some, none = change(SERIES), change(SERIES // 100), lambda: None
    served = "generate_latest + gzip, as it serves"
    cases = [
        ("all changed", median_us(rounds, every, lambda: page(False)), "generate_latest", peer_us),
        ("1 % changed", median_us(rounds, some, lambda: page(False)), "generate_latest", peer_us),
        ("none changed", median_us(rounds, none, lambda: page(False)), "generate_latest", peer_us),
        ("all changed, gzip", median_us(rounds, every, lambda: page(True)), served, peer_us + gzip_us),
        ("1 % changed, gzip", median_us(rounds, some, lambda: page(True)), served, peer_us + gzip_us),
    ]
    return [
        {
            "name": f"render {SERIES} series of {size} B, {name}",
            "ours_us": ours_us,
            "peer": f"prometheus_client {peer}",
            "peer_us": theirs_us,
            "ratio": theirs_us / ours_us,
        }
        for name, ours_us, peer, theirs_us in cases
    ]


if __name__ == "__main__":
    for row in rows():
        print("{name:52} {ours_us:10,.0f} us   {peer:44} {peer_us:12,.0f} us  {ratio:8,.0f}x".format(**row))
