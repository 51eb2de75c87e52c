"""Which labels the result of a PromQL expression has, from those of the metrics in it."""

from __future__ import annotations

from collections.abc import Mapping

import promql_parser as p

Labels = frozenset[str]
Known = Mapping[str, Labels]
SETS = ("and", "or", "unless")


class Wrong(Exception):  # noqa: N818 - it is what is wrong
    """What is wrong with an expression."""


def labels(expr: p.Expr, known: Known) -> Labels | None:
    """Labels of the result; None: a scalar. Wrong where a metric or a label does not exist, or two sides can never
    match."""
    match expr:
        case p.NumberLiteral() | p.StringLiteral():
            found = None
        case p.VectorSelector():
            found = _selector(expr, known)
        case p.MatrixSelector():
            found = _selector(expr.vector_selector, known)
        case p.ParenExpr() | p.SubqueryExpr() | p.UnaryExpr():
            found = labels(expr.expr, known)
        case p.AggregateExpr():
            found = _aggregate(expr, known)
        case p.Call():
            of_arguments = (labels(argument, known) for argument in expr.args)
            found = next((labels for labels in of_arguments if labels is not None), None)
            if expr.func.name == "absent":
                found = Labels()  # of its selector's equalities, and there are none
        case p.BinaryExpr():
            found = _binary(expr, known)
        case _:
            raise Wrong(f"cannot say what the labels of {expr.prettify()} are")
    return found


def _selector(selector: p.VectorSelector, known: Known) -> Labels:
    name = selector.name or ""
    if name not in known:
        raise Wrong(f"there is no metric {name}")
    found = known[name]
    _exist({matcher.name for matcher in selector.matchers.matchers}, found, str(selector))
    return found


def _aggregate(expr: p.AggregateExpr, known: Known) -> Labels:
    inner = labels(expr.expr, known)
    if expr.modifier is None or expr.modifier.type != p.AggModifierType.By:
        raise Wrong(f"{expr.prettify()} does not say which labels stay")
    kept = Labels(expr.modifier.labels)
    _exist(kept, inner or Labels(), expr.prettify())
    return kept


def _binary(expr: p.BinaryExpr, known: Known) -> Labels | None:
    left, right = labels(expr.lhs, known), labels(expr.rhs, known)
    if left is None or right is None:
        return left if right is None else right
    matching = expr.modifier.matching if expr.modifier else None
    if matching is None:
        if left != right and str(expr.op) != "or":
            raise Wrong(f"{expr.prettify()} never matches: {sorted(left ^ right)} are on one side only")
        return left | right
    if matching.type != p.LabelModifierType.Include:
        raise Wrong(f"{expr.prettify()} matches by ignoring")
    on = Labels(matching.labels)
    _exist(on, left, expr.prettify())
    _exist(on, right, expr.prettify())
    if str(expr.op) == "or":
        return left | right
    many = expr.modifier is not None and expr.modifier.card == p.VectorMatchCardinality.ManyToOne
    return left if str(expr.op) in SETS or many else on


def _exist(wanted: set[str] | Labels, found: Labels, where: str) -> None:
    if missing := wanted - found:
        raise Wrong(f"there is no label {', '.join(sorted(missing))} in {where}")
