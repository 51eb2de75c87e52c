"""An example of what Alertmanager does with these alerts: who is told, and which alert makes others needless."""

from __future__ import annotations

from typing import Any, NamedTuple

from exporter.rules.alerts.budgets import BUDGETS
from exporter.rules.alerts.serving import SERVING
from exporter.rules.alerts.spending import SPENDING
from exporter.rules.groups import PREFIX, Options


class Inhibition(NamedTuple):
    """While `source` fires, `targets` are not told, where these labels (beside `by`) are set and the same."""

    source: str
    targets: tuple[str, ...]
    equal: tuple[str, ...]
    why: str


INHIBITIONS = (
    Inhibition(
        "BudgetExhausted",
        ("BudgetBurnRateFast", "BudgetBurnRateSlow", "BudgetForecastExceeded", "BudgetNearlyExhausted"),
        ("budget",),
        "what was feared has happened",
    ),
    Inhibition("BudgetBurnRateFast", ("BudgetBurnRateSlow",), ("budget",), "the page says it already"),
    Inhibition("UnattributedCostHigh", ("EngineGatewayGap",), ("pool",), "the same tokens, as money"),
)


def alertmanager(options: Options) -> dict[str, Any]:
    """A config for Alertmanager 0.22 and later. Its receivers have to be filled in."""
    return {
        "route": {
            "receiver": "tickets",
            "group_by": ["alertname", *options.by],
            "routes": [
                {"matchers": ['severity="critical"'], "receiver": "pages", "repeat_interval": "4h"},
                {"matchers": ['severity="info"'], "receiver": "nobody"},
            ],
        },
        "receivers": [{"name": name} for name in ("pages", "tickets", "nobody")],
        "inhibit_rules": [*(_rule(inhibition, options) for inhibition in INHIBITIONS), _exporter_down(options)],
    }


def _rule(inhibition: Inhibition, options: Options) -> dict[str, Any]:
    # Labels that are missing on both sides count as equal: without these matchers one budget would silence them all.
    present = [f'{label}=~".+"' for label in inhibition.equal]
    targets = "|".join(PREFIX + target for target in inhibition.targets)
    return {
        "source_matchers": [f'alertname="{PREFIX}{inhibition.source}"', *present],
        "target_matchers": [f'alertname=~"{targets}"', *present],
        "equal": [*options.by, *inhibition.equal],
    }


def _exporter_down(options: Options) -> dict[str, Any]:
    """What an exporter that is down said last of costs is no news. A page is never held back: of many exporters in one
    job another may have sent it."""
    costs = "|".join(PREFIX + rule.name for group in (BUDGETS, SPENDING, SERVING) for rule in group.rules)
    return {
        "source_matchers": [f'alertname="{PREFIX}ExporterDown"', 'job=~".+"'],
        "target_matchers": [f'alertname=~"{costs}"', 'severity!="critical"', 'job=~".+"'],
        "equal": list(options.by),
    }
