"""How engines work and what they report: what the debug dashboard says about them."""

from __future__ import annotations

from grafana import promql as q
from grafana import spec as s

MODEL = ("pool", "model_name")
NAMED = "{{pool}} {{model_name}}"


def all_models(metric: str, over: str) -> str:
    """Growth by pool, of all its models."""
    return q.grown(q.of(metric, q.ANY_MODEL), over, "pool")


def phase(name: str) -> str:
    """Request-seconds per second that the engines spent in that phase."""
    return q.rate(q.of(q.REQUEST_TIME, f'phase="{name}"'), *MODEL)


ENGINES = s.Section(
    title="How the engines work",
    panels=(
        s.Graph(
            title="Tokens per second",
            text="What the engines counted, by type, from tokencost_engine_tokens_total. Providers have no engines "
            "here.",
            lines={f"{NAMED}, {{{{token_type}}}}": q.rate(q.ENGINE_TOKENS, *MODEL, "token_type")},
            unit=s.TOKENS_PER_SECOND,
            width=8,
        ),
        s.Graph(
            title="Requests running and waiting",
            text="Requests being worked on and queued, over the engines of a pool. Few running is an empty batch: "
            "each token then carries more of the GPU. Absent where engines do not say.",
            lines={
                "{{pool}}, running": q.total("tokencost_requests_running", "pool"),
                "{{pool}}, waiting": q.total("tokencost_requests_waiting", "pool"),
            },
            unit=s.COUNT,
            width=8,
        ),
        s.Graph(
            title="KV cache in use",
            text="Mean over the engines of a pool. Near 1 requests wait or are preempted. Absent where engines do "
            "not say.",
            lines={"{{pool}}": q.highest("tokencost_kv_cache_usage_ratio", "pool")},
            unit=s.SHARE,
            highest=1,
            width=8,
        ),
        s.Graph(
            title="Seconds per token",
            text="Request-seconds of decode per output token, and of prefill per prompt token that was not cached, "
            "from the timers of the engines (tokencost_request_seconds_total). Requests overlap, so this is what a "
            "user waits for, not GPU time. Absent where an engine has no timers.",
            lines={
                f"{NAMED}, decode": q.share(phase("decode"), q.rate(q.of(q.ENGINE_TOKENS, q.OUTPUT), *MODEL)),
                f"{NAMED}, prefill": q.share(
                    phase("prefill"), q.rate(q.of(q.ENGINE_TOKENS, 'token_type="input"'), *MODEL)
                ),
            },
            unit=s.SECONDS,
            width=8,
        ),
        s.Graph(
            title="Seconds in the queue per request",
            text="Request-seconds in the queue per request that ended. Behind a gateway the requests are those it "
            "reported: traffic past it makes this too high. Absent where an engine has no timers.",
            lines={NAMED: q.share(phase("queue"), q.rate(q.REQUESTS, *MODEL))},
            unit=s.SECONDS,
            width=8,
        ),
        s.Graph(
            title="Speculative tokens accepted",
            text="Share of the drafted tokens that were accepted. Rejected ones are work that nobody gets. Absent "
            "without speculative decoding, and for engines whose counters of it are not read.",
            lines={
                NAMED: q.share(
                    q.rate(q.of("tokencost_speculative_tokens_total", 'outcome="accepted"'), *MODEL),
                    q.rate(q.of("tokencost_speculative_tokens_total", 'outcome="drafted"'), *MODEL),
                )
            },
            unit=s.SHARE,
            highest=1,
            width=8,
        ),
    ),
)

REPORTS = s.Section(
    title="Who reports what, and how cost is split",
    panels=(
        s.Graph(
            title="Between engines and gateways",
            text="Share of the tokens that the engines counted in the last hour and no gateway reported: aborted "
            "requests, traffic past the gateway, answers under way. Below 0 the gateway reports tokens that no "
            "engine served, such as answers from its own cache. It stays 0 for pools without a gateway.",
            lines={
                "{{pool}}": "1 - ("
                + q.minus(
                    all_models(q.TOKENS, "1h"), q.increase(q.of(q.TOKENS, q.ANY_MODEL, q.NOBODY), "pool", over="1h")
                )
                + f" / ({all_models(q.ENGINE_TOKENS, '1h')} > 0))"
            },
            unit=s.SHARE,
            decimals=1,
            width=8,
        ),
        s.Graph(
            title="Aborted requests per second",
            text="Requests that ended before their answer did, as the engines count them. What they used is paid for "
            "and has no tenant behind a gateway. Absent for engines that do not count them.",
            lines={NAMED: q.rate("tokencost_aborted_requests_total", *MODEL)},
            unit=s.REQUESTS_PER_SECOND,
            width=8,
        ),
        s.Table(
            title="How it is counted",
            text="How the cost of a pool is split between token types (fitted from the engine's steps, fixed "
            "weights, compute time, or a price card), and what says how busy it was (GPU utilization, the fit, or "
            "tokens). From tokencost_allocation_info and tokencost_busy_info.",
            keys={"pool": "Pool", "method": "Split by", "source": "Busy from"},
            columns=(
                s.Column(
                    title="Split",
                    query=q.highest("tokencost_allocation_info", "pool", "method"),
                    unit=s.PLAIN,
                    shown=False,
                ),
                s.Column(
                    title="Busy", query=q.highest("tokencost_busy_info", "pool", "source"), unit=s.PLAIN, shown=False
                ),
            ),
            none="No pools",
            width=8,
        ),
    ),
)
