"""What is usual, by the hour over a week, for alerts that compare with it.

A median of fewer than 24 hours is nobody's habit, and is left out.
"""

from __future__ import annotations

from exporter.rules.rule import Group, Record, promql

_DAY = "24"

BASELINES = Group(
    "tokencost-baselines",
    (
        Record(
            "pool_model:tokencost_token_inflation:ratio1w",
            promql("""
                (
                  sum_over_time(pool_model:tokencost_tokens:rate1h[7d:1h])
                  / (sum_over_time(pool_model:tokencost_requests:rate1h[7d:1h]) > 0)
                )
                /
                (
                  sum_over_time(pool_model:tokencost_tokens:rate1h[7d:1h] offset 7d)
                  / (sum_over_time(pool_model:tokencost_requests:rate1h[7d:1h] offset 7d) > 0)
                  > 0
                )
            """),
        ),
        # The busiest hour of a week that ended a day ago: what goes on now is not its own measure. Of a tenant who was
        # there a day before that.
        Record(
            "tenant:tokencost_tokens:peak_rate1h_1w",
            promql("""
                max_over_time(tenant:tokencost_tokens:rate1h[7d:1h] offset 1d)
                and
                max_over_time(tenant:tokencost_tokens:rate1h[1h] offset 2d)
            """),
        ),
        Record(
            "tenant:tokencost_spend_usd:median_rate1h_1w",
            "quantile_over_time(0.5, tenant:tokencost_spend_usd:rate1h[7d:1h])",
        ),
        # The same hour a week ago, or one earlier or later: summer time moves it.
        Record(
            "tenant:tokencost_spend_usd:last_week_rate1h",
            "max_over_time(tenant:tokencost_spend_usd:rate1h[2h] offset 167h)",
        ),
        # The larger of the two. Who was not there last week has nothing usual.
        Record(
            "tenant:tokencost_spend_usd:usual_rate1h",
            promql("""
                (tenant:tokencost_spend_usd:last_week_rate1h > tenant:tokencost_spend_usd:median_rate1h_1w)
                or
                (tenant:tokencost_spend_usd:median_rate1h_1w and tenant:tokencost_spend_usd:last_week_rate1h)
            """),
        ),
        Record(
            "tenant:tokencost_spend_anomaly:score",
            "tenant:tokencost_spend_usd:rate1h / (tenant:tokencost_spend_usd:usual_rate1h > 0)",
        ),
        Record(
            "pool:tokencost_cost_usd_per_token:median1w",
            promql(f"""
                quantile_over_time(0.5, pool:tokencost_cost_usd_per_token:ratio_rate1h[7d:1h])
                and
                count_over_time(pool:tokencost_cost_usd_per_token:ratio_rate1h[7d:1h]) >= {_DAY}
            """),
        ),
        Record(
            "pool:tokencost_tokens:median_rate1h_1w",
            "quantile_over_time(0.5, pool:tokencost_tokens:rate1h[7d:1h])",
        ),
        Record(
            "pool_model:tokencost_cache_hit:median1w",
            promql(f"""
                quantile_over_time(0.5, pool_model:tokencost_cache_hit:ratio_rate1h[7d:1h])
                and
                count_over_time(pool_model:tokencost_cache_hit:ratio_rate1h[7d:1h]) >= {_DAY}
            """),
        ),
    ),
    interval="2m",
)
