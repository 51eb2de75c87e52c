"""A page in plain text, aligned, for somebody at a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from exporter.probe.lacks import lacks
from exporter.probe.page import Label, Page, printable
from exporter.records import TOKEN_CLASSES

WIDTH = 110
ROWS = 20  # models, labels, names of one kind
EXAMPLES = 3
LONGEST = 30  # characters of an example
NO_MODEL = "(not named)"


def report(page: Page) -> str:
    """What would be read from it, what not, and what that costs. Ends in a newline."""
    return "".join(f"{printable(line)}\n" for line in _lines(page))


def _lines(page: Page) -> Iterator[str]:
    yield page.target
    yield from aligned(_facts(page), indent="  ")
    yield from _section("Tokens on its counters", _tokens(page))
    yield from _section("Labels of the token series", _labels(page))
    yield from _section("Missing, and what that costs", _wrapped(lacks(page)))
    yield from _section("Worth knowing", _wrapped(_traps(page)))


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    if found := list(lines):
        yield from ("", title, *found)


def _facts(page: Page) -> Iterator[tuple[str, ...]]:
    yield "kind", f"gateway: {page.engine.name}" if page.gateway else f"engine: {page.engine.name}"
    if page.versions:
        yield "version", "; ".join(page.versions)
    if page.start is not None:
        yield "started", _time(page.start)
    if page.requests is not None:
        yield "requests", f"{page.requests:,} ended"
    now = (("running", page.running, ""), ("waiting", page.waiting, ""), ("KV cache", page.kv_cache, "% in use"))
    told = [f"{name} {value * 100 if unit else value:g}{unit}" for name, value, unit in now if value is not None]
    if told:
        yield "now", ", ".join(told)
    for measure in ("aborted", "drafted", "accepted"):
        if amount := page.measures.get(measure):
            yield measure, f"{int(amount):,}"


def _time(unix: float) -> str:
    try:
        return f"{datetime.fromtimestamp(unix, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return f"{unix:g}, which is no date"


def _tokens(page: Page) -> Iterator[str]:
    kinds = [token for token in TOKEN_CLASSES if token in page.classes]
    if not kinds:
        return
    models = page.models
    rows = [("model", *kinds)]
    rows += [(model or NO_MODEL, *(f"{page.tokens[model][kind]:,}" for kind in kinds)) for model in models[:ROWS]]
    yield from aligned(rows, indent="  ", right=range(1, len(kinds) + 1))
    if len(models) > ROWS:
        yield f"  and {len(models) - ROWS:,} more models"


def _labels(page: Page) -> Iterator[str]:
    rows = [("label", "values", "examples", "")]
    rows += [
        (label.name, f"{len(label.values):,}", _examples(label), _remark(page, label)) for label in page.labels[:ROWS]
    ]
    if len(rows) > 1:
        yield from aligned(rows, indent="  ", right=[1])


def _examples(label: Label) -> str:
    shown = [shortened(value) for value, _ in label.values.most_common(EXAMPLES)]
    return ", ".join(shown) + (", …" if len(label.values) > EXAMPLES else "")


def shortened(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _remark(page: Page, label: Label) -> str:
    remarks = ["looks like a tenant: tenant_label"] if label.name == page.tenant_label else []
    if label.unset:
        remarks.append(f"empty on {label.unset:,} series")
    return f"({'; '.join(remarks)})" if remarks else ""


def _traps(page: Page) -> Iterator[tuple[str, str]]:
    for counted, others in page.twice:
        yield "two names", f"{', '.join(others)} {'is' if len(others) == 1 else 'are'} {counted} again: not added to it"
    if not page.engine.one_process:
        yield "series", "they come and go one by one here: a fall of one is no restart of the others"
    if page.uncounted:
        names, more = page.uncounted[:ROWS], len(page.uncounted) - ROWS
        yield "not counted", ", ".join(names) + (f" and {more:,} more" if more > 0 else "")


def _wrapped(pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    found = list(pairs)
    width = max((len(what) for what, _ in found), default=0)
    for what, text in found:
        first, *rest = textwrap.wrap(text, WIDTH - width - 4, break_on_hyphens=False) or [""]
        yield f"  {what:<{width}}  {first}"
        yield from (f"  {'':<{width}}  {line}" for line in rest)


def aligned(rows: Iterable[Sequence[str]], indent: str, right: Iterable[int] = ()) -> Iterator[str]:
    """Columns as wide as their widest cell; `right`: those that are numbers."""
    table, numbers = list(rows), set(right)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = [
            cell.rjust(width) if at in numbers else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield (indent + "  ".join(cells)).rstrip()
