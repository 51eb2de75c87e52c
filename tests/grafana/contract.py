"""Series that the dashboards read and this exporter's page does not have: Prometheus's own, and those of budgets.

Names and labels of budgets are those of the public contract; the ones that the catalog has come from the books instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from exporter.books import Books
from exporter.ledger import families as f
from exporter.publish.catalog import USD, by_name

BUDGETS: Mapping[str, tuple[str, ...]] = {
    "tokencost_budget_limit_usd": ("budget",),
    "tokencost_budget_spent_usd": ("budget",),
    "tokencost_budget_forecast_usd": ("budget",),
    "tokencost_budget_burn_rate": ("budget", "window"),
    "tokencost_budget_period_start_timestamp_seconds": ("budget",),
    "tokencost_budget_period_end_timestamp_seconds": ("budget",),
    "tokencost_budget_exhaustion_timestamp_seconds": ("budget",),
    "tokencost_budget_info": ("budget", "tenant", "model_name", "pool", "period"),
}
SCRAPED = ("job", "instance", "cluster")  # labels that a scrape adds, and a label of the whole Prometheus
OTHERS: Mapping[str, tuple[str, ...]] = {
    "up": (),
    "process_cpu_seconds_total": (),
    "process_resident_memory_bytes": (),
    "ALERTS": ("alertname", "alertstate", "severity", "budget", "pool", "tenant", "target", "model_name"),
}
LABELS: Mapping[str, tuple[str, ...]] = {
    **BUDGETS,
    **OTHERS,
    **{metric.name: metric.labels for metric in by_name().values()},
}
MONTH = (1_793_491_200, 1_796_083_200)  # November 2026
LIMITS = {"everything": 4000.0, "acme": 600.0}


def contract(books: Books, now: float) -> Iterator[bytes]:
    """What stands beside the page in a scrape at `now`: `up`, an alert in the last 40 minutes, two budgets."""
    yield b"up 1"
    yield b'ALERTS{alertname="TokencostUnpricedUsage",alertstate="firing",severity="warning",pool="openai"} 1'
    if "tokencost_budget_limit_usd" in by_name():
        return
    spend = books.accounts[f.SPEND]
    for budget, limit in LIMITS.items():
        tenant = "" if budget == "everything" else budget
        mine = (v for labels, v in zip(spend.labels, spend.values, strict=True) if tenant in {"", labels[0]})
        spent = sum(mine) / USD
        values = {"limit_usd": limit, "spent_usd": spent, "forecast_usd": spent * 1.4,
                  "period_start_timestamp_seconds": MONTH[0], "period_end_timestamp_seconds": MONTH[1]}  # fmt: skip
        if budget == "acme":  # the other one lasts
            values["exhaustion_timestamp_seconds"] = MONTH[1] - 86_400
        for name, value in values.items():
            yield f'tokencost_budget_{name}{{budget="{budget}"}} {value!r}'.encode()
        for window in ("5m", "30m", "1h", "2h", "6h", "1d"):
            yield f'tokencost_budget_burn_rate{{budget="{budget}",window="{window}"}} 1.5'.encode()
        scope = f'budget="{budget}",tenant="{tenant}",model_name="",pool="",period="month"'
        yield f"tokencost_budget_info{{{scope}}} 1".encode()
