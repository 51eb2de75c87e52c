"""Alerts about the exporter itself: without it there are no others."""

from __future__ import annotations

from exporter.rules.rule import EXPORTER, Alert, Group, promql

EXPORTERS = Group(
    "tokencost-exporters",
    (
        Alert(
            "ExporterDown",
            'up{job=~"$job"} == 0',
            "An exporter does not answer Prometheus.",
            "{{ $labels.instance }} does not answer: no alert about its costs and budgets can fire.",
            EXPORTER,
            ("instance",),
        ),
        Alert(
            "ExporterAbsent",
            'absent(up{job=~"$job"})',
            "Prometheus scrapes no exporter at all.",
            "No target has the job that this rule looks for: nothing is known of costs, or --job has to be set.",
            EXPORTER,
            None,
        ),
        Alert(
            "SourceStale",
            # A target that was never read has no last success.
            promql("""
                (
                  time() - max by ($by, target, pool, engine) (tokencost_target_last_success_timestamp_seconds) > $age
                )
                or
                (
                  max by ($by, target, pool, engine) (tokencost_target_up) == 0
                  unless on ($by, target)
                  tokencost_target_last_success_timestamp_seconds
                )
            """),
            "A source cannot be read: what it serves is counted late, or, if it restarts, in part.",
            "{{ $labels.target }} of pool {{ $labels.pool }} "
            "{{ if $value }}was last read {{ $value | humanizeDuration }} ago{{ else }}has not been read yet{{ end }}.",
            EXPORTER,
            ("target", "pool", "engine"),
        ),
        Alert(
            "DiscoveryFailed",
            "max by ($by, source) (tokencost_discovery_up) == 0",
            "Targets are no longer discovered: new engines are not counted.",
            "{{ $labels.source }} cannot be asked for its targets, or answers what cannot be read.",
            EXPORTER,
            ("source",),
        ),
        Alert(
            "ConfigReloadFailed",
            "tokencost_config_last_reload_successful == 0",
            "The exporter runs on an old config: the new one is wrong.",
            "{{ $labels.instance }} could not load its config and goes on with the last good one.",
            EXPORTER,
            ("instance",),
        ),
        Alert(
            "StateNotPersisted",
            promql("""
                (increase(tokencost_ledger_save_failures_total[10m]) > 0)
                or
                (time() - tokencost_ledger_last_save_timestamp_seconds > $age)
            """),
            "The ledger is not written: a restart loses what happened since.",
            "{{ $labels.instance }} cannot save its ledger, and counts on in memory.",
            EXPORTER,
            ("instance",),
        ),
        Alert(
            "PriceCatalogStale",
            "time() - tokencost_price_catalog_newest_price_timestamp_seconds > $age",
            "The price catalog of paid APIs is old.",
            "The newest price in the catalog of {{ $labels.instance }} is {{ $value | humanizeDuration }} old.",
            EXPORTER,
            ("instance",),
        ),
    ),
)
