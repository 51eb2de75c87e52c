"""The README's tables and docs/engines.md, made from what the program itself uses. `make docs` writes them;
test_readme.py compares.

A table stands between `<!-- table: NAME -->` and `<!-- end -->`; everything else in the README is left as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from exporter.config.schema import Config
from exporter.config.types import DURATION_PATTERN, format_duration
from exporter.publish.catalog import CATALOG
from exporter.sources.engine import Engine, Tokens
from exporter.sources.gpu_table import Exporter
from exporter.sources.gpus import GPUS
from exporter.sources.registry import ENGINES, GATEWAYS

README = Path(__file__).resolve().parents[1] / "README.md"
ENGINES_PAGE = README.parent / "docs" / "engines.md"
TABLE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->\n)", re.DOTALL)
Schema = Mapping[str, Any]


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    cells = (" | ".join(cell.replace("|", "\\|") for cell in line) for line in lines)
    return "".join(f"| {row} |\n" for row in cells)


def code(text: str) -> str:
    return f"`{text}`" if text else ""


def metrics() -> str:
    rows = ((code(m.name), m.type, ", ".join(m.labels), m.help) for m in CATALOG)
    return table(("metric", "type", "labels", "what it says"), rows)


def engines() -> str:
    head = ("`engine:`", "token counters (newest name)", "token types", "model name", "splits by compute time")
    return table(head, (_engine(name, engine) for name, engine in ENGINES.items()))


def _engine(name: str, engine: Engine) -> tuple[str, ...]:
    counters = ", ".join(code(signal.names[0]) for signal in engine.tokens)
    phases = {signal.phase for signal in engine.seconds}
    timed = "yes" if {"prefill", "decode"} <= phases else "no: `weights`"
    model = f"label `{engine.model_label}`" if engine.model_label else "from the config"
    return code(name), counters, ", ".join(_classes(engine.tokens)), model, timed


def gateways() -> str:
    head = ("`engine:`", "token counters (newest name)", "token types", "model", "what the client called it")
    return table(head, (_gateway(name, gateway) for name, gateway in GATEWAYS.items()))


def _gateway(name: str, gateway: Engine) -> tuple[str, ...]:
    counters = ", ".join(dict.fromkeys(code(signal.names[0]) for signal in gateway.tokens))
    alias = f"label `{gateway.alias_label}`" if gateway.alias_label else ""
    return code(name), counters, ", ".join(_classes(gateway.tokens)), f"label `{gateway.model_label}`", alias


def _classes(tokens: Iterable[Tokens]) -> list[str]:
    return list(dict.fromkeys(kind for signal in tokens for kind, sign in signal.moves if sign > 0))


def gpus() -> str:
    head = ("`source:`", "exporter", "what it says (newest name)", "what it does not")
    return table(head, (_gpus(name, exporter) for name, exporter in GPUS.items()))


# How a table's words for what a metric says are told to a reader.
READINGS = {
    "active": "utilization",
    "used": "memory used",
    "total": "memory in all",
    "power": "power",
    "energy": "energy",
    "temperature": "temperature",
}


def _gpus(name: str, exporter: Exporter) -> tuple[str, ...]:
    first = {field.what: field.name for field in reversed(exporter.fields)}
    said = ", ".join(f"{reading} {code(first[what])}" for what, reading in READINGS.items() if what in first)
    return code(name), exporter.title, said, exporter.gaps


def config() -> str:
    schema = Config.model_json_schema()
    leaves: dict[str, list[tuple[str, Schema]]] = {}  # a key that several mappings of a union have stands once
    for key, default, leaf in _keys(schema, schema["$defs"]):
        leaves.setdefault(key, []).append((default, leaf))
    rows = ((code(key), found[0][0], _meaning([leaf for _, leaf in found])) for key, found in leaves.items())
    return table(("key", "default", "what it is"), rows)


def _keys(part: Schema, defs: Schema, path: str = "") -> Iterator[tuple[str, str, Schema]]:
    """(key path, default, schema) of every leaf under a mapping of the config."""
    for name, schema in part["properties"].items():
        key = path + name
        referred = [defs[reference.rpartition("/")[2]] for reference in _references(schema)]
        models = [model for model in referred if "properties" in model]
        below = f"{key}[]." if schema.get("type") == "array" else f"{key}."
        for model in models:
            yield from _keys(model, defs, below)
        if not models:
            required = name in part.get("required", ())
            yield key, "required" if required else _default(schema), schema


def _references(schema: Schema) -> list[str]:
    """The mappings that a key may hold: itself, as list items, or one of several."""
    below = [schema.get("items", {}), *schema.get("anyOf", ()), *schema.get("oneOf", ())]
    found = [reference for option in below if option for reference in _references(option)]
    return [schema["$ref"], *found] if "$ref" in schema else found


def _default(schema: Schema) -> str:
    default = schema.get("default")
    items = default if isinstance(default, list) else [default]
    if DURATION_PATTERN in (schema.get("pattern"), schema.get("items", {}).get("pattern")):
        items = [format_duration(item) if isinstance(item, int) else item for item in items]
    shown = (str(item).lower() if isinstance(item, bool) else str(item) for item in items if item not in (None, "", {}))
    return ", ".join(map(code, shown))


def _meaning(schemas: list[Schema]) -> str:
    values = (
        value for schema in schemas for value in schema.get("enum", [schema["const"]] if "const" in schema else ())
    )
    choices = [code(value) for value in dict.fromkeys(values)]
    listed = f"One of {', '.join(choices)}." if choices else ""
    return " ".join(filter(None, (schemas[0].get("description", ""), listed)))


TABLES: Mapping[str, Callable[[], str]] = {
    "metrics": metrics,
    "engines": engines,
    "gateways": gateways,
    "gpus": gpus,
    "config": config,
}


def with_tables(readme: str) -> str:
    """The README with its tables made afresh. KeyError for a table that nobody makes."""
    return TABLE.sub(lambda found: found[1] + TABLES[found[2]]() + found[3], readme)


def engines_page() -> str:
    """What the file of every engine, gateway and exporter of GPUs says of its pages."""
    lines = ["# What each engine's, gateway's and GPU exporter's page says, and what it does not\n"]
    sections: tuple[tuple[str, Iterable[str]], ...] = (("Engines", ENGINES), ("Gateways", GATEWAYS), ("GPUs", GPUS))
    for title, known in sections:
        lines.append(f"\n## {title}\n")
        for name in sorted(known):
            text = (import_module(f"exporter.sources.{name}").__doc__ or "").strip()
            lines.append(f"\n### `{name}`\n\n{text}\n")
    return "".join(lines)


if __name__ == "__main__":
    README.write_text(with_tables(README.read_text()))
    ENGINES_PAGE.write_text(engines_page())
