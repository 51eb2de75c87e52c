"""Small views to publish."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import strategies as st

from exporter.ledger.accounts import Family, Labels
from exporter.publish.catalog import USD
from exporter.publish.view import TargetStatus, View
from exporter.records import NS, Instant

TOKENS, SPEND = "tokencost_tokens_total", "tokencost_spend_usd_total"
COST, IDLE, PENDING = "tokencost_cost_usd_total", "tokencost_idle_cost_usd_total", "tokencost_pending_cost_usd"
GPUS, HOURLY = "tokencost_gpus", "tokencost_live_spend_usd_per_hour"
PER_MODEL = "tokencost_live_cost_usd_per_token"
CENT = USD // 100

# What a hostile engine may put into a label; text files know no lone surrogates, the writer must survive them.
HOSTILE = st.text(
    st.sampled_from('ab"\\\n\r\t {}=,#\x00\x85\u2028é漢🙂') | st.characters(exclude_categories=["Cs"]), max_size=12
)


def family(name: str, values: Mapping[Labels, int]) -> Family:
    made = Family(name)
    for labels, value in values.items():
        made.open(labels)
        made.add(labels, value)
    return made


def view(
    *families: Family,
    gauges: Mapping[str, Mapping[Labels, float]] | None = None,
    targets: tuple[TargetStatus, ...] = (),
) -> View:
    start = Instant(10 * NS, 1_700_000_000 * NS)
    now = Instant(70 * NS, 1_700_000_060 * NS)
    return View(now, start, {made.name: made for made in families}, gauges or {}, targets)


def fleet() -> View:
    """One pool, two tenants, three cents spent and one idle, one target up and one down."""
    return view(
        family(
            TOKENS,
            {
                ("acme", "llama", "a100", "input"): 300,
                ("acme", "llama", "a100", "output"): 100,
                ("globex", "llama", "a100", "output"): 50,
            },
        ),
        family(SPEND, {("acme", "llama", "a100", "output"): 2 * CENT, ("globex", "llama", "a100", "output"): CENT}),
        family(COST, {("a100", "gpu"): 3 * CENT, ("a100", "overhead"): CENT}),
        family(IDLE, {("a100",): CENT}),
        family("tokencost_target_scrapes_total", {("http://127.0.0.1:1/metrics",): 7}),
        family("tokencost_target_scrape_failures_total", {("http://127.0.0.1:2/metrics", "connect"): 3}),
        gauges={
            GPUS: {("a100",): 1.5},
            PENDING: {("a100",): 0.0},
            HOURLY: {("acme", "5m"): 1.5, ("globex", "5m"): 0.75, ("acme", "1h"): 1.0},
            PER_MODEL: {("a100", "llama", "5m"): 4e-06},
            "tokencost_budget_limit_usd": {("acme.monthly",): 5000.0},
            "tokencost_budget_spent_usd": {("acme.monthly",): 0.0},
            "tokencost_budget_burn_rate": {("acme.monthly", "5m"): 0.0, ("acme.monthly", "1h"): 0.5},
            "tokencost_budget_info": {("acme.monthly", "acme", "", "", "month"): 1.0},
        },
        targets=(
            TargetStatus("http://127.0.0.1:1/metrics", "a100", "vllm", up=True, last_success=1_700_000_055.0),
            TargetStatus("http://127.0.0.1:2/metrics", "a100", "vllm", up=False, reason="connect", detail="refused"),
        ),
    )
