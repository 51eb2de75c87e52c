"""What a page does not say, and what each of these costs in accuracy or safety."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from exporter.probe.page import Page
from exporter.records import Measure

FIT: frozenset[Measure] = frozenset({"steps", "inter_tokens", "inter_token_seconds"})

ONE_ADDRESS = "Several processes behind one address cannot be seen: give each its own endpoint"


def _no_start(page: Page) -> bool:
    return page.starts == 0 and page.engine.own_start


Lack = tuple[Callable[[Page], object], str, str]  # true where it is missing; what; what that costs

BOTH: tuple[Lack, ...] = (
    (
        lambda page: not page.tokens,
        "token counters",
        "nothing to count yet: send a request and probe again to see what is there",
    ),
    (
        lambda page: page.tokens and "cache_read" not in page.classes,
        "cached tokens",
        "prompt tokens from a cache are charged as input, until a counter of them appears",
    ),
    (
        lambda page: page.requests is None,
        "requests",
        "tokencost_requests_total has no series; contexts of tenants are not known",
    ),
    (
        lambda page: page.starts > 1,
        "one start time",
        "there are several: processes are gathered on this page, and none of them is believed",
    ),
    (
        lambda page: not page.engine.own_start,
        "start times of what counts",
        "what the page may show is a collector's: restarts show where a counter falls",
    ),
)
ENGINE: tuple[Lack, ...] = (
    (lambda page: "" in page.tokens, "model name", "set `model` on the endpoint; one address then is one model"),
    (
        _no_start,
        "start time",
        "a restart shows only where a counter falls, and nothing proves that the engine was alive while the exporter "
        "was down: that time costs nothing, and its tokens carry the cost of the first tick after. " + ONE_ADDRESS,
    ),
    (
        lambda page: not page.measures.keys() >= FIT,
        "scheduler steps",
        "split: fitted falls back to weights, fixed ratios between prompt and output",
    ),
    (
        lambda page: not page.seconds.keys() >= {"prefill", "decode"},
        "prefill and decode seconds",
        "no split: compute_time, and no request-seconds by phase",
    ),
    (
        lambda page: page.running is None,
        "running requests",
        "a long request that has counted no token yet looks like idle time",
    ),
    (
        lambda page: page.tenant_label is None,
        "tenants",
        "no label looks like one: give the whole pool a tenant, or name the gateway that stands before it",
    ),
)
GATEWAY: tuple[Lack, ...] = (
    (lambda page: "" in page.tokens, "model name", "what names none is one model, called as the gateway is"),
    (_no_start, "start time", f"a restart shows only where a counter falls. {ONE_ADDRESS}"),
    (
        lambda page: page.tokens and "reasoning" not in page.classes,
        "reasoning tokens",
        "they are output, and priced as such",
    ),
    (
        lambda page: page.tenant_label is None,
        "tenants",
        "no label looks like one: what comes through here is _unattributed until tenant_label names a label",
    ),
)


def lacks(page: Page) -> Iterator[tuple[str, str]]:
    """(what is missing, what that costs)."""
    for missing, what, cost in (*BOTH, *(GATEWAY if page.gateway else ENGINE)):
        if missing(page):
            yield what, cost
