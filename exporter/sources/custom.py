"""A mapping of the config as a table like those beside it: read, counted and kept in the ledger the same way.

One of its names at least must be on a page, so that a misspelt mapping is a failed scrape and not an idle engine.
"""

from __future__ import annotations

from dataclasses import replace

from exporter.config.custom import Custom, CustomGateway, CustomPool, Metric
from exporter.records import Phase, TokenClass
from exporter.sources.engine import Engine, Seconds, Signal, Tokens

CUSTOM = "custom"
PHASES: tuple[Phase, ...] = ("queue", "prefill", "decode")
Labels = tuple[tuple[str, str], ...]


def custom_engine(custom: Custom | None) -> Engine | None:
    """The table of a mapping; None where there is none."""
    if custom is None:
        return None
    table = Engine(
        name=CUSTOM,
        marks=(),
        required=(),
        tokens=tuple(
            Tokens(*_series(metric), moves=_moves(custom, kind)) for kind, metric in custom.tokens.given().items()
        ),
        model_label=custom.model_label,
        alias_label=custom.alias_label if isinstance(custom, CustomGateway) else None,
        requests=(Signal(*_series(custom.requests)),) if custom.requests else (),
        one_process=custom.one_process,
        own_start=custom.one_process,
    )
    if isinstance(custom, CustomPool):
        timed = [(phase, getattr(custom.seconds, phase)) for phase in PHASES]
        running, waiting, kv_cache = (
            Signal(*_series(metric)) if metric else None for metric in (custom.running, custom.waiting, custom.kv_cache)
        )
        seconds = tuple(Seconds(*_series(metric), phase=phase) for phase, metric in timed if metric)
        table = replace(table, seconds=seconds, running=running, waiting=waiting, kv_cache=kv_cache)
    return replace(table, required=(tuple(sorted(table.names)),))


def _series(metric: Metric) -> tuple[tuple[str, ...], Labels, Labels]:
    return metric.names, tuple(metric.only.items()), tuple(metric.skip.items())


def _moves(custom: Custom, kind: TokenClass) -> tuple[tuple[TokenClass, int], ...]:
    """A class that is counted in another one as well is taken out of that."""
    if custom.prompt_includes_cached and kind in {"cache_read", "cache_write"}:
        return (kind, 1), ("input", -1)
    if custom.output_includes_reasoning and kind == "reasoning":
        return (kind, 1), ("output", -1)
    return ((kind, 1),)
