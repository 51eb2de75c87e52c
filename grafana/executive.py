"""The executive dashboard: for who answers for the money, over weeks."""

from __future__ import annotations

from grafana import budgets as b
from grafana import promql as q
from grafana import spec as s

QUESTION = "Are we within budget, and what does a million tokens cost?"
WEEK, BEFORE = q.increase(q.SPEND, "tenant", over="7d"), q.increase(q.SPEND, "tenant", over="7d", offset="7d")

FIRST = s.Section(
    title=QUESTION,
    panels=(
        s.Stat(
            title="Budget used, highest",
            text="The largest share of its limit that a budget has spent in its current period. From "
            f"tokencost_budget_spent_usd and tokencost_budget_limit_usd. {b.NO_BUDGETS}",
            query=f"max({b.added_up(b.USED)})",
            unit=s.SHARE,
            decimals=0,
            steps=s.HIGH_SHARE,
            none="No budgets",
            width=4,
        ),
        s.Stat(
            title="Forecast, highest",
            text="The largest forecast for the end of a budget's period, as a share of its limit: what is spent, "
            f"plus the rate of the last 7 days for the time left. From tokencost_budget_forecast_usd. {b.NO_BUDGETS}",
            query=f"max({b.added_up(q.share(b.FORECAST, b.LIMIT))})",
            unit=s.SHARE,
            decimals=0,
            steps=((1, "orange"), (1.05, "red")),
            none="No budgets",
            width=4,
        ),
        s.Stat(
            title="Cost",
            text="Paid in the time range, idle time included. From tokencost_cost_usd_total. Prometheus estimates "
            "what lies between the edges of the range and the nearest scrapes: good for a dashboard, not for an "
            "invoice. The totals of the books are on the exporter's own page.",
            query=q.increase(q.COST),
            unit=s.USD,
            decimals=2,
            none="No prices",
            width=4,
        ),
        s.Stat(
            title="Cost per 1M tokens",
            text="US dollars per million tokens in the time range, all-in: everything that was paid, idle time "
            "included, over all tokens of all types that have a price. Absent where none was served.",
            query=q.cost_per_million(q.RANGE),
            unit=s.USD,
            decimals=2,
            none="No tokens",
            width=4,
        ),
        s.Stat(
            title="Idle share",
            text="Share of the cost of GPU pools that was paid while they served no one. From "
            "tokencost_idle_cost_usd_total. Paid APIs cannot be idle and are left out.",
            query=q.share(q.increase(q.IDLE), q.increase(q.of(q.COST, 'resource!="api"'))),
            unit=s.SHARE,
            decimals=0,
            steps=((0.3, "orange"), (0.5, "red")),
            none="No pools",
            width=4,
        ),
        s.Stat(
            title="Spend without a tenant",
            text="Share of spend whose tenant should be known and is not (_unattributed): traffic past the gateway, "
            "aborted requests, requests without the tenant's label. Pools without tenants in the config are not in "
            "it.",
            query=f"({q.increase(q.of(q.SPEND, q.NOBODY))} or vector(0)) / "
            f"({q.increase(q.of(q.SPEND, q.ANY_TENANT))} > 0)",
            unit=s.SHARE,
            decimals=1,
            steps=((0.1, "orange"),),
            none="No spend",
            width=4,
        ),
        s.Table(
            title="Budgets",
            text="Each budget in its current period, from tokencost_budget_*. Used above time elapsed is faster than "
            "plan. A forecast rests on the rate of the last 7 days, or of as much history as there is. Burn is the "
            "rate of the last day in times of plan. A budget that does not run out in its period "
            f"has no date. {b.NO_BUDGETS}",
            keys=b.KEYS | {"tenant": "Tenant", "model_name": "Model", "pool": "Pool", "period": "Period"},
            columns=(
                s.Column(
                    title="Info",
                    query=q.highest("tokencost_budget_info", *b.KEYS, "tenant", "model_name", "pool", "period"),
                    unit=s.PLAIN,
                    shown=False,
                ),
                s.Column(title="Limit", query=b.per_budget(b.LIMIT), unit=s.USD, decimals=2),
                s.Column(title="Spent", query=b.added_up(b.SPENT), unit=s.USD, decimals=2),
                s.Column(title="Used", query=b.added_up(b.USED), unit=s.SHARE, decimals=1, steps=s.HIGH_SHARE),
                s.Column(title="Time elapsed", query=b.per_budget(b.ELAPSED), unit=s.SHARE, decimals=1),
                s.Column(title="Forecast", query=b.added_up(b.FORECAST), unit=s.USD, decimals=2),
                s.Column(title="Forecast rests on", query=b.per_budget(b.HISTORY), unit=s.SECONDS, decimals=0),
                s.Column(title="Burn, 1 day", query=b.burn("1d"), unit=s.PLAIN, decimals=2, steps=b.BURNS),
                s.Column(title="Runs out", query=f"{b.runs_out()} * 1000", unit=s.AHEAD),
                s.Column(title="Period ends", query=f"{b.per_budget(b.END)} * 1000", unit=s.DATE),
            ),
            sort="Used",
            none="No budgets in the config",
            width=24,
            height=7,
        ),
        s.Graph(
            title="Budget used against time elapsed",
            text="Share of each limit that is spent, and share of its period that is over. A budget above its own "
            f"time line spends faster than plan. {b.NO_BUDGETS}",
            lines={"{{budget}}": b.added_up(b.USED), "{{budget}}, time": b.per_budget(b.ELAPSED)},
            unit=s.SHARE,
            steps=((1, "red"),),
            every="15m",
        ),
        s.Graph(
            title="Cost per 1M tokens by pool",
            text="US dollars per million tokens, all-in: what the pool or provider was paid, idle time included, "
            "over its tokens that have a price. It rises when a pool is little used. Absent while no token was "
            "served.",
            lines={"{{pool}}": q.cost_per_million(q.STEP, "pool")},
            unit=s.USD,
            decimals=2,
            every="15m",
        ),
    ),
)

WHO = s.Section(
    title="Who spends it",
    panels=(
        s.Graph(
            title="Spend by tenant, USD per hour",
            text="Money that went into tokens, from tokencost_spend_usd_total: the twelve tenants that spent most in "
            "the time range, and all others together. Idle time is nobody's and not in it.",
            lines=q.top(q.SPEND, "tenant"),
            stacked=True,
            unit=s.USD,
            decimals=2,
            every="15m",
        ),
        s.Graph(
            title="Spend by model, USD per hour",
            text="Money that went into tokens, from tokencost_spend_usd_total: the twelve models on which most was "
            "spent in the time range, and all others together. Idle time is no model's and not in it.",
            lines=q.top(q.SPEND, "model_name"),
            stacked=True,
            unit=s.USD,
            decimals=2,
            every="15m",
        ),
        s.Table(
            title="Tenants, last 7 days",
            text="Spend of the last 7 days, whatever the time range, and its change from the 7 days before. "
            "Prometheus must keep 14 days for the change; a tenant that is new has none. A price per million is of "
            "that tenant's own mix of tokens; tokens without a price make it lower.",
            keys={"tenant": "Tenant"},
            columns=(
                s.Column(title="Spend", query=WEEK, unit=s.USD, decimals=2),
                s.Column(title="Change", query=f"{q.share(WEEK, BEFORE)} - 1", unit=s.SHARE, decimals=0),
                s.Column(title="Tokens", query=q.increase(q.TOKENS, "tenant", over="7d"), unit=s.TOKENS, decimals=1),
                s.Column(title="Requests", query=q.increase(q.REQUESTS, "tenant", over="7d"), unit=s.COUNT, decimals=1),
                s.Column(
                    title="USD per 1M tokens",
                    query="1e6 * " + q.share(WEEK, q.increase(q.TOKENS, "tenant", over="7d")),
                    unit=s.USD,
                    decimals=2,
                ),
            ),
            sort="Spend",
            links={"Tenant": ("tokencost-oncall", "tenant")},
            none="No spend in 7 days",
            width=12,
            height=10,
        ),
        s.Table(
            title="Models, in the time range",
            text="Spend, and spend per million prompt tokens (cached ones too) and per million output tokens "
            "(reasoning too). Idle time is not in it. Tokens without a price make it lower.",
            keys={"pool": "Pool", "model_name": "Model"},
            columns=(
                s.Column(title="Spend", query=q.increase(q.SPEND, "pool", "model_name"), unit=s.USD, decimals=2),
                s.Column(title="Tokens", query=q.increase(q.TOKENS, "pool", "model_name"), unit=s.TOKENS, decimals=1),
                s.Column(
                    title="USD per 1M prompt",
                    query=q.spend_per_million(q.PROMPT, q.RANGE, "pool", "model_name"),
                    unit=s.USD,
                    decimals=4,
                ),
                s.Column(
                    title="USD per 1M output",
                    query=q.spend_per_million(q.OUTPUT, q.RANGE, "pool", "model_name"),
                    unit=s.USD,
                    decimals=4,
                ),
            ),
            sort="Spend",
            links={"Model": ("tokencost-debug", "model")},
            none="No spend in the time range",
            width=12,
            height=10,
        ),
    ),
)

WHERE = s.Section(
    title="Where the money goes",
    panels=(
        s.Graph(
            title="Cost by pool, USD per hour",
            text="What each pool or provider was paid, idle time included. From tokencost_cost_usd_total.",
            lines={"{{pool}}": q.per_hour(q.COST, "pool")},
            stacked=True,
            unit=s.USD,
            decimals=2,
            width=8,
            every="15m",
        ),
        s.Graph(
            title="Cost by resource, USD per hour",
            text="The same by what was paid for: gpu, energy, overhead (CPU, memory, storage), api (paid by the "
            "token).",
            lines={"{{resource}}": q.per_hour(q.COST, "resource")},
            stacked=True,
            unit=s.USD,
            decimals=2,
            width=8,
            every="15m",
        ),
        s.Graph(
            title="Used and idle, USD per hour",
            text="Spend, and what was paid while nobody used it: together the cost, but for what still waits to be "
            "known (tokencost_pending_cost_usd).",
            lines={
                "used": q.per_hour(q.of(q.SPEND, q.ANY_MODEL, q.ANY_TENANT)),
                "idle": q.per_hour(q.IDLE),
            },
            stacked=True,
            unit=s.USD,
            decimals=2,
            width=8,
            every="15m",
        ),
    ),
)

EXECUTIVE = s.Dashboard(
    uid="tokencost-executive",
    title="tokencost: executive",
    question=QUESTION,
    text="All money is in US dollars. Cost is what was paid, idle time included; spend is the part of it that went "
    "into tokens.",
    filters=("pool", "model", "tenant"),
    time="now-30d",
    refresh="5m",
    sections=(FIRST, WHO, WHERE),
)
