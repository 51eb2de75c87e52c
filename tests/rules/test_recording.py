"""The numbers that rules record, to twelve places: who checks only that they are there misses a factor of sixty."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from exporter.rules.groups import Options, recording_groups
from tests.rules.promtool import DAY, Series, counter, merged, needed, run, series

pytestmark = pytest.mark.peer

GROUPS = recording_groups(Options())
EXPRESSIONS = {rule["record"]: rule["expr"] for group in GROUPS for rule in group["rules"]}
Samples = Mapping[str, float]  # labels beside the job -> value; none: there is no such series


def per_second(name: str, rate: float, instance: str = "a:9742", **labels: str) -> dict[str, str]:
    return series(name, counter((200, rate * 60)), instance, **labels)


def use(pool: str, model: str, tenant: str, spend: float, **tokens: float) -> Series:
    who = {"tenant": tenant, "model_name": model, "pool": pool}
    parts = [per_second("tokencost_tokens_total", rate, **who, token_type=kind) for kind, rate in tokens.items()]
    return merged(*parts, per_second("tokencost_spend_usd_total", spend, **who, token_type="output"))  # noqa: S106


CHAT, MODEL = {"pool": "chat"}, {"pool": "chat", "model_name": "m"}
# A pool of two GPUs behind a gateway, and a paid API for which a quarter of the tokens have no price. Per second.
WORLD = merged(
    use("chat", "m", "acme", 0.009, input=100, cache_read=50, output=50),
    use("chat", "m", "_unattributed", 0.001, output=10),
    use("openai", "gpt", "acme", 0.0015, input=10, output=10),
    per_second("tokencost_unpriced_tokens_total", 5, model_name="gpt", pool="openai", token_type="output"),  # noqa: S106
    *(
        per_second("tokencost_engine_tokens_total", rate, **MODEL, token_type=kind)
        for kind, rate in {"input": 100, "cache_read": 50, "output": 70}.items()
    ),
    per_second("tokencost_requests_total", 0.2, tenant="acme", **MODEL),
    per_second("tokencost_cost_usd_total", 0.010, **CHAT, resource="gpu"),
    per_second("tokencost_cost_usd_total", 0.001, **CHAT, resource="overhead"),
    per_second("tokencost_cost_usd_total", 0.0015, pool="openai", resource="api"),
    per_second("tokencost_idle_cost_usd_total", 0.001, **CHAT),
    per_second("tokencost_gpu_seconds_total", 2, **CHAT),
    per_second("tokencost_gpu_energy_joules_total", 300, **CHAT, gpu="0"),
    per_second("tokencost_gpu_energy_joules_total", 300, **CHAT, gpu="1"),
    *(
        per_second("tokencost_request_seconds_total", rate, **MODEL, phase=phase)
        for phase, rate in {"queue": 0.1, "prefill": 1, "decode": 7}.items()
    ),
    series("tokencost_allocation_info", "1x200", pool="openai", method="price_card"),
    series("tokencost_allocation_info", "1x200", pool="chat", method="fitted"),
    series("tokencost_requests_waiting", "3x200", **CHAT),
    series("tokencost_requests_waiting", "2x200", "b:9742", **CHAT),
    series("tokencost_budget_limit_usd", "1000x200", budget="acme"),
    series("tokencost_budget_spent_usd", "250x200", budget="acme"),
    series("tokencost_budget_forecast_usd", "1100x200", budget="acme"),
    series("tokencost_budget_period_start_timestamp_seconds", "0x200", budget="acme"),
    series("tokencost_budget_period_end_timestamp_seconds", "36000x200", budget="acme"),
)


def at(pool: str, model: str = "", **more: str) -> str:
    labels = {**({"model_name": model} if model else {}), "pool": pool, **more}
    return ", ".join(f'{key}="{value}"' for key, value in labels.items())


ACME, CHAT_M, GPT = 'tenant="acme"', at("chat", "m"), at("openai", "gpt")
TYPED: Samples = {
    at("chat", "m", token_type="input"): 100, at("chat", "m", token_type="cache_read"): 50,  # noqa: S106
    at("chat", "m", token_type="output"): 60, at("openai", "gpt", token_type="input"): 10,  # noqa: S106
    at("openai", "gpt", token_type="output"): 10,  # noqa: S106
}  # fmt: skip
NOW: Mapping[str, Samples] = {
    "pool_model_type:tokencost_tokens:rate5m": TYPED,
    "pool_model_type:tokencost_tokens:rate1h": TYPED,
    "pool_model_type:tokencost_unpriced_tokens:rate1h": {at("openai", "gpt", token_type="output"): 5},  # noqa: S106
    "pool_model_type:tokencost_engine_tokens:rate1h": {
        at("chat", "m", token_type=kind): rate for kind, rate in {"input": 100, "cache_read": 50, "output": 70}.items()
    },
    "pool_model_type:tokencost_priced_tokens:rate1h": {**TYPED, at("openai", "gpt", token_type="output"): 5},  # noqa: S106
    "pool_model:tokencost_requests:rate1h": {CHAT_M: 0.2},
    "pool_model:tokencost_spend_usd:rate1h": {CHAT_M: 0.01, GPT: 0.0015},
    "pool_model_phase:tokencost_request_seconds:rate1h": {
        at("chat", "m", phase=phase): rate for phase, rate in {"queue": 0.1, "prefill": 1, "decode": 7}.items()
    },
    "pool:tokencost_cost_usd:rate1h": {at("chat"): 0.011, at("openai"): 0.0015},
    "pool:tokencost_idle_cost_usd:rate1h": {at("chat"): 0.001},
    "pool:tokencost_gpu_seconds:rate1h": {at("chat"): 2},
    "pool:tokencost_gpu_energy_joules:rate1h": {at("chat"): 600},
    "pool:tokencost_spend_usd:rate1h": {at("chat"): 0.01, at("openai"): 0.0015},
    "pool:tokencost_engine_tokens:rate1h": {at("chat"): 220},
    "pool:tokencost_unattributed_spend_usd:rate1h": {at("chat"): 0.001},
    "pool:tokencost_attributed_tokens:rate1h": {at("chat"): 200, at("openai"): 20},
    "pool:tokencost_requests_waiting:sum": {at("chat"): 5},
    "tenant:tokencost_tokens:rate5m": {ACME: 220, 'tenant="_unattributed"': 10},
    "tenant:tokencost_tokens:rate1h": {ACME: 220, 'tenant="_unattributed"': 10},
    "tenant:tokencost_spend_usd:rate1h": {ACME: 0.0105, 'tenant="_unattributed"': 0.001},
    "tenant:tokencost_spend_usd:increase1h": {ACME: 37.8, 'tenant="_unattributed"': 3.6},
    "pool_model:tokencost_tokens:rate5m": {CHAT_M: 210, GPT: 20},
    "pool_model:tokencost_tokens:rate1h": {CHAT_M: 210, GPT: 20},
    "pool:tokencost_tokens:rate1h": {at("chat"): 210, at("openai"): 20},
    "pool_model:tokencost_tokens_per_request:ratio_rate1h": {CHAT_M: 1050},
    "pool_model:tokencost_api_cost_usd_per_token:ratio_rate1h": {GPT: 0.0001},
    "pool_model:tokencost_cost_usd:rate1h": {CHAT_M: 0.011, GPT: 0.0015},
    "pool_model:tokencost_cost_usd_per_token:ratio_rate1h": {CHAT_M: 0.011 / 210, GPT: 0.0001},
    "pool_model:tokencost_cost_usd_per_output_token:ratio_rate1h": {CHAT_M: 0.011 / 60, GPT: 0.0003},
    "pool:tokencost_cost_usd_per_token:ratio_rate1h": {at("chat"): 0.011 / 210, at("openai"): 0.0001},
    "pool_model:tokencost_decode_seconds_per_token:ratio_rate1h": {CHAT_M: 0.1},
    "pool_model:tokencost_prefill_seconds_per_token:ratio_rate1h": {CHAT_M: 1 / 150},
    "pool_model:tokencost_cache_hit:ratio_rate1h": {CHAT_M: 1 / 3},
    "pool:tokencost_gpu_hours_per_million_tokens:ratio_rate1h": {at("chat"): 2 / 3600 / 210 * 1e6},
    "pool:tokencost_joules_per_token:ratio_rate1h": {at("chat"): 600 / 210},
    "pool:tokencost_idle_cost:ratio_rate1h": {at("chat"): 1 / 11},
    "pool:tokencost_unattributed_spend:ratio_rate1h": {at("chat"): 0.1, at("openai"): 0},
    "pool:tokencost_engine_gateway_gap:ratio_rate1h": {at("chat"): 1 - 200 / 220},
    "budget:tokencost_budget_consumed:ratio": {'budget="acme"': 0.25},
    "budget:tokencost_budget_forecast:ratio": {'budget="acme"': 1.1},
    "budget:tokencost_budget_elapsed:ratio": {'budget="acme"': 0.25},
}

# A tenant who spends 30 USD an hour for a month, then 90. What is asked for is what the rule would record at a minute.
MONTH = 31 * DAY
SPENDING = series(
    "tokencost_spend_usd_total", counter((MONTH, 0.5), (120, 1.5)), tenant="acme", **MODEL, token_type="output"  # noqa: S106
)  # fmt: skip
MONTHLY: Mapping[str, Mapping[int, Samples]] = {
    # It trails by half an hour: of the hour at 90 USD half is in it.
    "tenant:tokencost_spend_usd:increase1d": {
        5 * DAY: {ACME: 720}, 5 * DAY + 3: {ACME: 720}, MONTH + 60: {ACME: 752.5}
    },
    "tenant:tokencost_spend_usd:increase30d": {29 * DAY: {}, 30 * DAY + 130: {ACME: 21600}},
}  # fmt: skip

# After nine days a tenant spends three times as much. After a week there are half as many tokens more per request.
WEEKS = merged(
    series("tokencost_spend_usd_total", counter((9 * DAY, 0.5), (7 * DAY, 1.5)), tenant="acme", **MODEL,
           token_type="output"),  # noqa: S106
    series("tokencost_tokens_total", counter((7 * DAY, 60000), (9 * DAY, 90000)), tenant="acme", **MODEL,
           token_type="cache_read"),  # noqa: S106
    series("tokencost_requests_total", counter((16 * DAY, 60)), tenant="acme", **MODEL),
    series("tokencost_cost_usd_total", counter((16 * DAY, 0.6)), **CHAT, resource="gpu"),
)  # fmt: skip
WEEKLY: Mapping[str, Mapping[int, Samples]] = {
    "pool_model:tokencost_token_inflation:ratio1w": {7 * DAY: {}, 14 * DAY + 60: {CHAT_M: 1.5}},
    "tenant:tokencost_tokens:peak_rate1h_1w": {DAY: {}, 3 * DAY: {ACME: 1000}, 9 * DAY: {ACME: 1500}},
    "tenant:tokencost_spend_usd:median_rate1h_1w": {9 * DAY: {ACME: 0.5 / 60}},
    "tenant:tokencost_spend_usd:last_week_rate1h": {6 * DAY: {}, 9 * DAY: {ACME: 0.5 / 60}},
    "tenant:tokencost_spend_usd:usual_rate1h": {6 * DAY: {}, 9 * DAY: {ACME: 0.5 / 60}},
    "tenant:tokencost_spend_anomaly:score": {8 * DAY: {ACME: 1}, 9 * DAY + 90: {ACME: 3}},
    "pool:tokencost_cost_usd_per_token:median1w": {DAY // 2: {}, 3 * DAY: {at("chat"): 1e-5}},
    "pool:tokencost_tokens:median_rate1h_1w": {3 * DAY: {at("chat"): 1000}},
    "pool_model:tokencost_cache_hit:median1w": {DAY // 2: {}, 3 * DAY: {CHAT_M: 1}},
}


def expected(expr: str, minute: int, samples: Samples, digits: str) -> dict[str, Any]:
    job = ', job="tokencost"'
    rows = [
        {"labels": f"{{{labels}{job}}}", "value": _rounded(value, float(digits))} for labels, value in samples.items()
    ]
    return {"expr": f"round({expr}, {digits})", "eval_time": f"{minute}m", "exp_samples": rows}


def _rounded(value: float, to: float) -> float:
    """As PromQL's round() does it."""
    return int(value * (1 / to) + 0.5) / (1 / to)


def test_every_rule_has_its_numbers_here() -> None:
    assert {*NOW, *MONTHLY, *WEEKLY} == set(EXPRESSIONS)


def test_what_is_recorded_of_this_hour(tmp_path: Path) -> None:
    tests = [expected(name, 150, samples, "1e-12") for name, samples in NOW.items()]
    groups = [group for group in GROUPS if group["name"] != "tokencost-baselines"]
    run(groups, [{"name": "now", "interval": "1m", "input_series": _rows(WORLD), "promql_expr_test": tests}], tmp_path)


@pytest.mark.parametrize(("story", "later"), [(SPENDING, MONTHLY), (WEEKS, WEEKLY)], ids=["a month", "two weeks"])
def test_what_is_recorded_of_days(story: Series, later: Mapping[str, Mapping[int, Samples]], tmp_path: Path) -> None:
    """The rules of an hour are recorded, those of days are asked for: recording them every minute takes a minute."""
    asked = {name: _inlined(name) for name in later}
    tests = [
        expected(asked[name], minute, samples, "1e-9" if "rate1h" in name or "per_token" in name else "0.01")
        for name, times in later.items()
        for minute, samples in times.items()
    ]
    of_hours: list[str] = []
    for group in needed(GROUPS, *(set(EXPRESSIONS) & set(re.findall(r"\w+:\w+:\w+", " ".join(asked.values()))))):
        of_hours += group["rules"]
    groups = [{"name": "hours", "interval": "4m", "rules": of_hours}]
    run(groups, [{"name": "days", "interval": "1m", "input_series": _rows(story), "promql_expr_test": tests}], tmp_path)


def _inlined(name: str) -> str:
    """The rule's expression, with those of other rules of days in it."""
    expr = EXPRESSIONS[name]
    while used := [other for other in {**MONTHLY, **WEEKLY} if other in expr]:
        for other in used:
            expr = expr.replace(other, f"({EXPRESSIONS[other]})")
    return f"({expr})"


def _rows(stories: Series) -> list[dict[str, str]]:
    return [{"series": selector, "values": values} for selector, values in stories.items()]
