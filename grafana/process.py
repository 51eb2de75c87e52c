"""The exporter as a process: what the health dashboard says about it."""

from __future__ import annotations

from grafana import promql as q
from grafana import spec as s

BUILD = "tokencost_build_info"
SAVED, SAVE_FAILURES = "tokencost_ledger_last_save_timestamp_seconds", "tokencost_ledger_save_failures_total"
PUSHES, PUSH_FAILURES = "tokencost_otlp_pushes_total", "tokencost_otlp_push_failures_total"
RELOADED = "tokencost_config_last_reload_success_timestamp_seconds"
LABELS = {"cluster": "Cluster", "job": "Job", "instance": "Exporter"}
UP = {0: ("down", "red"), 1: ("up", "green")}
RELOAD = {0: ("failed", "red"), 1: ("good", "green")}
LATE: s.Steps = ((60, "orange"), (300, "red"))


def exporters(metric: str) -> str:
    """Of a metric that every process has: that of exporters, down ones too if they were up in the last day."""
    return f"({metric} and on ({', '.join(LABELS)}) last_over_time({BUILD}[1d]))"


def each(query: str, *labels: str) -> str:
    """One series for each exporter."""
    return q.highest(query, *LABELS, *labels)


ITSELF = s.Section(
    title="The exporter itself",
    panels=(
        s.Table(
            title="Exporters",
            text="Every exporter: version, whether it is up, whether its last reload of the config worked and when "
            "one last did, when its ledger was last saved, and in the time range how many saves failed and how many "
            "pushes to an OTLP receiver there were and failed. A failed reload leaves the old config at work.",
            keys=LABELS | {"version": "Version", "revision": "Revision", "python": "Python"},
            columns=(
                s.Column(
                    title="Build",
                    query=each(f"last_over_time({BUILD}[1d])", "version", "revision", "python"),
                    unit=s.PLAIN,
                    shown=False,
                ),
                s.Column(title="State", query=each(exporters("up")), unit=s.PLAIN, words=UP),
                s.Column(
                    title="Last reload",
                    query=each("tokencost_config_last_reload_successful"),
                    unit=s.PLAIN,
                    words=RELOAD,
                ),
                s.Column(title="Config since", query=f"{each(RELOADED)} * 1000", unit=s.AHEAD),
                s.Column(title="Saved", query=each(q.since(SAVED)), unit=s.SECONDS, decimals=0, steps=LATE),
                s.Column(
                    title="Failed saves",
                    query=q.increase(SAVE_FAILURES, *LABELS),
                    unit=s.COUNT,
                    decimals=0,
                    steps=s.ANY_IS_BAD,
                ),
                s.Column(title="Pushes", query=q.increase(PUSHES, *LABELS), unit=s.COUNT, decimals=0),
                s.Column(
                    title="Failed pushes",
                    query=q.increase(PUSH_FAILURES, *LABELS),
                    unit=s.COUNT,
                    decimals=0,
                    steps=s.ANY_IS_BAD,
                ),
            ),
            none="No exporter",
            width=24,
            height=6,
        ),
        s.Graph(
            title="Failed saves of the ledger",
            text="Saves that did not reach the disk: the books go on in memory, and the next save that works carries "
            "all of it. From tokencost_ledger_save_failures_total. Absent while none ever failed.",
            lines={"{{instance}}": q.increase(SAVE_FAILURES, "instance", over=q.STEP)},
            unit=s.COUNT,
            decimals=0,
            width=8,
        ),
        s.Graph(
            title="CPU",
            text="Cores that the exporter uses. From process_cpu_seconds_total; absent on macOS.",
            lines={"{{instance}}": exporters(f"rate(process_cpu_seconds_total[{q.STEP}])")},
            unit=s.SHARE,
            width=8,
        ),
        s.Graph(
            title="Memory",
            text="Resident memory of the exporter. From process_resident_memory_bytes; absent on macOS.",
            lines={"{{instance}}": exporters("process_resident_memory_bytes")},
            unit=s.BYTES,
            width=8,
        ),
    ),
)
