"""What pint, the mixins' CI and known mistakes of other people's rules teach, as checks on a rule's syntax tree."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any

import promql_parser as p

from tests.rules.inference import Known, Labels, Wrong, labels
from tests.rules.published import COUNTERS

Rule = Mapping[str, Any]
BY = frozenset({"cluster", "job"})  # what every aggregation keeps: clusters and jobs are never added up
# Levels of recording rules: their parts, and the labels these stand for.
LEVELS = {
    "pool": "pool",
    "model": "model_name",
    "type": "token_type",
    "phase": "phase",
    "tenant": "tenant",
    "budget": "budget",
}
# In Prometheus 2.42, Mimir, Thanos and VictoriaMetrics alike, and not experimental.
FUNCTIONS = frozenset({
    "abs", "absent", "avg_over_time", "clamp", "count_over_time", "increase", "max_over_time", "min_over_time",
    "quantile_over_time", "rate", "sum_over_time", "time",
})  # fmt: skip
RATES = ("rate", "increase")
SCRAPES = timedelta(minutes=4)  # a rate needs four scrapes of a minute
ARITHMETIC = ("+", "-", "*", "/", "%", "^")
COMPARISONS = ("==", "!=", ">", "<", ">=", "<=")
ANNOTATIONS = {"summary", "description", "runbook_url", "dashboard_url"}
SEVERITIES = ("critical", "warning", "info")


def expression(rule: Rule, known: Known) -> Iterator[str]:
    """What is wrong with the rule's expression."""
    expr = p.parse(rule["expr"])
    try:
        labels(expr, known)
    except Wrong as wrong:
        yield str(wrong)
    for node, parents in nodes(expr):
        for check in CHECKS:
            yield from check(node, parents)


def nodes(expr: p.Expr, parents: tuple[p.Expr, ...] = ()) -> Iterator[tuple[p.Expr, tuple[p.Expr, ...]]]:
    """Every node with those above it, the nearest last."""
    yield expr, parents
    match expr:
        case p.BinaryExpr():
            below = [expr.lhs, expr.rhs]
        case p.Call():
            below = list(expr.args)
        case p.MatrixSelector():
            below = [expr.vector_selector]
        case p.ParenExpr() | p.SubqueryExpr() | p.UnaryExpr() | p.AggregateExpr():
            below = [expr.expr]
        case _:
            below = []
    for node in below:
        yield from nodes(node, (*parents, expr))


def _counter(node: p.Expr, parents: tuple[p.Expr, ...]) -> Iterator[str]:
    """promql/counter: a counter only ever under a rate."""
    if isinstance(node, p.VectorSelector) and node.name in COUNTERS:
        rated = len(parents) > 1 and isinstance(parents[-2], p.Call) and parents[-2].func.name in RATES
        if not rated:
            yield f"the counter {node.name} is used bare"


def _rate(node: p.Expr, _: tuple[p.Expr, ...]) -> Iterator[str]:
    """promql/rate: of a counter, over four scrapes, and never of a sum."""
    if isinstance(node, p.Call) and node.func.name in RATES:
        (argument,) = node.args
        if not isinstance(argument, p.MatrixSelector) or argument.vector_selector.name not in COUNTERS:
            yield f"{node.prettify()} is not the rate of a counter"
        elif argument.range < SCRAPES:
            yield f"{node.prettify()} sees fewer than four scrapes"


def _division(node: p.Expr, _: tuple[p.Expr, ...]) -> Iterator[str]:
    """promql/nan: nothing is divided by what may be 0."""
    if isinstance(node, p.BinaryExpr) and str(node.op) == "/" and not isinstance(node.rhs, p.NumberLiteral):
        divisor = node.rhs.expr if isinstance(node.rhs, p.ParenExpr) else node.rhs
        guarded = (
            isinstance(divisor, p.BinaryExpr)
            and str(divisor.op) == ">"
            and isinstance(divisor.rhs, p.NumberLiteral)
            and divisor.rhs.val == 0
            and not (divisor.modifier and divisor.modifier.return_bool)
        )
        if not guarded:
            yield f"{node.rhs.prettify()} may be 0, and is divided by"


def _alternatives(node: p.Expr, _: tuple[p.Expr, ...]) -> Iterator[str]:
    """`a or 0 + b or 0` is not a sum: `or` binds last (a budget alert of opencost-mixin dropped a term so)."""
    if isinstance(node, p.BinaryExpr):
        sides = [side for side in (node.lhs, node.rhs) if isinstance(side, p.BinaryExpr)]
        if str(node.op) == "or":
            if any(str(side.op) != "or" for side in sides):
                yield f"{node.prettify()}: put what stands beside `or` in brackets"
        elif any(str(side.op) == "or" for side in sides):
            yield f"{node.prettify()}: put the `or` in brackets"


def _vectors(node: p.Expr, _: tuple[p.Expr, ...]) -> Iterator[str]:
    """promql/fragile: nothing whose members change by themselves; every aggregation keeps cluster and job."""
    if isinstance(node, p.AggregateExpr):
        if str(node.op) in ("topk", "bottomk", "count_values", "group"):
            yield f"{node.op} in a rule"
        if node.modifier and not set(node.modifier.labels) >= BY:
            yield f"{node.prettify()} adds up clusters or jobs"
    if isinstance(node, p.Call) and node.func.name not in FUNCTIONS:
        yield f"{node.func.name} is not known to be everywhere"


def _matchers(node: p.Expr, _: tuple[p.Expr, ...]) -> Iterator[str]:
    """promql/regexp: a regular expression that is one, without anchors of its own."""
    if isinstance(node, p.VectorSelector):
        for matcher in node.matchers.matchers:
            if matcher.op in (p.MatchOp.Re, p.MatchOp.NotRe):
                if re.fullmatch(r"[\w/-]*", matcher.value):
                    yield f"{matcher} is no regular expression: use = or !="
                if matcher.value.startswith("^") or matcher.value.endswith("$"):
                    yield f"{matcher} is anchored already"


def _impossible(node: p.Expr, _: tuple[p.Expr, ...]) -> Iterator[str]:
    """promql/impossible: two numbers."""
    if isinstance(node, p.BinaryExpr) and all(isinstance(side, p.NumberLiteral) for side in (node.lhs, node.rhs)):
        yield f"{node.prettify()} is always the same"


CHECKS: tuple[Callable[[p.Expr, tuple[p.Expr, ...]], Iterator[str]], ...] = (
    _counter, _rate, _division, _alternatives, _vectors, _matchers, _impossible,
)  # fmt: skip


def recording(rule: Rule, known: Known) -> Iterator[str]:
    """What is wrong with a recording rule beside its expression."""
    level, _, rest = rule["record"].partition(":")
    if not re.fullmatch(r"tokencost_\w+:\w+", rest):
        yield f"{rule['record']} is not level:metric:operation"
        return
    named = BY.union(LEVELS[part] for part in level.split("_"))
    found = labels(p.parse(rule["expr"]), known) or Labels()
    if found != named:
        yield f"{rule['record']} has the labels {sorted(found)}"


def alert(rule: Rule, known: Known) -> Iterator[str]:
    """What is wrong with an alert beside its expression."""
    expr = p.parse(rule["expr"])
    seen = [node for node, _ in nodes(expr)]
    operators = {str(node.op) for node in seen if isinstance(node, p.BinaryExpr)}
    calls = {node.func.name for node in seen if isinstance(node, p.Call)}
    if not operators & {*COMPARISONS, "unless"} and "absent" not in calls:
        yield "an alert without a comparison fires for ever"
    wait = rule.get("for", "0s")
    if not re.fullmatch(r"[1-9][0-9]*(ms|s|m|h|d)", wait):
        yield f"for: {wait}"
    elif "absent" in calls and p.parse_duration(wait) < timedelta(minutes=2):
        yield "absent fires at a scrape that is late"
    if not re.fullmatch(r"Tokencost([A-Z][a-z]+)+", rule["alert"]):
        yield f"the name {rule['alert']}"
    if rule["labels"].get("severity") not in SEVERITIES or any("{{" in value for value in rule["labels"].values()):
        yield f"the labels {rule['labels']}"
    yield from _annotations(rule["annotations"], labels(expr, known) or Labels())


def _annotations(annotations: Mapping[str, str], has: Labels) -> Iterator[str]:
    if set(annotations) != ANNOTATIONS:
        yield f"the annotations {sorted(annotations)}"
        return
    if "{{" in annotations["summary"] or not re.fullmatch(r"[A-Z][^.]*\.", annotations["summary"]):
        yield "a summary is one sentence that is always the same"
    for text in annotations.values():
        if missing := set(re.findall(r"\$labels\.(\w+)", text)) - has - {"cluster"}:
            yield f"there is no label {', '.join(sorted(missing))}"
        for use in re.findall(r"\{\{ (\$value[^}]*) \}\}", text):
            if "| humanize" not in use:
                yield f"{use} is not for people"
