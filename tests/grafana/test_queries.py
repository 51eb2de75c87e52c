"""Every query of every dashboard, asked of a real Prometheus that holds two weeks of a fleet.

Each answers, and with data; and the numbers that people act on are those of the books.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from tests.conftest import require_peer
from tests.grafana.boards import UIDS, filled, targets, variables
from tests.grafana.history import END, History
from tests.grafana.prometheus import Prometheus, prometheus

pytestmark = [pytest.mark.peer, pytest.mark.asyncio(loop_scope="module")]
TARGETS = {str(target): target for target in targets()}
FORTNIGHT = 14 * 86_400
COST, IDLE, SPEND = "tokencost_cost_usd_total", "tokencost_idle_cost_usd_total", "tokencost_spend_usd_total"
TOKENS, UNPRICED, REQUESTS = "tokencost_tokens_total", "tokencost_unpriced_tokens_total", "tokencost_requests_total"

# Queries that this history has no answer for, each with its reason.
EMPTY = {
    **{
        f"{board}: Spend by model, USD per hour: everyone else": "the fleet serves fewer than thirteen models"
        for board in ("executive", "oncall")
    },
    **{f"exporter: Exporters: {column}": "nothing is pushed in this history" for column in "GH"},
    **{f"exporter: Where targets are found: {column}": "its targets are written down" for column in "ABCD"},
}


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    require_peer(shutil.which("prometheus") and shutil.which("promtool"), "prometheus (Debian package prometheus)")
    history = History(tmp_path_factory.mktemp("history"))
    history.live()
    return history


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(history: History, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Prometheus]:
    folder = tmp_path_factory.mktemp("prometheus")
    history.write(folder / "history.om")
    async with prometheus(folder / "history.om", folder) as running:
        yield running


@pytest.mark.parametrize("name", TARGETS)
async def test_it_answers_with_data(server: Prometheus, name: str) -> None:
    target = TARGETS[name]
    query = filled(target.expr, target.board)
    found = await (server.now(query) if target.instant else server.lately(query))
    pairs = [pair for row in found for pair in row.get("values", [row.get("value")])]
    assert not {"NaN", "+Inf", "-Inf"} & {value for _, value in pairs}
    assert bool(found) is (name not in EMPTY), query


@pytest.mark.parametrize("uid", UIDS)
async def test_it_answers_with_something_chosen_too(server: Prometheus, uid: str) -> None:
    """One value, several as Grafana joins them, and a value with a dot in it."""
    chosen = {
        "pool": "chat-70b|openai", "model": "(chat-70b|gpt-4o)", "tenant": "acme", "window": "1h", "job": "tokencost",
    }  # fmt: skip
    for target in TARGETS.values():
        if target.board == uid:
            query = filled(target.expr, uid, chosen)
            await (server.now(query) if target.instant else server.lately(query))


async def test_variables_have_values(server: Prometheus) -> None:
    expected = {
        "job": {"tokencost"},
        "cluster": set(),  # this Prometheus has no such label
        "pool": {"chat-70b", "code-32b", "openai"},
        "window": {"5m", "1h"},
    }
    for uid in UIDS:
        for name, variable in variables(uid).items():
            if variable["type"] == "datasource":
                continue
            selector, _, label = variable["query"].removeprefix("label_values(").removesuffix(")").rpartition(", ")
            found = set(await server.numbers(f"count by ({label}) ({filled(selector, uid)})", label)) - {""}
            assert found == expected.get(name, found)
            assert found or name == "cluster"


# -- the numbers ------------------------------------------------------------------------------------------------------


def asked(name: str, **chosen: str) -> str:
    """The query of that panel, as Grafana sends it."""
    target = TARGETS[name]
    return filled(target.expr, target.board, chosen)


def grew(history: History, metric: str, **labels: str) -> float:
    return history.grew(metric, END - FORTNIGHT, **labels)


Grew = Callable[..., float]


def of(grew: Grew, metric: str, *kinds: str) -> float:
    """Growth of those types of tokens, or of the money for them."""
    return sum(grew(metric, token_type=kind) for kind in kinds)


PROMPT = ("input", "cache_read", "cache_write")
NUMBERS: dict[str, Callable[[Grew], float]] = {
    "executive: Cost: Cost": lambda g: g(COST),
    "executive: Cost per 1M tokens: Cost per 1M tokens": lambda g: 1e6 * g(COST) / (g(TOKENS) - g(UNPRICED)),
    "executive: Idle share: Idle share": lambda g: g(IDLE) / (g(COST) - g(COST, resource="api")),
    "executive: Spend without a tenant: Spend without a tenant": lambda g: g(SPEND, tenant="_unattributed") / g(SPEND),
    "debug: Output per request: Output per request": lambda g: of(g, TOKENS, "output") / g(REQUESTS),
    "debug: Per 1M prompt tokens: Per 1M prompt tokens": lambda g: 1e6 * of(g, SPEND, *PROMPT) / of(g, TOKENS, *PROMPT),
    "debug: Cache hits: Cache hits": lambda g: of(g, TOKENS, "cache_read") / of(g, TOKENS, *PROMPT),
    "debug: GPU busy: GPU busy": lambda g: g("tokencost_gpu_busy_seconds_total") / g("tokencost_gpu_seconds_total"),
    "debug: GPU-hours per 1M tokens: GPU-hours per 1M tokens": lambda g: (
        1e6 / 3600 * g("tokencost_gpu_seconds_total") / (g(TOKENS) - g(TOKENS, pool="openai"))
    ),
    "exporter: Tokens without a price: Tokens without a price": lambda g: g(UNPRICED),
}


@pytest.mark.parametrize("name", NUMBERS)
async def test_a_number_is_that_of_the_books(server: Prometheus, history: History, name: str) -> None:
    truth = NUMBERS[name](lambda metric, **labels: grew(history, metric, **labels))
    assert truth > 0
    assert await server.number(asked(name)) == pytest.approx(truth, rel=0.01)


async def test_the_price_of_a_chosen_model_is_its_share_of_its_pools_cost(server: Prometheus, history: History) -> None:
    """Idle time too; the chat pool serves one model under two names."""
    spend, cost = grew(history, SPEND, pool="chat-70b", model_name="chat-70b"), grew(history, COST, pool="chat-70b")
    part = spend / grew(history, SPEND, pool="chat-70b")
    truth = 1e6 * cost * part / grew(history, TOKENS, pool="chat-70b", model_name="chat-70b")
    name = "debug: Cost per 1M tokens: Cost per 1M tokens"
    found = await server.number(asked(name, pool="chat-70b", model="chat-70b"))
    assert 0 < part < 1
    assert found == pytest.approx(truth, rel=0.01)


async def test_the_books_close_and_all_that_is_wrong_is_seen(server: Prometheus) -> None:
    assert await server.number(asked("exporter: Books are out by: Books are out by")) < 1e-6
    seen = {
        "exporter: Exporters down: Exporters down": 1,  # one of two
        "exporter: GPUs without a price: GPUs without a price": 1,
        "exporter: GPUs refused: GPUs refused": 1,
        "oncall: Alerts firing: Alerts firing": 1,
        "exporter: Oldest target: Oldest target": 120,
        "exporter: Targets down: Targets down": 2,  # the one that is 120 s old, and one that never answered
    }
    for name, number in seen.items():
        assert await server.number(asked(name)) == pytest.approx(number), name


async def test_lines_that_are_stacked_add_up(server: Prometheus) -> None:
    """The tenants that are named and all the others are everyone; the shares of the token mix are one."""
    everyone = await server.over_time(filled(f"sum(rate({SPEND}[$__rate_interval])) * 3600", UIDS[0]))
    for board in ("executive", "oncall"):
        panel = f"{board}: Spend by tenant, USD per hour"
        named = await server.over_time(asked(f"{panel}: {{{{tenant}}}}"))
        others = await server.over_time(asked(f"{panel}: everyone else"))
        assert {at: named[at] + others[at] for at in everyone} == pytest.approx(everyone)
    mix = await server.over_time(asked("debug: Token mix: {{token_type}}"))
    assert mix == pytest.approx(dict.fromkeys(mix, 1))


async def test_a_gap_between_engines_and_gateways_is_seen(server: Prometheus) -> None:
    """One tenant of the demo goes past the gateway; the pool without a gateway has no gap."""
    gap = {
        row["metric"]["pool"]: row
        for row in await server.lately(asked("debug: Between engines and gateways: {{pool}}"))
    }
    assert float(gap["chat-70b"]["values"][-1][1]) > 0.05
    assert float(gap["code-32b"]["values"][-1][1]) == pytest.approx(0, abs=1e-9)
