"""What the exporter reads: what the health dashboard says about its targets."""

from __future__ import annotations

from grafana import promql as q
from grafana import spec as s
from grafana.process import LATE, UP

FAILURES, SCRAPES = "tokencost_target_scrape_failures_total", "tokencost_target_scrapes_total"
RESETS, LAST_SUCCESS = "tokencost_target_counter_resets_total", "tokencost_target_last_success_timestamp_seconds"
FOUND, FOUND_AT = "tokencost_discovery_targets", "tokencost_discovery_last_success_timestamp_seconds"
FINDING = {"instance": "Exporter", "source": "Source"}

SOURCES = s.Section(
    title="Sources",
    panels=(
        s.Graph(
            title="Failed readings per minute, by reason",
            text="From tokencost_target_scrape_failures_total. A failed reading changes nothing; what it missed is "
            "counted by the next good one. Absent while none ever failed.",
            lines={"{{reason}}": f"{q.rate(FAILURES, 'reason')} * 60"},
            stacked=True,
            unit="cpm",
            width=8,
        ),
        s.Graph(
            title="Share of readings that failed",
            text="By target, of the readings that were tried. From tokencost_target_scrape_failures_total and "
            "tokencost_target_scrapes_total. Absent for targets that never failed.",
            lines={"{{target}}": q.share(q.rate(FAILURES, "target"), q.rate(SCRAPES, "target"))},
            unit=s.SHARE,
            highest=1,
            width=8,
        ),
        s.Graph(
            title="Age of targets",
            text="Seconds since the last good reading. From tokencost_target_last_success_timestamp_seconds.",
            lines={"{{target}}": q.highest(q.since(LAST_SUCCESS), "target")},
            unit=s.SECONDS,
            steps=LATE,
            width=8,
        ),
        s.Graph(
            title="How long readings take",
            text="Seconds of the last reading, by target. One that takes longer than scrape.timeout fails. From "
            "tokencost_target_scrape_duration_seconds.",
            lines={"{{target}}": q.highest("tokencost_target_scrape_duration_seconds", "target")},
            unit=s.SECONDS,
            width=8,
        ),
        s.Graph(
            title="Restarts seen",
            text="Restarts of engines and gateways seen in their counters, by target. What one served between its "
            "last good reading and its end is lost. From tokencost_target_counter_resets_total.",
            lines={"{{target}}": q.increase(RESETS, "target", over=q.STEP)},
            unit=s.COUNT,
            decimals=0,
            width=8,
        ),
        s.Graph(
            title="Waiting to be known",
            text="US dollars that were paid and wait until it is known who used them. From "
            "tokencost_pending_cost_usd. A pool whose engines or gateway do not answer piles it up; claim_within "
            "bounds it.",
            lines={"{{pool}}": q.total(q.PENDING, "pool")},
            unit=s.USD,
            decimals=4,
            width=8,
        ),
        s.Table(
            title="Where targets are found",
            text="Every source of targets that come and go: whether the last look at it worked, how many it lists, how "
            "long ago a look last worked, and in the time range how many failed, targets that were refused among them. "
            "One that is down still holds what it said last.",
            keys=FINDING,
            columns=(
                s.Column(title="State", query=q.highest("tokencost_discovery_up", *FINDING), unit=s.PLAIN, words=UP),
                s.Column(title="Targets", query=q.highest(FOUND, *FINDING), unit=s.COUNT, decimals=0),
                s.Column(title="Age", query=q.highest(q.since(FOUND_AT), *FINDING), unit=s.SECONDS, decimals=0),
                s.Column(
                    title="Failed",
                    query=q.increase("tokencost_discovery_failures_total", *FINDING),
                    unit=s.COUNT,
                    decimals=0,
                ),
            ),
            none="All targets are written down",
            width=24,
        ),
    ),
)
