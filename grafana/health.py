"""The dashboard of the exporter itself: for who must be able to trust the other three."""

from __future__ import annotations

from grafana import promql as q
from grafana import spec as s
from grafana.process import ITSELF, LABELS, LATE, SAVED, UP, exporters
from grafana.sources import FAILURES, LAST_SUCCESS, RESETS, SOURCES

QUESTION = "Are the numbers right and complete?"
NEWEST = "tokencost_price_catalog_newest_price_timestamp_seconds"
TARGET = {"instance": "Exporter", "pool": "Pool", "engine": "Engine", "target": "Target"}
# The books since their beginning, not their growth: law 1 is about totals, and holds in every scrape.
DIFFERENCE = q.minus(*(q.total(metric, "pool") for metric in (q.COST, q.SPEND, q.IDLE, q.PENDING)))
# A pool's GPUs, with the ledger that each exporter keeps.
TWICE = (
    f"count by (cluster, pool) (max by (cluster, pool, ledger) (tokencost_gpus * on ({', '.join(LABELS)}) "
    "group_left (ledger) tokencost_ledger_info)) > 1"
)


def none_is_0(query: str) -> str:
    """A counter without series has counted nothing."""
    return f"{query} or vector(0)"


FIRST = s.Section(
    title=QUESTION,
    panels=(
        s.Stat(
            title="Exporters down",
            text="Exporters that Prometheus cannot scrape and could within the last day. While one is down nothing "
            "is lost that its engines still count, but no number here moves. From up and tokencost_build_info.",
            query=f"count({exporters('up')} == 0) or vector(0)",
            unit=s.COUNT,
            decimals=0,
            steps=s.ANY_IS_BAD,
            none="0",
            width=3,
        ),
        s.Stat(
            title="Books are out by",
            text="Cost less spend, idle and pending, of the pool where it is largest: 0 but for the rounding of "
            "floats. Anything else is a mistake in the exporter; please report it. The ledger itself counts in whole "
            "pico-dollars.",
            query=f"max(abs({DIFFERENCE}))",
            unit=s.USD,
            decimals=6,
            steps=((0.0001, "red"),),
            none="No prices",
            width=3,
        ),
        s.Stat(
            title="Targets down",
            text="Engines, gateways and GPU sources that could not be read last time. From tokencost_target_up.",
            query="count(tokencost_target_up == 0) or vector(0)",
            unit=s.COUNT,
            decimals=0,
            steps=s.ANY_IS_BAD,
            none="0",
            width=3,
        ),
        s.Stat(
            title="Oldest target",
            text="Seconds since the last good reading of the target that has waited longest. A target that was never "
            "read is not in it; it is among those that are down. From "
            "tokencost_target_last_success_timestamp_seconds.",
            query=f"max({q.since(LAST_SUCCESS)})",
            unit=s.SECONDS,
            decimals=0,
            steps=LATE,
            none="Never read",
            width=3,
        ),
        s.Stat(
            title="Tokens without a price",
            text="Tokens in the time range for which no price is known: they are in no spend, so spend is too low. "
            "From tokencost_unpriced_tokens_total.",
            query=none_is_0(q.increase(q.UNPRICED)),
            unit=s.TOKENS,
            decimals=1,
            steps=((1, "orange"),),
            none="0",
            width=3,
        ),
        s.Stat(
            title="GPUs without a price",
            text="GPUs that are counted now and have no price: they cost nothing here, so cost is too low. From "
            "tokencost_unpriced_gpus.",
            query=q.total("tokencost_unpriced_gpus"),
            unit=s.COUNT,
            decimals=1,
            steps=((0.01, "orange"),),
            none="No pools",
            width=3,
        ),
        s.Stat(
            title="GPUs refused",
            text="GPUs of which pools asked for more than other pools leave: not counted twice, and not paid for by "
            "the one that came last. From tokencost_refused_gpus. Absent where no pool reads its GPUs from a source.",
            query=q.total("tokencost_refused_gpus"),
            unit=s.COUNT,
            decimals=1,
            steps=((0.01, "orange"),),
            none="None read",
            width=3,
        ),
        s.Stat(
            title="Ledger saved",
            text="Seconds since the last save of the ledger that worked, of the exporter where it is longest ago. "
            "What came after it is lost if the process is killed now. Absent before the first save.",
            query=f"max({q.since(SAVED)})",
            unit=s.SECONDS,
            decimals=0,
            steps=LATE,
            none="Never saved",
            width=3,
        ),
        s.Graph(
            title="Cost - spend - idle - pending",
            text="By pool, in US dollars since the books began. The law: what was paid is what was used, or idle, or "
            "not yet known whose. 0 but for the rounding of floats.",
            lines={"{{pool}}": DIFFERENCE},
            unit=s.USD,
            decimals=6,
            width=8,
            height=9,
        ),
        s.Table(
            title="Targets",
            text="Every address that is read: whether the last reading worked, how long ago the last good one was, "
            "how long the last one took, and in the time range how many failed and how many restarts of the engine "
            "were seen.",
            keys=TARGET,
            columns=(
                s.Column(title="State", query=q.highest("tokencost_target_up", *TARGET), unit=s.PLAIN, words=UP),
                s.Column(
                    title="Age", query=q.highest(q.since(LAST_SUCCESS), *TARGET), unit=s.SECONDS, decimals=0, steps=LATE
                ),
                s.Column(
                    title="Took", query=q.highest("tokencost_target_scrape_duration_seconds", *TARGET), unit=s.SECONDS
                ),
                s.Column(title="Failed", query=q.increase(FAILURES, "instance", "target"), unit=s.COUNT, decimals=0),
                s.Column(title="Restarts", query=q.increase(RESETS, "instance", "target"), unit=s.COUNT, decimals=0),
            ),
            sort="Age",
            none="No targets",
            width=16,
            height=9,
        ),
    ),
)

COMPLETE = s.Section(
    title="Complete?",
    panels=(
        s.Stat(
            title="Tenants",
            text="Tenants that ever spent anything, reserved ones too. Beyond tenants.limit they are counted as "
            "_other. From tokencost_live_spend_usd_per_hour.",
            query="count(count by (tenant) (tokencost_live_spend_usd_per_hour))",
            unit=s.COUNT,
            decimals=0,
            none="None yet",
            width=6,
        ),
        s.Stat(
            title="Tokens of folded tenants",
            text="Tokens in the time range that were booked to _other because tenants.limit was reached. Totals are "
            "right, these tenants' are not. From tokencost_tenant_overflow_tokens_total.",
            query=none_is_0(q.increase("tokencost_tenant_overflow_tokens_total")),
            unit=s.TOKENS,
            decimals=1,
            steps=((1, "orange"),),
            none="0",
            width=6,
        ),
        s.Stat(
            title="Pools counted twice",
            text="Pools that exporters with different ledgers both pay for now: their cost, spend and tokens are there "
            "twice. Stop one of them. From tokencost_gpus and tokencost_ledger_info.",
            query=f"count({TWICE}) or vector(0)",
            unit=s.COUNT,
            decimals=0,
            steps=s.ANY_IS_BAD,
            none="0",
            width=6,
        ),
        s.Stat(
            title="Price catalogue, age",
            text="Age of the newest price in the bundled catalogue of API prices, and its version. Old prices are "
            "wrong prices: update the exporter. From tokencost_price_catalog_newest_price_timestamp_seconds; absent "
            "where no route goes to a provider or prices.catalog is none.",
            query=f"min by (version) ({q.since(NEWEST)} * on ({', '.join(LABELS)}) group_left (version)"
            " tokencost_price_catalog_info)",
            legend="{{version}}",
            unit=s.SECONDS,
            decimals=0,
            steps=((45 * 86_400, "orange"),),
            none="Not used",
            width=6,
        ),
        s.Table(
            title="Tokens without a price, by model",
            text="By model and type, in the time range. Add a price under prices.models, or check the model's name. "
            "From tokencost_unpriced_tokens_total.",
            keys={"pool": "Pool or provider", "model_name": "Model", "token_type": "Type"},
            columns=(
                s.Column(
                    title="Tokens",
                    query=q.increase(q.UNPRICED, "pool", "model_name", "token_type") + " > 0",
                    unit=s.TOKENS,
                    decimals=1,
                ),
            ),
            sort="Tokens",
            none="Every token has a price",
            width=12,
        ),
        s.Table(
            title="GPUs",
            text="GPUs by pool: counted, of these without a price, and refused because other pools hold them. From "
            "tokencost_gpus, tokencost_unpriced_gpus and tokencost_refused_gpus; the last is empty for pools that "
            "count their GPUs in the config.",
            keys={"pool": "Pool"},
            columns=(
                s.Column(title="Counted", query=q.total("tokencost_gpus", "pool"), unit=s.COUNT),
                s.Column(
                    title="Without a price",
                    query=q.total("tokencost_unpriced_gpus", "pool"),
                    unit=s.COUNT,
                    steps=((0.01, "orange"),),
                ),
                s.Column(
                    title="Refused",
                    query=q.total("tokencost_refused_gpus", "pool"),
                    unit=s.COUNT,
                    steps=((0.01, "orange"),),
                ),
            ),
            none="No pools",
            width=12,
        ),
    ),
)

HEALTH = s.Dashboard(
    uid="tokencost-exporter",
    title="tokencost: exporter health",
    question=QUESTION,
    text="Right: the books close. Complete: every target answers and everything has a price. Red or orange on the "
    "first line means that the other dashboards are wrong, too low, or late.",
    filters=("pool",),
    time="now-3h",
    refresh="30s",
    sections=(FIRST, COMPLETE, SOURCES, ITSELF),
)
