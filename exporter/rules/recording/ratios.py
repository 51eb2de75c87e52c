"""What a token costs and takes. Numerator and denominator are summed apart and divided last, and nobody divides by 0.

A series that is missing stays missing: without tokens there is no cost per token.
"""

from __future__ import annotations

from exporter.rules.rule import Group, Record, promql

_PROMPT = '{token_type=~"input|cache_read|cache_write"}'
_CACHED = '{token_type="cache_read"}'
_OUTPUT = '{token_type=~"output|reasoning"}'

RATIOS = Group(
    "tokencost-ratios",
    (
        # Tokens that have a price: only they can have a cost.
        Record(
            "pool_model_type:tokencost_priced_tokens:rate1h",
            promql("""
                (pool_model_type:tokencost_tokens:rate1h - pool_model_type:tokencost_unpriced_tokens:rate1h)
                or
                pool_model_type:tokencost_tokens:rate1h
            """),
        ),
        Record(
            "pool_model:tokencost_tokens:rate5m",
            "sum by ($by, pool, model_name) (pool_model_type:tokencost_tokens:rate5m)",
        ),
        Record(
            "pool_model:tokencost_tokens:rate1h",
            "sum by ($by, pool, model_name) (pool_model_type:tokencost_tokens:rate1h)",
        ),
        Record("pool:tokencost_tokens:rate1h", "sum by ($by, pool) (pool_model_type:tokencost_tokens:rate1h)"),
        Record(
            "pool_model:tokencost_tokens_per_request:ratio_rate1h",
            "pool_model:tokencost_tokens:rate1h / (pool_model:tokencost_requests:rate1h > 0)",
        ),
        # Paid APIs only: their pool is the provider, and what they cost is spent at once.
        Record(
            "pool_model:tokencost_api_cost_usd_per_token:ratio_rate1h",
            promql("""
                pool_model:tokencost_spend_usd:rate1h
                / (sum by ($by, pool, model_name) (pool_model_type:tokencost_priced_tokens:rate1h) > 0)
                and on ($by, pool)
                tokencost_allocation_info{method="price_card"}
            """),
        ),
        # All-in: a pool's whole cost, idle included, over its models in the ratio of what they spent.
        Record(
            "pool_model:tokencost_cost_usd:rate1h",
            promql("""
                pool_model:tokencost_spend_usd:rate1h
                * on ($by, pool) group_left ()
                (pool:tokencost_cost_usd:rate1h / (pool:tokencost_spend_usd:rate1h > 0))
            """),
        ),
        Record(
            "pool_model:tokencost_cost_usd_per_token:ratio_rate1h",
            promql("""
                pool_model:tokencost_cost_usd:rate1h
                / (sum by ($by, pool, model_name) (pool_model_type:tokencost_priced_tokens:rate1h) > 0)
            """),
        ),
        Record(
            "pool_model:tokencost_cost_usd_per_output_token:ratio_rate1h",
            promql(f"""
                pool_model:tokencost_cost_usd:rate1h
                / (sum by ($by, pool, model_name) (pool_model_type:tokencost_priced_tokens:rate1h{_OUTPUT}) > 0)
            """),
        ),
        Record(
            "pool:tokencost_cost_usd_per_token:ratio_rate1h",
            promql("""
                pool:tokencost_cost_usd:rate1h
                / (sum by ($by, pool) (pool_model_type:tokencost_priced_tokens:rate1h) > 0)
            """),
        ),
        # The engines' own timers by the engines' own tokens: both are counted at the same place and time.
        Record(
            "pool_model:tokencost_decode_seconds_per_token:ratio_rate1h",
            promql(f"""
                sum by ($by, pool, model_name) (pool_model_phase:tokencost_request_seconds:rate1h{{phase="decode"}})
                / (sum by ($by, pool, model_name) (pool_model_type:tokencost_engine_tokens:rate1h{_OUTPUT}) > 0)
            """),
        ),
        Record(
            "pool_model:tokencost_prefill_seconds_per_token:ratio_rate1h",
            promql(f"""
                sum by ($by, pool, model_name) (pool_model_phase:tokencost_request_seconds:rate1h{{phase="prefill"}})
                / (sum by ($by, pool, model_name) (pool_model_type:tokencost_engine_tokens:rate1h{_PROMPT}) > 0)
            """),
        ),
        # What engines say of their cache is better than what gateways see of it; paid APIs have gateways only.
        Record(
            "pool_model:tokencost_cache_hit:ratio_rate1h",
            promql(f"""
                (
                  sum by ($by, pool, model_name) (pool_model_type:tokencost_engine_tokens:rate1h{_CACHED})
                  / (sum by ($by, pool, model_name) (pool_model_type:tokencost_engine_tokens:rate1h{_PROMPT}) > 0)
                )
                or on ($by, pool)
                (
                  sum by ($by, pool, model_name) (pool_model_type:tokencost_tokens:rate1h{_CACHED})
                  / (sum by ($by, pool, model_name) (pool_model_type:tokencost_tokens:rate1h{_PROMPT}) > 0)
                )
            """),
        ),
        Record(
            "pool:tokencost_gpu_hours_per_million_tokens:ratio_rate1h",
            "(pool:tokencost_gpu_seconds:rate1h * 1e6 / 3600) / (pool:tokencost_tokens:rate1h > 0)",
        ),
        Record(
            "pool:tokencost_joules_per_token:ratio_rate1h",
            "pool:tokencost_gpu_energy_joules:rate1h / (pool:tokencost_tokens:rate1h > 0)",
        ),
        Record(
            "pool:tokencost_idle_cost:ratio_rate1h",
            "pool:tokencost_idle_cost_usd:rate1h / (pool:tokencost_cost_usd:rate1h > 0)",
        ),
        # A pool that spends, and has nothing without a tenant, has a share of 0: that is known.
        Record(
            "pool:tokencost_unattributed_spend:ratio_rate1h",
            promql("""
                (pool:tokencost_unattributed_spend_usd:rate1h or (0 * pool:tokencost_spend_usd:rate1h))
                / (pool:tokencost_spend_usd:rate1h > 0)
            """),
        ),
        # Positive: tokens that engines counted and no gateway put to a tenant. Negative: gateways report more.
        Record(
            "pool:tokencost_engine_gateway_gap:ratio_rate1h",
            promql("""
                1
                - (pool:tokencost_attributed_tokens:rate1h or (0 * pool:tokencost_engine_tokens:rate1h))
                / (pool:tokencost_engine_tokens:rate1h > 0)
            """),
        ),
    ),
    interval="1m",
)
