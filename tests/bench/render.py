"""Rendering 100,000 series against prometheus_client's generate_latest on the same series in the same run."""

from __future__ import annotations

import gzip
import random
import time
from collections.abc import Callable
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Counter, generate_latest

from exporter.ledger.accounts import Family, Labels
from exporter.publish.catalog import USD
from exporter.publish.writer import Exposition
from tests.bench.table import Row, compared, markdown
from tests.publish.world import SPEND, view

SERIES = 100_000
CLASSES = ("input", "cache_read", "cache_write", "output", "reasoning")


def accounts() -> list[Labels]:
    """Tenants x models x token types; a line is about 130 bytes."""
    return [
        (f"team-{number // 10:05d}", ("qwen3-32b", "llama-3.3-70b")[number // 5 % 2], "h100-eu-1", CLASSES[number % 5])
        for number in range(SERIES)
    ]


def timed_us(prepare: Callable[[], object], work: Callable[[], object]) -> float:
    """CPU microseconds of `work`, which a busy machine disturbs least; `prepare` goes before, unmeasured."""
    prepare()
    start = time.thread_time_ns()
    result = work()
    took = (time.thread_time_ns() - start) / 1e3
    del result
    return took


def rows(rounds: int = 5) -> list[Row]:
    """In each round the peer once, and ours with all values changed, some and none, with gzip and without."""
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
    every, some, none = change(SERIES), change(SERIES // 100), lambda: None
    cases = {
        ("all changed", False): (every, 100.0),
        ("1 % changed", False): (some, 300.0),
        ("none changed", False): (none, None),
        ("all changed, gzip", True): (every, None),
        ("1 % changed, gzip", True): (some, None),
    }
    ours: dict[tuple[str, bool], list[float]] = {case: [] for case in cases}
    theirs: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(rounds):
        theirs[False].append(timed_us(none, lambda: generate_latest(registry)))
        theirs[True].append(timed_us(none, lambda: gzip.compress(generate_latest(registry))))
        for (name, squeezed), (prepare, _) in cases.items():
            ours[name, squeezed].append(timed_us(prepare, lambda squeezed=squeezed: page(squeezed)))  # type: ignore[misc]
    peer = f"prometheus_client {version('prometheus_client')} generate_latest"
    return [
        compared(
            f"render {SERIES:,} series of {size} B, {name}", "ms", [us / 1e3 for us in ours[name, squeezed]],
            peer + (" + gzip, as it serves" if squeezed else ""), [us / 1e3 for us in theirs[squeezed]], goal,
        )
        for (name, squeezed), (_, goal) in cases.items()
    ]  # fmt: skip


if __name__ == "__main__":
    print(markdown(rows()))
