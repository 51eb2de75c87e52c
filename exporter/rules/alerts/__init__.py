"""The alert rules, group by group."""

from exporter.rules.alerts.budgets import BUDGETS
from exporter.rules.alerts.exporters import EXPORTERS
from exporter.rules.alerts.serving import SERVING
from exporter.rules.alerts.spending import SPENDING

ALERTS = (BUDGETS, SPENDING, SERVING, EXPORTERS)
