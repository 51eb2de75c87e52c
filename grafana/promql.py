"""Pieces of queries that several dashboards share. Ratios divide by what is above 0 only: undefined is absent."""

from __future__ import annotations

COST, IDLE, SPEND = "tokencost_cost_usd_total", "tokencost_idle_cost_usd_total", "tokencost_spend_usd_total"
TOKENS, UNPRICED, REQUESTS = "tokencost_tokens_total", "tokencost_unpriced_tokens_total", "tokencost_requests_total"
PENDING = "tokencost_pending_cost_usd"
GPU_TIME, BUSY_TIME = "tokencost_gpu_seconds_total", "tokencost_gpu_busy_seconds_total"
ENGINE_TOKENS, REQUEST_TIME = "tokencost_engine_tokens_total", "tokencost_request_seconds_total"

PROMPT = 'token_type=~"input|cache_read|cache_write"'
OUTPUT = 'token_type=~"output|reasoning"'
ANY_MODEL, ANY_TENANT = 'model_name=~".*"', 'tenant=~".*"'  # whatever is chosen at the top of the dashboard
NOBODY = 'tenant="_unattributed"'
STEP, RANGE = "$__rate_interval", "$__range"


def of(metric: str, *matchers: str) -> str:
    """The metric with these matchers."""
    return f"{metric}{{{', '.join(matchers)}}}"


def rate(metric: str, *by: str) -> str:
    """Per second, over the panel's step."""
    return f"{_sum(by)}(rate({metric}[{STEP}]))"


def increase(metric: str, *by: str, over: str = RANGE, offset: str = "") -> str:
    """How much it grew: over the dashboard's time range, unless said otherwise."""
    return f"{_sum(by)}(increase({metric}[{over}]{f' offset {offset}' if offset else ''}))"


def grown(metric: str, over: str, *by: str, offset: str = "") -> str:
    """A rate where `over` is the panel's step, else an increase: for ratios, in which the unit cancels out."""
    return rate(metric, *by) if over == STEP else increase(metric, *by, over=over, offset=offset)


def _sum(by: tuple[str, ...]) -> str:
    return f"sum by ({', '.join(by)}) " if by else "sum"


def per_hour(metric: str, *by: str) -> str:
    """Of a metric in US dollars: US dollars per hour."""
    return f"{rate(metric, *by)} * 3600"


def share(part: str, whole: str) -> str:
    """One query over another, where that is above 0."""
    return f"{part} / ({whole} > 0)"


def minus(whole: str, *parts: str) -> str:
    """`whole` less the parts, of which a series that is not there counts as 0."""
    return "(" + " - ".join([whole, *(f"({part} or 0 * {whole})" for part in parts)]) + ")"


def cost_per_million(over: str, *by: str, offset: str = "") -> str:
    """All-in: all cost over all tokens that have a price. Cost has no model and no tenant, so no token is left out."""
    metrics = (COST, of(TOKENS, ANY_MODEL, ANY_TENANT), of(UNPRICED, ANY_MODEL))
    cost, tokens, unpriced = (grown(metric, over, *by, offset=offset) for metric in metrics)
    return "1e6 * " + share(cost, minus(tokens, unpriced))


def spend_per_million(kinds: str, over: str, *by: str) -> str:
    """What use paid for tokens of those types, over those tokens."""
    return "1e6 * " + share(grown(of(SPEND, kinds), over, *by), grown(of(TOKENS, kinds), over, *by))


def top(metric: str, by: str, most: int = 12) -> dict[str, str]:
    """US dollars per hour of those that spent most in the time range, and of all the others together: lines that add
    up. `@ end()` makes it the same ones in every step."""
    each = rate(metric, by)
    best = f"({each} and topk({most}, sum by ({by}) (increase({metric}[{RANGE}] @ end()))))"
    return {f"{{{{{by}}}}}": f"{best} * 3600", "everyone else": f"(sum({each}) - sum({best})) * 3600 > 0.000001"}


def total(gauge: str, *by: str) -> str:
    """A gauge of which several exporters each have a part."""
    return f"{_sum(by)}({gauge})"


def highest(gauge: str, *by: str) -> str:
    """A gauge with these labels only."""
    return f"max by ({', '.join(by)}) ({gauge})"


def since(timestamp: str) -> str:
    """Seconds since then."""
    return f"(time() - {timestamp})"
