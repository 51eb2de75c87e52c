"""Alerts about budgets. They read the exporter's own gauges, which are made from its ledger: exact over its restarts,
over the gaps of a Prometheus and over the ends of months, with no calendar in PromQL."""

from __future__ import annotations

from textwrap import indent

from exporter.rules.rule import ONCALL, Alert, Group, per_budget, promql
from exporter.rules.windows import PUBLISHED, Pair, pairs

_BUDGET = ("budget",)


def _burns(alert: str) -> str:
    """The condition of a burn-rate alert: any of its pairs, both windows of it."""
    any_pair = "\nor\n".join(_in_brackets(_both(pair)) for pair in pairs(alert))
    return f"{_in_brackets(any_pair)}\n{_LONG_ENOUGH}"


def _both(pair: Pair) -> str:
    if not {pair.long, pair.short} <= set(PUBLISHED):
        raise ValueError(f"the exporter publishes no burn rate over {pair.long} and {pair.short}")
    return "\nand\n".join(f"{_burn(window)} > ${pair.setting}" for window in (pair.long, pair.short))


def _in_brackets(expr: str) -> str:
    return f"(\n{indent(expr, '  ')}\n)"


def _burn(window: str) -> str:
    return per_budget(f'tokencost_budget_burn_rate{{window="{window}"$except}}')


_LONG_ENOUGH = promql("""
    and
    max by ($by, budget) (
      tokencost_budget_period_end_timestamp_seconds - tokencost_budget_period_start_timestamp_seconds
    ) >= $shortest_period
""")

BUDGETS = Group(
    "tokencost-budgets",
    (
        Alert(
            "BudgetBurnRateFast",
            _burns("BudgetBurnRateFast"),
            "A budget is being spent many times faster than planned.",
            "Budget {{ $labels.budget }} burns {{ $value | humanize }} times as fast as planned.",
            ONCALL,
            _BUDGET,
        ),
        Alert(
            "BudgetBurnRateSlow",
            _burns("BudgetBurnRateSlow"),
            "A budget is being spent faster than planned.",
            "Budget {{ $labels.budget }} has burnt {{ $value | humanize }} times as fast as planned for a day.",
            ONCALL,
            _BUDGET,
        ),
        Alert(
            "BudgetForecastExceeded",
            # A day of history: an exporter that has just started knows nothing about a week.
            promql("""
                sum by ($by, budget) (
                  max by ($by, budget, shard) (
                    tokencost_budget_forecast_usd{budget!=""$except} / (tokencost_budget_limit_usd > 0)
                  )
                ) > $ratio
                and
                max by ($by, budget) (max_over_time(tokencost_budget_forecast_usd[1h] offset 1d))
            """),
            "A budget will not last to the end of its period.",
            "Budget {{ $labels.budget }} will end its period at {{ $value | humanizePercentage }} of its limit, at the "
            "rate of the last seven days.",
            ONCALL,
            _BUDGET,
        ),
        Alert(
            "BudgetNearlyExhausted",
            promql("""
                sum by ($by, budget) (
                  max by ($by, budget, shard) (
                    tokencost_budget_spent_usd{budget!=""$except} / (tokencost_budget_limit_usd > 0)
                  )
                ) >= $consumed
                and
                max by ($by, budget) (
                  (time() - tokencost_budget_period_start_timestamp_seconds)
                  / (
                    tokencost_budget_period_end_timestamp_seconds - tokencost_budget_period_start_timestamp_seconds
                    > 0
                  )
                ) < $elapsed
            """),
            "Most of a budget is spent well before its period ends.",
            "{{ $value | humanizePercentage }} of budget {{ $labels.budget }} is spent, well before its period ends.",
            ONCALL,
            _BUDGET,
        ),
        Alert(
            "BudgetExhausted",
            per_budget("tokencost_budget_spent_usd / (tokencost_budget_limit_usd > 0)") + " >= $consumed",
            "A budget is spent.",
            "{{ $value | humanizePercentage }} of budget {{ $labels.budget }} is spent.",
            ONCALL,
            _BUDGET,
        ),
        Alert(
            "BudgetDataMissing",
            promql("""
                max by ($by, budget) (tokencost_budget_info)
                unless
                budget:tokencost_budget_consumed:ratio
            """),
            "Nothing is known about a configured budget.",
            "How much of budget {{ $labels.budget }} is spent is not known: its alerts cannot fire.",
            ONCALL,
            _BUDGET,
        ),
    ),
)
