"""The tables of docs/rules.md, made from the tables of the rules. `make docs` writes them."""

from __future__ import annotations

from pathlib import Path

from exporter.rules.settings import TABLE
from tests.docs import code, table

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = DOCS / "rules.md"
RUNBOOKS = DOCS / "runbooks.md"


def alerts() -> str:
    rows = (
        (f"[`{name}`](runbooks.md#tokencost{name.lower()})", each.severity, each.wait, each.keep)
        for name, each in TABLE.items()
    )
    return table(("`Tokencost` +", "severity", "for", "keep_firing_for"), rows)


def settings() -> str:
    rows = (
        (code(f"{name}.{key}"), code(threshold.value), threshold.meaning)
        for name, each in TABLE.items()
        for key, threshold in each.thresholds.items()
    )
    return table(("setting", "default", "what it is"), rows)


TABLES = {"alerts": alerts, "settings": settings}


def page() -> str:
    """docs/rules.md with its tables made afresh."""
    text = PAGE.read_text()
    for name, make in TABLES.items():
        head, _, rest = text.partition(f"<!-- table: {name} -->\n")
        text = f"{head}<!-- table: {name} -->\n{make()}{rest[rest.index('<!-- end -->') :]}"
    return text
