"""The on-call dashboard: for who is woken up, over hours."""

from __future__ import annotations

from grafana import budgets as b
from grafana import promql as q
from grafana import spec as s

QUESTION = "Who is burning money right now, and when is it gone?"
FIRING = 'ALERTS{alertname=~"Tokencost.*", alertstate="firing"}'
NOW = q.increase(q.SPEND, "tenant", over="5m") + " * 12"
HOUR = q.increase(q.SPEND, "tenant", over="1h")


def hour_before(offset: str) -> str:
    """Spend by tenant in the same hour, that long ago."""
    return q.increase(q.SPEND, "tenant", over="1h", offset=offset)


FIRST = s.Section(
    title=QUESTION,
    panels=(
        s.Stat(
            title="Alerts firing",
            text="How many of the alerts whose names begin with Tokencost fire now, in the chosen clusters. From "
            "ALERTS, which Prometheus makes where the rules are loaded; without the rules it is always 0.",
            query=f"count({FIRING}) or vector(0)",
            unit=s.COUNT,
            decimals=0,
            steps=s.ANY_IS_BAD,
            none="0",
            width=4,
        ),
        s.Stat(
            title="Cost per hour, now",
            text="US dollars per hour over the last 5 minutes, idle time included. From tokencost_cost_usd_total.",
            query=q.increase(q.COST, over="5m") + " * 12",
            unit=s.USD,
            decimals=2,
            none="No prices",
            width=4,
        ),
        s.Stat(
            title="Biggest spender, USD per hour",
            text="The tenant that spent most over the last 5 minutes, and at what rate. From "
            "tokencost_spend_usd_total.",
            query=f"topk(1, {NOW})",
            legend="{{tenant}}",
            unit=s.USD,
            decimals=2,
            none="No spend",
            width=4,
        ),
        s.Stat(
            title="Fastest burn over 1 hour",
            text="The highest rate of any budget, in times of plan: at 14.4 an hour takes 2 % of a 30-day budget. "
            f"From tokencost_budget_burn_rate. {b.NO_BUDGETS}",
            query=f"max({b.burn('1h')})",
            unit=s.PLAIN,
            decimals=1,
            steps=b.BURNS,
            none="No budgets",
            width=4,
        ),
        s.Stat(
            title="Next budget runs out in",
            text="Time until the first budget is used up at its present rate. Absent if none runs out within its "
            "period. From tokencost_budget_exhaustion_timestamp_seconds.",
            query=f"min({b.runs_out()}) - time()",
            unit=s.SECONDS,
            decimals=1,
            base="red",
            steps=((86_400, "orange"), (3 * 86_400, "green")),
            none="Not in its period",
            width=4,
        ),
        s.Stat(
            title="Targets down",
            text="Engines, gateways and GPU sources that could not be read last time. While an engine is down its "
            "GPUs still cost money; its tokens are counted when it answers again. From tokencost_target_up.",
            query="count(tokencost_target_up == 0) or vector(0)",
            unit=s.COUNT,
            decimals=0,
            steps=s.ANY_IS_BAD,
            none="0",
            width=4,
        ),
        s.Table(
            title="Tenants: now, and the same hour before",
            text="US dollars per hour over the last 5 minutes, then spend of the last hour, of the same hour "
            "yesterday and of a week ago, then what was asked in the last hour. A tenant without spend then has no "
            "number there.",
            keys={"tenant": "Tenant"},
            columns=(
                s.Column(title="USD per hour, now", query=NOW, unit=s.USD, decimals=2),
                s.Column(title="Last hour", query=HOUR, unit=s.USD, decimals=2),
                s.Column(title="Yesterday", query=hour_before("1d"), unit=s.USD, decimals=2),
                s.Column(title="A week ago", query=hour_before("7d"), unit=s.USD, decimals=2),
                s.Column(title="Tokens", query=q.increase(q.TOKENS, "tenant", over="1h"), unit=s.TOKENS, decimals=1),
                s.Column(title="Requests", query=q.increase(q.REQUESTS, "tenant", over="1h"), unit=s.COUNT, decimals=1),
            ),
            sort="USD per hour, now",
            links={"Tenant": ("tokencost-oncall", "tenant")},
            none="No spend",
            width=14,
            height=8,
        ),
        s.Table(
            title="Alerts firing now",
            text="Alerts whose names begin with Tokencost, and what they are about. From ALERTS; empty without the "
            "rules.",
            keys={
                "alertname": "Alert",
                "severity": "Severity",
                "budget": "Budget",
                "pool": "Pool",
                "tenant": "Tenant",
                "target": "Target",
            },
            columns=(
                s.Column(
                    title="Firing",
                    query=f"max by (alertname, severity, budget, pool, tenant, target) ({FIRING})",
                    unit=s.PLAIN,
                    shown=False,
                ),
            ),
            none="Nothing fires",
            width=10,
            height=8,
        ),
        s.Table(
            title="Budgets",
            text="What is left of each budget in its period, and its rate over each window in times of plan. One "
            f"that does not run out in its period has no date. From tokencost_budget_*. {b.NO_BUDGETS}",
            keys=b.KEYS,
            columns=(
                s.Column(
                    title="Left", query=f"{b.per_budget(b.LIMIT)} - {b.added_up(b.SPENT)}", unit=s.USD, decimals=2
                ),
                s.Column(title="Used", query=b.added_up(b.USED), unit=s.SHARE, decimals=1, steps=s.HIGH_SHARE),
                *(
                    s.Column(title=f"Burn, {window}", query=b.burn(window), unit=s.PLAIN, decimals=1, steps=b.BURNS)
                    for window in ("5m", "30m", "1h", "2h", "6h", "1d")
                ),
                s.Column(title="Runs out", query=f"{b.runs_out()} * 1000", unit=s.AHEAD),
            ),
            sort="Burn, 1h",
            none="No budgets in the config",
            width=24,
            height=6,
        ),
    ),
)

BURN = s.Section(
    title="Budgets over time",
    panels=(
        s.Graph(
            title="Burn rate",
            text="Rate of spending in times of plan, over 1 hour and over 6 hours. 1 is exactly on plan. Lines are "
            f"drawn at 2, 6 and 14.4 times, where the slow and the fast alert begin. {b.NO_BUDGETS}",
            lines={f"{{{{budget}}}}, {window}": b.burn(window) for window in ("1h", "6h")},
            unit=s.PLAIN,
            decimals=1,
            steps=b.BURNS,
        ),
        s.Graph(
            title="Budget left",
            text=f"Share of each limit that is not spent yet. Below 0 it is overspent. {b.NO_BUDGETS}",
            lines={"{{budget}}": f"1 - {b.added_up(b.USED)}"},
            unit=s.SHARE,
            highest=1,
        ),
    ),
)

WHAT = s.Section(
    title="What is being spent",
    panels=(
        s.Graph(
            title="Spend by tenant, USD per hour",
            text="From tokencost_spend_usd_total: the twelve tenants that spent most in the time range, and all "
            "others together.",
            lines=q.top(q.SPEND, "tenant"),
            stacked=True,
            unit=s.USD,
            decimals=2,
        ),
        s.Graph(
            title="Spend by model, USD per hour",
            text="From tokencost_spend_usd_total: the twelve models on which most was spent in the time range, and "
            "all others together.",
            lines=q.top(q.SPEND, "model_name"),
            stacked=True,
            unit=s.USD,
            decimals=2,
        ),
        s.Graph(
            title="Tokens per second by type",
            text="From tokencost_tokens_total. The types are disjoint and add up. Behind a gateway tokens show when "
            "a request ends.",
            lines={"{{token_type}}": q.rate(q.TOKENS, "token_type")},
            stacked=True,
            unit=s.TOKENS_PER_SECOND,
        ),
        s.Graph(
            title="Cost per 1M tokens, and a day and a week before",
            text="US dollars per million tokens by pool over the last hour, all-in, beside the same hour a day and a "
            "week ago. A price that rises while traffic falls is idle time. Absent while no token was served.",
            lines={
                "{{pool}}": q.cost_per_million("1h", "pool"),
                "{{pool}}, a day ago": q.cost_per_million("1h", "pool", offset="1d"),
                "{{pool}}, a week ago": q.cost_per_million("1h", "pool", offset="7d"),
            },
            unit=s.USD,
            decimals=2,
        ),
    ),
)

DRILL = s.Section(
    title="The chosen tenants: $tenant",
    panels=(
        s.Graph(
            title="Live spend, USD per hour",
            text="From tokencost_live_spend_usd_per_hour, for each window of live.windows in the config.",
            lines={"{{tenant}}, {{window}}": q.total("tokencost_live_spend_usd_per_hour", "tenant", "window")},
            unit=s.USD,
            decimals=2,
            width=8,
        ),
        s.Graph(
            title="Requests per second",
            text="Requests that ended, by tenant. From tokencost_requests_total. A loop shows here first.",
            lines={"{{tenant}}": q.rate(q.REQUESTS, "tenant")},
            unit=s.REQUESTS_PER_SECOND,
            width=8,
        ),
        s.Graph(
            title="Tokens per request",
            text="Prompt tokens (cached ones too) and output tokens per request that ended. Absent while none ended. "
            "A prompt that keeps growing is an agent that sends its whole history again.",
            lines={
                "{{tenant}}, prompt": q.share(q.rate(q.of(q.TOKENS, q.PROMPT), "tenant"), q.rate(q.REQUESTS, "tenant")),
                "{{tenant}}, output": q.share(q.rate(q.of(q.TOKENS, q.OUTPUT), "tenant"), q.rate(q.REQUESTS, "tenant")),
            },
            unit=s.COUNT,
            decimals=0,
            width=8,
        ),
        s.Graph(
            title="Not known yet whose it is",
            text="US dollars that wait for a gateway's report, by pool. From tokencost_pending_cost_usd. It grows "
            "when traffic goes past the gateway or the gateway does not answer; what nobody claims becomes "
            "_unattributed.",
            lines={"{{pool}}": q.total(q.PENDING, "pool")},
            unit=s.USD,
            decimals=4,
        ),
        s.Graph(
            title="Spend without a tenant, USD per hour",
            text="Spend of tenant _unattributed by pool: traffic past the gateway, aborted requests, requests "
            "without the tenant's label. From tokencost_spend_usd_total; absent if there never was any.",
            lines={"{{pool}}": q.per_hour(q.of(q.SPEND, q.NOBODY), "pool")},
            stacked=True,
            unit=s.USD,
            decimals=2,
        ),
    ),
)

ONCALL = s.Dashboard(
    uid="tokencost-oncall",
    title="tokencost: on-call",
    question=QUESTION,
    text="All money is in US dollars. Cost is all that was paid, idle time included; spend is the part of it that "
    "went into tokens.",
    filters=("pool", "model", "tenant"),
    time="now-6h",
    refresh="30s",
    sections=(FIRST, BURN, WHAT, DRILL),
)
