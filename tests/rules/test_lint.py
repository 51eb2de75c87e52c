"""Every rule is made as rules should be, and each check finds the mistake it is there for."""

from __future__ import annotations

import promql_parser
import pytest

from exporter.rules.groups import Options, alert_groups, recording_groups
from tests.rules import lint
from tests.rules.inference import Labels, Wrong, labels
from tests.rules.published import SERIES

GROUPS = [*recording_groups(Options()), *alert_groups(Options())]
RULES = [rule for group in GROUPS for rule in group["rules"]]
RECORDS = [rule for rule in RULES if "record" in rule]
ALERTS = [rule for rule in RULES if "alert" in rule]

# The catalogue of alerts and how urgent each is.
CATALOGUE = {
    "BudgetBurnRateFast": "critical", "BudgetBurnRateSlow": "warning", "BudgetForecastExceeded": "warning",
    "BudgetNearlyExhausted": "warning", "BudgetExhausted": "critical", "SpendAnomaly": "warning",
    "CostPerTokenHigh": "warning", "IdleCostHigh": "info", "UnattributedCostHigh": "warning",
    "UnpricedUsage": "warning", "TenantOverflow": "warning", "ExporterDown": "critical", "ExporterAbsent": "critical",
    "SourceStale": "warning", "DiscoveryFailed": "warning", "ConfigReloadFailed": "warning",
    "StateNotPersisted": "warning", "PriceCatalogStale": "info", "BudgetDataMissing": "warning",
    "TokenRateSpike": "warning", "CacheHitDrop": "warning", "QueueGrowing": "warning", "EngineGatewayGap": "warning",
}  # fmt: skip


def _known() -> dict[str, Labels]:
    """Metrics of the exporter and those that rules record, each from the ones before it."""
    known = dict(SERIES)
    for rule in RECORDS:
        known[rule["record"]] = labels(promql_parser.parse(rule["expr"]), known) or Labels()
    return known


KNOWN = _known()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert") or rule["record"])
def test_a_rule_is_sound(rule: lint.Rule) -> None:
    """Every metric and label exists, sides match, counters are rated, nothing is divided by 0, and what it says is
    there."""
    more = lint.recording(rule, KNOWN) if "record" in rule else lint.alert(rule, KNOWN)
    assert [*lint.expression(rule, KNOWN), *more] == []


def test_the_alerts_are_those_of_the_catalogue() -> None:
    assert {rule["alert"]: rule["labels"]["severity"] for rule in ALERTS} == {
        f"Tokencost{name}": severity for name, severity in CATALOGUE.items()
    }


def test_no_rule_is_there_twice() -> None:
    names = [rule.get("alert") or rule["record"] for rule in RULES]
    assert sorted(set(names)) == sorted(names)
    assert len({group["name"] for group in GROUPS}) == len(GROUPS)


def test_mimir_takes_every_group() -> None:
    """Its default limit is 20 rules in a group."""
    assert max(len(group["rules"]) for group in GROUPS) <= 20


@pytest.mark.parametrize(
    ("expr", "says"),
    [
        ("sum by (cluster, job) (tokencost_nothing)", "there is no metric tokencost_nothing"),
        ("sum by (cluster, job, tenant) (tokencost_gpus)", "there is no label tenant"),
        ('tokencost_gpus{tenant="a"}', "there is no label tenant"),
        ("tokencost_gpus + on (cluster, job, tenant) tokencost_gpus", "there is no label tenant"),
        ("tokencost_gpus - tokencost_target_up", "never matches"),
        ("tokencost_gpus + ignoring (pool) tokencost_gpus", "matches by ignoring"),
        ("sum(tokencost_gpus)", "does not say which labels stay"),
        ("sum by (pool) (tokencost_gpus)", "adds up clusters or jobs"),
        ("tokencost_spend_usd_total > 5", "is used bare"),
        ("max_over_time(tokencost_spend_usd_total[1h])", "is used bare"),
        ("rate(tokencost_spend_usd_total[2m])", "fewer than four scrapes"),
        ("rate(tenant:tokencost_spend_usd:rate1h[1h])", "not the rate of a counter"),
        ("rate(sum by (cluster, job) (rate(tokencost_requests_total[5m]))[1h:1m])", "not the rate of a counter"),
        ("tokencost_gpus / tokencost_unpriced_gpus", "may be 0"),
        ("tokencost_gpus / (tokencost_unpriced_gpus >= 0)", "may be 0"),
        ("tokencost_gpus / (tokencost_unpriced_gpus > bool 0)", "may be 0"),
        # Two prices a month, each for a part that may be missing: `or` binds last, so the second is never added.
        ("tokencost_gpus * 730 or 0 * tokencost_gpus + tokencost_unpriced_gpus * 730", "in brackets"),
        ("topk by (cluster, job) (3, tokencost_gpus)", "topk in a rule"),
        ("predict_linear(tokencost_pending_cost_usd[1h], 3600)", "predict_linear is not known to be everywhere"),
        ('tokencost_gpus{pool=~"chat"}', "no regular expression"),
        ('tokencost_gpus{pool=~"^chat.*"}', "anchored already"),
        ("1 > bool 2", "always the same"),
    ],
)
def test_a_mistake_in_an_expression_is_found(expr: str, says: str) -> None:
    assert any(says in problem for problem in lint.expression({"expr": expr}, KNOWN)), expr


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"expr": "max by (cluster, job, pool) (tokencost_gpus)"}, "fires for ever"),
        ({"for": "0s"}, "for: 0s"),
        ({"expr": 'absent(up{job=~".*tokencost.*"})', "for": "1m"}, "a scrape that is late"),
        ({"alert": "TokencostGPUs"}, "the name"),
        ({"labels": {"severity": "page"}}, "the labels"),
        ({"labels": {"severity": "critical", "value": "{{ $value }}"}}, "the labels"),
        ({"annotations": {"summary": "No GPUs."}}, "the annotations"),
        ({"summary": "Pool {{ $labels.pool }} has no GPUs."}, "always the same"),
        ({"description": "{{ $labels.tenant }} has no GPUs."}, "there is no label tenant"),
        ({"description": "{{ $value }} GPUs."}, "not for people"),
    ],
)
def test_a_mistake_in_an_alert_is_found(change: dict[str, object], says: str) -> None:
    texts = dict.fromkeys(lint.ANNOTATIONS, "Pool {{ $labels.pool }} has {{ $value | humanize }} GPUs.")
    texts |= {"summary": "A pool has no GPUs."} | {name: str(text) for name, text in change.items() if name in texts}
    good = {
        "alert": "TokencostGpusGone", "expr": "tokencost_gpus == 0", "for": "5m", "labels": {"severity": "info"},
        "annotations": texts,
    }  # fmt: skip
    assert list(lint.alert(good, KNOWN)) == [] or change.keys() & texts.keys()
    assert any(says in problem for problem in lint.alert({**good, **change}, KNOWN))


def test_a_level_that_is_not_that_of_the_result_is_found() -> None:
    rule = {"record": "tenant:tokencost_gpus:sum", "expr": "sum by (cluster, job, pool) (tokencost_gpus)"}
    assert list(lint.recording(rule, KNOWN)) == ["tenant:tokencost_gpus:sum has the labels ['cluster', 'job', 'pool']"]


def test_a_rule_that_records_from_a_later_one_is_found() -> None:
    with pytest.raises(Wrong, match="no metric"):
        labels(promql_parser.parse("pool:tokencost_cost_usd:rate1h"), SERIES)
