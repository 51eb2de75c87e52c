"""Counters as rates, summed to the levels that ratios and alerts need. A rate is taken of each series, then summed."""

from __future__ import annotations

from exporter.rules.rule import Group, Record


def _rate(level: str, metric: str, window: str, labels: str, selector: str = "") -> Record:
    name = metric.removesuffix("_total")
    expr = f"sum by ($by, {labels}) (rate({metric}{selector}[{window}]))"
    return Record(f"{level}:{name}:rate{window}", expr)


_TOKENS, _SPEND = "tokencost_tokens_total", "tokencost_spend_usd_total"
_TYPE, _MODEL = "pool, model_name, token_type", "pool, model_name"

RATES = Group(
    "tokencost-rates",
    (
        _rate("pool_model_type", _TOKENS, "5m", _TYPE),
        _rate("pool_model_type", _TOKENS, "1h", _TYPE),
        _rate("pool_model_type", "tokencost_unpriced_tokens_total", "1h", _TYPE),
        _rate("pool_model_type", "tokencost_engine_tokens_total", "1h", _TYPE),
        _rate("pool_model", "tokencost_requests_total", "1h", _MODEL),
        _rate("pool_model", _SPEND, "1h", _MODEL),
        _rate("pool_model_phase", "tokencost_request_seconds_total", "1h", "pool, model_name, phase"),
        _rate("pool", "tokencost_cost_usd_total", "1h", "pool"),
        _rate("pool", "tokencost_idle_cost_usd_total", "1h", "pool"),
        _rate("pool", "tokencost_gpu_seconds_total", "1h", "pool"),
        _rate("pool", "tokencost_gpu_energy_joules_total", "1h", "pool"),
        _rate("tenant", _TOKENS, "5m", "tenant"),
        _rate("tenant", _TOKENS, "1h", "tenant"),
        _rate("tenant", _SPEND, "1h", "tenant"),
        Record(
            "pool:tokencost_unattributed_spend_usd:rate1h",
            f'sum by ($by, pool) (rate({_SPEND}{{tenant="_unattributed"}}[1h]))',
        ),
        Record(
            "pool:tokencost_attributed_tokens:rate1h",
            f'sum by ($by, pool) (rate({_TOKENS}{{tenant!="_unattributed"}}[1h]))',
        ),
        Record("pool:tokencost_spend_usd:rate1h", "sum by ($by, pool) (pool_model:tokencost_spend_usd:rate1h)"),
        Record(
            "pool:tokencost_engine_tokens:rate1h",
            "sum by ($by, pool) (pool_model_type:tokencost_engine_tokens:rate1h)",
        ),
        Record("pool:tokencost_requests_waiting:sum", "sum by ($by, pool) (tokencost_requests_waiting)"),
    ),
    interval="1m",
)
