"""The live gauges: what a token costs now, over trailing windows. Undefined is absent, never 0 (law 7)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from exporter.allocation.booked import Booked
from exporter.columns import merge, sums
from exporter.config.types import format_duration
from exporter.ledger.accounts import Labels
from exporter.ledger.money import NS_PER_HOUR, PICO_PER_USD
from exporter.metering.window import Window
from exporter.records import OUTPUT_CLASSES

COST_PER_TOKEN = "tokencost_live_cost_usd_per_token"  # noqa: S105 - a metric's name
COST_PER_OUTPUT_TOKEN = "tokencost_live_cost_usd_per_output_token"  # noqa: S105 - a metric's name
SPEND_PER_TOKEN = "tokencost_live_spend_usd_per_token"  # noqa: S105 - a metric's name
SPEND_PER_HOUR = "tokencost_live_spend_usd_per_hour"

_COST, _TOKENS, _SPEND = "cost", "tokens", "spend"  # keys: (_COST, pool) and (_TOKENS | _SPEND, pool, model, class)


@dataclass(slots=True)
class _Model:
    tokens: int = 0
    output: int = 0
    spend: int = 0


class Live:
    """Sums over each configured window, and the gauges that follow from them."""

    def __init__(self, spans_ns: tuple[int, ...]) -> None:
        self._windows: dict[int, tuple[Window[Labels], Window[str]]] = {}  # by span: of pools, of tenants' spend
        self.configure(spans_ns)

    def configure(self, spans_ns: tuple[int, ...]) -> None:
        """Windows of a new config; those that stay keep their sums."""
        self._windows = {span: self._windows.get(span) or (Window(span), Window(span)) for span in spans_ns}

    def begin(self, now_ns: int) -> None:
        """Watching began at that monotonic time (first call counts)."""
        for pools, _ in self._windows.values():
            pools.begin(now_ns)

    def record(self, now_ns: int, booked: Mapping[str, Booked]) -> None:
        """Add one tick (pool -> what it booked) at monotonic time `now_ns`."""
        amounts: dict[Labels, int] = {}
        tenants: dict[str, int] = {}
        for pool, part in booked.items():
            amounts[_COST, pool] = sum(part.cost.values())
            tokens = sums(part.tokens)
            for kind, amount in part.unpriced.items():
                tokens[kind] = tokens.get(kind, 0) - amount  # tokens without a price have no cost per token
            amounts |= {(_TOKENS, pool, *kind): amount for kind, amount in tokens.items()}
            amounts |= {(_SPEND, pool, *kind): amount for kind, amount in sums(part.spend).items()}
            for column in part.spend.values():
                merge(tenants, column)
        for pools, spenders in self._windows.values():
            pools.add(now_ns, amounts)
            spenders.add(now_ns, tenants)

    def gauges(self, now_ns: int, tenants: Collection[str]) -> dict[str, dict[Labels, float]]:
        """Metric name -> labels -> value. `tenants`: everyone who ever spent; a known tenant without spend is at 0."""
        gauges: dict[str, dict[Labels, float]] = {
            COST_PER_TOKEN: {}, COST_PER_OUTPUT_TOKEN: {}, SPEND_PER_TOKEN: {}, SPEND_PER_HOUR: {}
        }  # fmt: skip
        for span, (pools, spenders) in self._windows.items():
            label = format_duration(span)
            totals = pools.totals
            models: dict[tuple[str, str], _Model] = {}
            for key, amount in totals.items():
                if key[0] == _TOKENS and amount > 0:
                    _, pool, model, token = key
                    spend = totals.get((_SPEND, pool, model, token), 0)
                    seen = models.setdefault((pool, model), _Model())
                    seen.tokens += amount
                    seen.output += amount if token in OUTPUT_CLASSES else 0
                    seen.spend += spend
                    gauges[SPEND_PER_TOKEN][pool, model, token, label] = spend / amount / PICO_PER_USD
            self._all_in(models, totals, label, gauges)
            covered, spent = pools.covered_ns(now_ns), spenders.totals
            for tenant in tenants if covered > 0 else ():
                gauges[SPEND_PER_HOUR][tenant, label] = spent.get(tenant, 0) * NS_PER_HOUR / covered / PICO_PER_USD
        return gauges

    @staticmethod
    def _all_in(
        models: Mapping[tuple[str, str], _Model],
        totals: Mapping[Labels, int],
        label: str,
        gauges: dict[str, dict[Labels, float]],
    ) -> None:
        """A pool's whole cost, idle included, over its models in the ratio of what they spent."""
        spent: dict[str, int] = {}
        served: dict[str, int] = {}
        for (pool, _), seen in models.items():
            spent[pool] = spent.get(pool, 0) + seen.spend
            served[pool] = served.get(pool, 0) + 1
        for (pool, model), seen in models.items():
            cost = totals.get((_COST, pool), 0) / PICO_PER_USD
            if served[pool] > 1:
                if not spent[pool]:
                    continue  # nothing says how the models share the cost
                cost *= seen.spend / spent[pool]
            gauges[COST_PER_TOKEN][pool, model, label] = cost / seen.tokens
            if seen.output:
                gauges[COST_PER_OUTPUT_TOKEN][pool, model, label] = cost / seen.output
