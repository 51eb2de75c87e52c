"""How much of a pool's active cost each token class carries: units per token, per model.

Three methods. `fitted` (fitted.py): what a token costs the engine, from its own counters of steps. `weights`: the
ratios the user set, and what fitted falls back to. `compute_time`: the engine's own prefill and decode seconds, divided
by the tokens they served, so that a token costs in proportion to the request-time its phase takes; inside a phase the
classes keep the ratios of `weights` (a cached token costs weights.cache_read of an uncached one). Only sums of seconds
per phase will do there: vLLM's request_time_per_output_token_seconds sums a mean per request, and splitting by it moves
most of the cost to the wrong phase.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from itertools import chain

from exporter.columns import Columns, Kind
from exporter.config.schema import Weights
from exporter.ledger.money import apportion
from exporter.records import PROMPT_CLASSES, TOKEN_CLASSES, TokenClass

FITTED, COMPUTE_TIME, WEIGHTS = "fitted", "compute_time", "weights"
Units = Mapping[Kind, int]  # units per token
Shares = dict[Kind, list[int]]  # units of each entry of a column, in its order

_SCALE = 10**9


def timed_units(
    weights: Weights, models: Iterable[str], amounts: Mapping[tuple[str, str], int]
) -> dict[Kind, int] | None:
    """Units per token from `amounts`: (model, class) -> tokens and (model, "prefill" | "decode") -> nanoseconds.

    None when a model has no seconds or no tokens in one of the phases: then the seconds say nothing, and a model
    measured in seconds cannot be compared with one measured in ratios.
    """
    units: dict[Kind, int] = {}
    for model in models:
        for phase, prompt in (("prefill", True), ("decode", False)):
            classes = [token for token in TOKEN_CLASSES if (token in PROMPT_CLASSES) == prompt]
            weighted = sum(amounts.get((model, token), 0) * static_weight(weights, token) for token in classes)
            nanoseconds = amounts.get((model, phase), 0)
            if weighted <= 0 or nanoseconds <= 0:
                return None
            for token in classes:
                units[model, token] = nanoseconds * static_weight(weights, token) * _SCALE // weighted
    return units


def shares(tokens: Columns, units: Units) -> Shares:
    """Units of each entry of `tokens`, in the columns' order; plain token counts where no entry weighs anything."""
    return weighing(tokens, {kind: [n * units[kind] for n in column.values()] for kind, column in tokens.items()})


def weight_shares(weights: Weights, tokens: Columns) -> Shares:
    """Units of each entry of `tokens` by the user's ratios."""
    ratios = {token: static_weight(weights, token) for token in TOKEN_CLASSES}
    return shares(tokens, {kind: ratios[kind[1]] for kind in tokens})


def weighing(columns: Columns, units: Shares) -> Shares:
    """`units`, or plain amounts where no entry weighs anything."""
    return units if any(map(any, units.values())) else counts(columns)


def counts(columns: Columns) -> Shares:
    """Every token weighs the same."""
    return {kind: list(column.values()) for kind, column in columns.items()}


def divide(amount: int, among: Columns, shares: Shares) -> Columns:
    """Split `amount` among all entries of all columns."""
    parts = iter(apportion(amount, list(chain.from_iterable(shares[kind] for kind in among))))
    return {kind: dict(zip(column, parts, strict=False)) for kind, column in among.items()}


def static_weight(weights: Weights, token: TokenClass) -> int:
    """The user's ratio for that class as an integer; only quotients of two of them mean anything."""
    weight: Decimal = getattr(weights, token)
    return round(weight * _SCALE)
