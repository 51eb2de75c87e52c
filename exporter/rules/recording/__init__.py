"""The recording rules, group by group."""

from exporter.rules.recording.baselines import BASELINES
from exporter.rules.recording.rates import RATES
from exporter.rules.recording.ratios import RATIOS
from exporter.rules.recording.totals import TOTALS

RECORDING = (RATES, RATIOS, TOTALS, BASELINES)
