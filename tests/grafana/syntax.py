"""Queries as trees: what stands in them, and which labels their result has."""

from __future__ import annotations

import re
from collections.abc import Iterator

import promql_parser as p

from tests.grafana.beside import LABELS, SCRAPED

ALL_SCRAPED = frozenset(SCRAPED)
ARITHMETIC = frozenset({"+", "-", "*", "/", "%", "^"})
COMPARISON = frozenset({"==", "!=", ">", "<", ">=", "<="})
_RANGE = {"$__rate_interval": "31m", "$__range": "32d", "$__interval": "33m"}


def parsed(expr: str) -> p.Expr:
    """The query with its variables in it; Grafana's durations stand for ones that nobody writes by hand."""
    for name, duration in _RANGE.items():
        expr = expr.replace(name, duration)
    return p.parse(expr)


def is_step(selector: p.MatrixSelector) -> bool:
    """Whether its range is $__rate_interval."""
    return bool(selector.range == p.parse_duration(_RANGE["$__rate_interval"]))


def children(node: p.Expr) -> tuple[p.Expr, ...]:
    match node:
        case p.BinaryExpr():
            return node.lhs, node.rhs
        case p.Call():
            return tuple(node.args)
        case p.AggregateExpr():
            return (node.expr,) if node.param is None else (node.expr, node.param)
        case p.ParenExpr() | p.UnaryExpr() | p.SubqueryExpr():
            return (node.expr,)
        case p.MatrixSelector():
            return (node.vector_selector,)
        case _:
            return ()


def walk(node: p.Expr, above: tuple[p.Expr, ...] = ()) -> Iterator[tuple[p.Expr, tuple[p.Expr, ...]]]:
    """Every node with those it stands in, the nearest first."""
    yield node, above
    for child in children(node):
        yield from walk(child, (node, *above))


def selectors(expr: str) -> list[tuple[p.VectorSelector, tuple[p.Expr, ...]]]:
    return [(node, above) for node, above in walk(parsed(expr)) if isinstance(node, p.VectorSelector)]


def bare(node: p.Expr) -> p.Expr:
    """Without the parentheses around it."""
    return bare(node.expr) if isinstance(node, p.ParenExpr) else node


def labels(node: p.Expr) -> frozenset[str] | None:
    """Labels that its result may have; None for a number. AssertionError where a label is asked for that is not there,
    or where two sides have other labels and so never match."""
    match node:
        case p.VectorSelector():
            return frozenset(LABELS[node.name or ""]) | ALL_SCRAPED
        case p.NumberLiteral() | p.StringLiteral():
            return None
        case p.MatrixSelector() | p.ParenExpr() | p.UnaryExpr() | p.SubqueryExpr():
            return labels(children(node)[0])
        case p.Call():
            found = [labels(argument) for argument in node.args]
            return (found or [None])[0] if node.func.name != "vector" else frozenset()
        case p.AggregateExpr():
            return _aggregated(node)
        case p.BinaryExpr():
            return _combined(node)
    raise TypeError(f"{type(node)} is not known here")


def _aggregated(node: p.AggregateExpr) -> frozenset[str]:
    inner = labels(node.expr)
    assert inner is not None, f"an aggregation of a number: {node}"
    if node.modifier is None:
        return inner if str(node.op) in {"topk", "bottomk"} else frozenset()
    by = frozenset(node.modifier.labels)
    assert node.modifier.type == p.AggModifierType.By, f"`without` keeps labels that nobody named: {node}"
    assert by <= inner, f"no {sorted(by - inner)} in {node.expr}"
    return by


def _combined(node: p.BinaryExpr) -> frozenset[str] | None:
    left, right = labels(node.lhs), labels(node.rhs)
    if left is None or right is None:
        return right if left is None else left
    matching = node.modifier.matching if node.modifier else None
    if matching is None:
        same = left - ALL_SCRAPED == right - ALL_SCRAPED
        zero = str(node.op) == "or" and str(node.rhs).strip() == "vector(0)"
        assert same or zero or str(node.op) == "or", f"{sorted(left ^ right)} on one side only: {node}"
        return left | right if str(node.op) == "or" else left
    on = frozenset(matching.labels)
    assert on <= left, f"no {sorted(on - left)} on the left of {node}"
    assert on <= right, f"no {sorted(on - right)} on the right of {node}"
    assert node.modifier is not None
    if str(node.op) in {"and", "unless"}:
        return left
    if node.modifier.card == p.VectorMatchCardinality.ManyToOne:
        return left | frozenset(node.modifier.group_labels or ())
    return on


def named(legend: str) -> frozenset[str]:
    """Labels that a legend names."""
    return frozenset(re.findall(r"\{\{(\w+)\}\}", legend))
