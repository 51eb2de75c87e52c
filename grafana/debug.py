"""The debug dashboard: for who asks why a model's token costs what it costs."""

from __future__ import annotations

from grafana import promql as q
from grafana import spec as s
from grafana.engines import ENGINES, MODEL, NAMED, REPORTS, all_models
from grafana.gpus import GPUS

QUESTION = "Why does this model's token cost what it costs?"
CACHED = 'token_type="cache_read"'


def per_request(metric: str) -> str:
    """Of a counter by model: for each request that ended."""
    return q.share(q.rate(metric, *MODEL), q.rate(q.REQUESTS, *MODEL))


# A pool's cost belongs to its models in the ratio of what use paid for on each, idle time too.
ALL_IN = (
    f"1e6 * sum({q.increase(q.SPEND, 'pool')} * "
    f"({q.share(q.increase(q.COST, 'pool'), all_models(q.SPEND, q.RANGE))})) / ({q.increase(q.TOKENS)} > 0)"
)

FIRST = s.Section(
    title=QUESTION,
    panels=(
        s.Stat(
            title="Cost per 1M tokens",
            text="All-in, over the time range: the pool's whole cost, idle time included, shared over its models as "
            "their spend is. Tokens without a price make it lower. Absent while no token was served.",
            query=ALL_IN,
            unit=s.USD,
            decimals=2,
            none="No tokens",
            width=3,
        ),
        s.Stat(
            title="Per 1M prompt tokens",
            text="Spend per million prompt tokens, cached ones too, over the time range. Idle time is not in it.",
            query=q.spend_per_million(q.PROMPT, q.RANGE),
            unit=s.USD,
            decimals=4,
            none="No tokens",
            width=3,
        ),
        s.Stat(
            title="Per 1M output tokens",
            text="Spend per million output and reasoning tokens, over the time range. Idle time is not in it.",
            query=q.spend_per_million(q.OUTPUT, q.RANGE),
            unit=s.USD,
            decimals=4,
            none="No tokens",
            width=3,
        ),
        s.Stat(
            title="Idle share",
            text="Share of the cost of GPU pools that was paid while they served no one. It is in the all-in price: "
            "at 50 % the all-in price is twice the spend per token.",
            query=q.share(q.increase(q.IDLE), q.increase(q.of(q.COST, 'resource!="api"'))),
            unit=s.SHARE,
            decimals=0,
            steps=((0.3, "orange"), (0.5, "red")),
            none="No pools",
            width=3,
        ),
        s.Stat(
            title="GPU busy",
            text="GPU-seconds at work over GPU-seconds held. Busy is not efficient: one request keeps a GPU as busy "
            "as fifty. What said so is in the last row.",
            query=q.share(q.increase(q.BUSY_TIME), q.increase(q.GPU_TIME)),
            unit=s.SHARE,
            decimals=0,
            none="No GPUs",
            width=3,
        ),
        s.Stat(
            title="GPU-hours per 1M tokens",
            text="GPU-hours held per million tokens that the pools served: how well the time was used. Compare it "
            "week with week. Providers have no GPUs and are left out.",
            query="1e6 / 3600 * "
            + q.share(
                q.increase(q.GPU_TIME),
                f"sum({all_models(q.TOKENS, q.RANGE)} and {q.increase(q.GPU_TIME, 'pool')})",
            ),
            unit=s.HOURS,
            decimals=3,
            none="No tokens",
            width=3,
        ),
        s.Stat(
            title="Cache hits",
            text="Share of prompt tokens that came from the prefix cache. Each costs a fraction of a computed one.",
            query=q.share(q.increase(q.of(q.TOKENS, CACHED)), q.increase(q.of(q.TOKENS, q.PROMPT))),
            unit=s.SHARE,
            decimals=0,
            none="No tokens",
            width=3,
        ),
        s.Stat(
            title="Output per request",
            text="Output and reasoning tokens per request that ended, over the time range. An output token costs "
            "several times a prompt token.",
            query=q.share(q.increase(q.of(q.TOKENS, q.OUTPUT)), q.increase(q.REQUESTS)),
            unit=s.COUNT,
            decimals=0,
            none="No requests",
            width=3,
        ),
        s.Graph(
            title="Cost per 1M tokens, live",
            text="US dollars per million tokens, all-in, over the chosen live window, and per million output tokens: "
            "the same money over output and reasoning tokens alone. From tokencost_live_cost_usd_per_token and "
            "_per_output_token. Absent while no token was served.",
            lines={
                f"{NAMED}, all tokens": "1e6 * " + q.highest("tokencost_live_cost_usd_per_token", *MODEL),
                f"{NAMED}, output": "1e6 * " + q.highest("tokencost_live_cost_usd_per_output_token", *MODEL),
            },
            unit=s.USD,
            decimals=2,
        ),
        s.Graph(
            title="Spend per 1M tokens by type, live",
            text="Spend per million tokens of each type over the chosen live window, without idle time. From "
            "tokencost_live_spend_usd_per_token. How cost is split between the types is in the last row.",
            lines={
                f"{NAMED}, {{{{token_type}}}}": "1e6 * "
                + q.highest("tokencost_live_spend_usd_per_token", *MODEL, "token_type")
            },
            unit=s.USD,
            decimals=4,
        ),
        s.Graph(
            title="Token mix",
            text="Share of each type of token, from tokencost_tokens_total. More output or fewer cached tokens make "
            "the mean token dearer at the same prices.",
            lines={
                "{{token_type}}": f"{q.rate(q.TOKENS, 'token_type')} / on () group_left () ({q.rate(q.TOKENS)} > 0)"
            },
            unit=s.SHARE,
            stacked=True,
            highest=1,
            width=8,
            height=7,
        ),
        s.Graph(
            title="Tokens per request",
            text="Prompt tokens (cached ones too) and output tokens per request that ended. Absent while none ended.",
            lines={
                f"{NAMED}, prompt": per_request(q.of(q.TOKENS, q.PROMPT)),
                f"{NAMED}, output": per_request(q.of(q.TOKENS, q.OUTPUT)),
            },
            unit=s.COUNT,
            decimals=0,
            width=8,
            height=7,
        ),
        s.Graph(
            title="Cache hit ratio",
            text="Share of prompt tokens that came from the prefix cache, as the engine or, behind a gateway, the "
            "gateway reports it. Absent where cached tokens are not reported.",
            lines={NAMED: q.share(q.rate(q.of(q.TOKENS, CACHED), *MODEL), q.rate(q.of(q.TOKENS, q.PROMPT), *MODEL))},
            unit=s.SHARE,
            highest=1,
            width=8,
            height=7,
        ),
    ),
)

DEBUG = s.Dashboard(
    uid="tokencost-debug",
    title="tokencost: debug a model",
    question=QUESTION,
    text="Choose one pool and one model at the top. Cost per token = price of a GPU-hour x GPU-hours per token; the "
    "rows go from the price down to what makes it.",
    filters=("pool", "model", "window"),
    time="now-6h",
    refresh="1m",
    sections=(FIRST, ENGINES, GPUS, REPORTS),
)
