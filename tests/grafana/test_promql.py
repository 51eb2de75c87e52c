"""What the queries say, before anybody answers them: metrics and labels that exist, and the traps of PromQL."""

from __future__ import annotations

import re
from typing import Any

import promql_parser as p
import pytest

from exporter.publish.catalog import CATALOG
from tests.grafana.beside import LABELS, SCRAPED
from tests.grafana.boards import UIDS, Target, panels, targets, variables
from tests.grafana.syntax import ARITHMETIC, bare, is_step, labels, named, parsed, selectors, walk

TARGETS = list(targets())
TABLES = [panel for uid in UIDS for panel in panels(uid) if panel["type"] == "table"]
FILTERS = {"pool": "pool", "model": "model_name", "tenant": "tenant", "window": "window"}

# Metrics of the catalog that are on no dashboard, each with its reason.
UNSHOWN = {
    "tokencost_event_loop_lag_seconds": "for who works on the exporter's speed; docs/performance.md",
    "tokencost_shard_info": "only where exporters divide a config; what is added up carries the label shard itself",
}
# Queries with counters that are not under rate or increase, each with its reason.
TOTALS = {
    "exporter: Books are out by: Books are out by": "the law is about totals since the books began",
    "exporter: Cost - spend - idle - pending: {{pool}}": "the law is about totals since the books began",
}
# Metrics that need no matcher on the job, each with its reason.
WITHOUT_JOB = {"ALERTS": "rules sum the job away, so alerts may have none"}


def matchers(selector: p.VectorSelector) -> set[tuple[str, str, str]]:
    return {(matcher.name, str(matcher.op), matcher.value) for matcher in selector.matchers.matchers}


def test_metrics_and_their_labels_exist() -> None:
    """A metric or a label that was renamed leaves a panel empty, which looks like zero."""
    for target in TARGETS:
        for selector, _ in selectors(target.expr):
            known = {*LABELS[selector.name or ""], *SCRAPED}
            assert {name for name, _, _ in matchers(selector)} <= known, target


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_labels_survive_to_where_they_are_needed(target: Target) -> None:
    """In `by`, `on`, on both sides of an operator, and in the legend."""
    assert named(target.name) <= (labels(parsed(target.expr)) or frozenset())


def test_every_metric_is_on_a_dashboard() -> None:
    shown = {selector.name for target in TARGETS for selector, _ in selectors(target.expr)}
    assert {metric.name for metric in CATALOG} - shown == UNSHOWN.keys()


def test_counters_are_only_looked_at_as_growth() -> None:
    plain = {
        str(target)
        for target in TARGETS
        for selector, above in selectors(target.expr)
        if (selector.name or "").endswith("_total")
        and not (len(above) > 1 and isinstance(above[1], p.Call) and above[1].func.name in {"rate", "increase"})
    }
    assert plain == TOTALS.keys()


def test_only_counters_are_looked_at_as_growth_and_rates_are_over_the_step() -> None:
    """A rate of a gauge takes each fall for a restart; one over a fixed range has holes or skips what lies between."""
    for target in TARGETS:
        for node, _ in walk(parsed(target.expr)):
            if isinstance(node, p.Call) and node.func.name in {"rate", "irate", "increase"}:
                (argument,) = node.args
                assert isinstance(argument, p.MatrixSelector), f"{target}: growth of what is not a metric"
                assert (argument.vector_selector.name or "").endswith("_total"), target
                assert is_step(argument) or node.func.name == "increase", target


def test_what_is_divided_by_is_above_0() -> None:
    """x / 0 is +Inf or NaN, which is drawn and hides every other line; undefined is absent."""
    for target in TARGETS:
        for node, _ in walk(parsed(target.expr)):
            if isinstance(node, p.BinaryExpr) and str(node.op) == "/":
                below = bare(node.rhs)
                positive = isinstance(below, p.BinaryExpr) and (str(below.op), str(below.rhs)) == (">", "0")
                assert positive or isinstance(below, p.NumberLiteral), f"{target} divides by {below}"


def test_or_stands_in_parentheses_or_between_what_is_whole() -> None:
    """`a or vector(0) + b` is `a or (vector(0) + b)`: b is lost."""
    for target in TARGETS:
        for node, above in walk(parsed(target.expr)):
            if (
                isinstance(node, p.BinaryExpr)
                and str(node.op) == "or"
                and not isinstance((*above, None)[0], p.ParenExpr)
            ):
                sides = [side for side in (node.lhs, node.rhs) if isinstance(side, p.BinaryExpr)]
                assert not [side for side in sides if str(side.op) in ARITHMETIC], target


def test_every_query_chooses_the_job_and_the_cluster() -> None:
    same = str(p.MatchOp.Re)
    for target in TARGETS:
        for selector, _ in selectors(target.expr):
            assert ("cluster", same, "$cluster") in matchers(selector), target
            assert (("job", same, "$job") in matchers(selector)) is (selector.name not in WITHOUT_JOB), target


def test_a_filter_that_could_apply_does() -> None:
    """For each filter of the dashboard and each metric with its label, unless the query matches that label itself."""
    for target in TARGETS:
        for selector, _ in selectors(target.expr):
            name = selector.name or ""
            if name.startswith("tokencost_") and not name.startswith("tokencost_budget_"):
                wanted = {label for variable, label in FILTERS.items() if variable in variables(target.board)}
                assert wanted & set(LABELS[name]) <= {label for label, _, _ in matchers(selector)}, target


def test_a_panel_says_which_filters_it_does_not_heed() -> None:
    for uid in UIDS:
        for panel in panels(uid):
            text = " ".join(target["expr"] for target in panel["targets"])
            said = panel["description"].partition("Not filtered by: ")[2].rstrip(".")
            heedless = [
                variable["label"].lower()
                for name, variable in variables(uid).items()
                if name in FILTERS.keys() - {"window"} and f"${name}" not in text
            ]
            assert [word for word in said.split(", ") if word] == heedless, panel["title"]


@pytest.mark.parametrize("panel", TABLES, ids=lambda panel: str(panel["title"]))
def test_the_rows_of_a_table_can_be_merged(panel: dict[str, Any]) -> None:
    """Every label has its column, title and place; what a look is given to exists."""
    merge, organize = panel["transformations"]
    assert (merge["id"], organize["id"]) == ("merge", "organize")
    options = organize["options"]
    found = frozenset[str]().union(*(labels(parsed(target["expr"])) or () for target in panel["targets"]))
    letters = {f"Value #{target['refId']}" for target in panel["targets"]}
    assert found | (letters if len(letters) > 1 else {"Value"}) == set(options["indexByName"])
    assert set(options["indexByName"]) - options["excludeByName"].keys() == set(options["renameByName"])
    looks = {rule["matcher"]["options"] for rule in panel["fieldConfig"]["overrides"]}
    assert looks - {".*"} <= set(options["renameByName"].values())


def test_variables_exist_and_are_used() -> None:
    for uid in UIDS:
        text = " ".join(target.expr for target in TARGETS if target.board == uid)
        used = set(re.findall(r"\$\{?(\w+)", text)) - {"__rate_interval", "__range"}
        assert used == variables(uid).keys() - {"datasource"}, uid
