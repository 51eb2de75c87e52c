"""Alerts about what makes tokens dear or wrong before the money shows it."""

from __future__ import annotations

from exporter.rules.rule import DEBUG, Alert, Group, promql

SERVING = Group(
    "tokencost-serving",
    (
        Alert(
            "CacheHitDrop",
            promql("""
                pool_model:tokencost_cache_hit:ratio_rate1h < $ratio * pool_model:tokencost_cache_hit:median1w
                and
                pool_model:tokencost_cache_hit:median1w >= $usual
                and on ($by, pool)
                pool:tokencost_tokens:rate1h * 3600 > $tokens_per_hour
            """),
            "Far fewer prompt tokens come from the cache than usual: the same requests cost more.",
            "{{ $value | humanizePercentage }} of the prompt tokens of {{ $labels.model_name }} in pool "
            "{{ $labels.pool }} come from the cache.",
            DEBUG,
            ("pool", "model_name"),
        ),
        Alert(
            "QueueGrowing",
            promql("""
                avg_over_time(pool:tokencost_requests_waiting:sum[10m])
                - avg_over_time(pool:tokencost_requests_waiting:sum[10m] offset 20m)
                > $requests
                and
                min_over_time(pool:tokencost_requests_waiting:sum[15m]) > 0
            """),
            "A pool gets more requests than it serves.",
            "{{ $value | humanize }} more requests wait at pool {{ $labels.pool }} than 20 minutes before.",
            DEBUG,
            ("pool",),
        ),
        Alert(
            "EngineGatewayGap",
            promql("""
                abs(pool:tokencost_engine_gateway_gap:ratio_rate1h) > $share
                and
                pool:tokencost_engine_tokens:rate1h * 3600 > $tokens_per_hour
            """),
            "Engines and gateways do not count the same tokens.",
            "Gateways report {{ $value | humanizePercentage }} more or fewer tokens than the engines of pool "
            "{{ $labels.pool }} counted.",
            DEBUG,
            ("pool",),
        ),
    ),
)
