"""Alerts about money and who spends it. A relative condition never stands alone: below some dollars it is nobody's
business."""

from __future__ import annotations

from exporter.rules.rule import DEBUG, EXECUTIVE, EXPORTER, ONCALL, Alert, Group, promql

SPENDING = Group(
    "tokencost-spending",
    (
        Alert(
            "SpendAnomaly",
            promql("""
                (tenant:tokencost_spend_usd:rate1h - tenant:tokencost_spend_usd:usual_rate1h) * 3600 > $usd_per_hour
                and
                tenant:tokencost_spend_usd:rate1h > $ratio * tenant:tokencost_spend_usd:usual_rate1h
            """),
            "A tenant spends far more than at this hour of last week.",
            "Tenant {{ $labels.tenant }} has spent {{ $value | humanize }} USD more than usual in the last hour.",
            ONCALL,
            ("tenant",),
        ),
        Alert(
            "TokenRateSpike",
            promql("""
                tenant:tokencost_tokens:rate5m > $tokens_per_second
                and
                tenant:tokencost_tokens:rate5m > $ratio * tenant:tokencost_tokens:peak_rate1h_1w
            """),
            "A tenant uses tokens far faster than in the busiest hour of its week.",
            "Tenant {{ $labels.tenant }} uses {{ $value | humanize }} tokens per second: a runaway, or a leaked key.",
            ONCALL,
            ("tenant",),
        ),
        Alert(
            "CostPerTokenHigh",
            # With at least as many tokens as usual: with fewer, the same cost over less is idle cost.
            promql("""
                1e6 * pool:tokencost_cost_usd_per_token:ratio_rate1h
                > $ratio * (1e6 * pool:tokencost_cost_usd_per_token:median1w)
                and
                pool:tokencost_tokens:rate1h * 3600 > $tokens_per_hour
                and
                pool:tokencost_tokens:rate1h >= pool:tokencost_tokens:median_rate1h_1w
            """),
            "Tokens cost far more than in the last week, with no less traffic.",
            "A million tokens of pool {{ $labels.pool }} cost {{ $value | humanize }} USD, all-in.",
            DEBUG,
            ("pool",),
        ),
        Alert(
            "IdleCostHigh",
            promql("""
                pool:tokencost_idle_cost:ratio_rate1h > $share
                and
                pool:tokencost_idle_cost_usd:rate1h * 3600 > $usd_per_hour
            """),
            "Most of what a pool costs is paid for idle time.",
            "{{ $value | humanizePercentage }} of the cost of pool {{ $labels.pool }} is used by no one.",
            EXECUTIVE,
            ("pool",),
        ),
        Alert(
            "UnattributedCostHigh",
            promql("""
                pool:tokencost_unattributed_spend:ratio_rate1h > $share
                and
                pool:tokencost_unattributed_spend_usd:rate1h * 3600 > $usd_per_hour
            """),
            "Nobody is named for a good part of a pool's spend.",
            "{{ $value | humanizePercentage }} of what pool {{ $labels.pool }} spends is no tenant's.",
            DEBUG,
            ("pool",),
        ),
        Alert(
            "UnpricedUsage",
            # Tokens on GPUs without a price are said once, as the GPUs.
            promql("""
                (max by ($by, pool) (tokencost_unpriced_gpus) > 0)
                or
                (
                  sum by ($by, pool, model_name) (increase(tokencost_unpriced_tokens_total[1h])) > 0
                  unless on ($by, pool)
                  max by ($by, pool) (tokencost_unpriced_gpus) > 0
                )
            """),
            "Something that has no price is in use: every total is too low.",
            "Pool {{ $labels.pool }} uses {{ $value | humanize }} {{ if $labels.model_name }}tokens an hour of "
            "{{ $labels.model_name }}{{ else }}GPUs{{ end }} without a price.",
            DEBUG,
            ("pool", "model_name"),
        ),
        Alert(
            "TenantOverflow",
            "sum by ($by) (increase(tokencost_tenant_overflow_tokens_total[1h])) > 0",
            "There are more tenants than the config allows: the later ones are counted together.",
            "{{ $value | humanize }} tokens of the last hour are counted as tenant _other.",
            EXPORTER,
        ),
    ),
)
