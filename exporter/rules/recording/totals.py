"""Spend of tenants over days, made of recorded hours: a range of 30 days over the raw counters of a thousand tenants is
more than a Prometheus takes. And the ratios of budgets, whose sums the exporter's ledger makes."""

from __future__ import annotations

from exporter.rules.rule import Group, Record, per_budget, promql

TOTALS = Group(
    "tokencost-totals",
    (
        Record(
            "tenant:tokencost_spend_usd:increase1h",
            "sum by ($by, tenant) (increase(tokencost_spend_usd_total[1h]))",
        ),
        # Hours that begin every 5 minutes, so each minute is there 12 times; the sum trails by half an hour. A second
        # less than a day: before version 3 of Prometheus both ends of a range count.
        Record(
            "tenant:tokencost_spend_usd:increase1d",
            "sum_over_time(tenant:tokencost_spend_usd:increase1h[86399s:5m]) / 12",
        ),
        # Only where the server still has what was recorded 30 days ago: with a shorter retention the sum would be too
        # low, and would not show it.
        Record(
            "tenant:tokencost_spend_usd:increase30d",
            promql("""
                sum_over_time(tenant:tokencost_spend_usd:increase1h[2591999s:1h])
                and on ($by)
                max by ($by) (max_over_time(tenant:tokencost_spend_usd:increase1h[1h] offset 30d))
            """),
        ),
        Record(
            "budget:tokencost_budget_consumed:ratio",
            per_budget("tokencost_budget_spent_usd / (tokencost_budget_limit_usd > 0)"),
        ),
        Record(
            "budget:tokencost_budget_forecast:ratio",
            per_budget("tokencost_budget_forecast_usd / (tokencost_budget_limit_usd > 0)"),
        ),
        Record(
            "budget:tokencost_budget_elapsed:ratio",
            promql("""
                clamp(
                  max by ($by, budget) (
                    (time() - tokencost_budget_period_start_timestamp_seconds)
                    / (
                      tokencost_budget_period_end_timestamp_seconds - tokencost_budget_period_start_timestamp_seconds
                      > 0
                    )
                  ),
                  0, 1
                )
            """),
        ),
    ),
    interval="1m",
)
