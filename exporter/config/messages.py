"""Pydantic's errors in the words of the person who wrote the file: what is wrong, and what would be right."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, get_args

from pydantic_core import ErrorDetails

from exporter.config.custom import Metric
from exporter.config.gpus import ExportedGpus, GpusPerEndpoint, NvmlGpus, StaticGpus
from exporter.config.part import Part
from exporter.config.prices import GpuPrice, OwnedGpu
from exporter.config.schema import Config
from exporter.config.types import (
    BCRYPT_PATTERN,
    FOUND_LABEL_PATTERN,
    HEADER_PATTERN,
    LABEL_PATTERN,
    LABEL_VALUE_PATTERN,
    METRIC_PATTERN,
    NAME_PATTERN,
    PATH_PATTERN,
    TEXT_PATTERN,
    USERNAME_PATTERN,
    Loc,
    Mistake,
)
from exporter.sources.gpus import GPUS

# Pydantic's error type: wrong, fix. Fields: its own context, and was, text, quote, allowed, example, keys below.
# A value is shown only where it cannot be a secret put under the wrong key.
MESSAGES: dict[str, tuple[str, str]] = {
    "missing": ("the key is missing", "add it, such as `{example}`"),
    "extra_forbidden": ("unknown key", "{keys}"),
    "model_type": ("{was} where a mapping belongs", "write `key: value` pairs below it"),
    "dict_type": ("{was} where a mapping belongs", "write `key: value` pairs below it"),
    "tuple_type": ("{was} where a list belongs", "write [a, b], or one `- item` a line"),
    "string_type": ("{was} where text belongs", "{quote}"),
    "bool_type": ("{was} where true or false belongs", "write true or false, without quotes"),
    "int_type": ("{was} where a whole number belongs", "write digits only, such as 1000"),
    "number_type": ("{was} where a number belongs", "write plain digits without quotes, such as 4 or 2.49"),
    "finite_number": ("{text} is not a finite number", "write plain digits, such as 2.49"),
    "string_too_long": ("longer than {max_length} characters", "shorten it"),
    "string_pattern_mismatch": ("{reason}", "{allowed}"),
    "too_short": ("the list is empty", "add at least one item"),
    "too_long": ("more than {max_length} items", "remove some"),
    "literal_error": ("{text} is not known here", "write one of: {expected}"),
    "union_tag_invalid": ("the source of the GPUs is not known", f"write `count`, or source: nvml, {', '.join(GPUS)}"),
    "greater_than": ("{text} is too small", "write more than {gt}"),
    "greater_than_equal": ("{text} is too small", "write at least {ge}"),
    "less_than_equal": ("{text} is too large", "write at most {le}"),
    "decimal_max_places": ("more than {decimal_places} decimal places", "round it"),
}
FALLBACK = ("not valid here", "see the config reference in README.md")

PATTERNS = {
    NAME_PATTERN: ("not a name", "use letters, digits, `_`, `.` and `-` only"),
    FOUND_LABEL_PATTERN: ("not a label name", "use letters, digits, `_`, `.`, `-` and `/` only"),
    PATH_PATTERN: ("not a path", "write it as /metrics"),
    LABEL_PATTERN: ("not a label name", "use letters, digits and `_` only, and no digit first"),
    METRIC_PATTERN: ("not a metric's name", "write a whole sample name: letters, digits, `_` and `:`"),
    LABEL_VALUE_PATTERN: ("with control characters", "write one line of visible text"),
    TEXT_PATTERN: ("empty, or with control characters", "write one line of visible text"),
    HEADER_PATTERN: ("empty, or not plain ASCII", "write visible ASCII, or remove the key"),
    BCRYPT_PATTERN: ("not a bcrypt hash", "make one, such as with `htpasswd -nBC 10 USER`: $2y$10$..."),
    USERNAME_PATTERN: ("empty, or with a colon or control characters", "write one line of visible text without `:`"),
}

EXAMPLES = {
    "burst": "burst: 20",
    "cert_file": "cert_file: server.crt",
    "count": "count: 4",
    "endpoint": "endpoint: http://127.0.0.1:4318/v1/metrics",
    "files": "files: [targets/*.json]",
    "gpus": "gpus: {count: 4}",
    "interval": "interval: 1s",
    "key_file": "key_file: server.key",
    "limit_usd": "limit_usd: 5000",
    "model": 'model: "gpt-4o*"',
    "name": "name: llama-70b",
    "names": "names: [my_tokens_total]",
    "one_process": "one_process: true",
    "password_file": "password_file: secrets/password",
    "per_endpoint": "per_endpoint: 8",
    "period": "period: month",
    "port": "port: 8000",
    "product": 'product: "NVIDIA H100*"',
    "purchase_usd": "purchase_usd: 30000",
    "routes": 'routes: [{model: "*", provider: openai}]',
    "selector": "selector: app=llama",
    "tokens": "tokens: {input: my_prompt_tokens_total, output: my_generated_tokens_total}",
    "url": "url: http://127.0.0.1:8000/metrics",
    "usd_per_hour": "usd_per_hour: 2.49",
    "usd_per_kwh": "usd_per_kwh: 0.12",
    "username": "username: tokencost",
    "years": "years: 4",
}

# Tags of the unions: which mapping of several it was read as.
TAGGED: dict[str, type[Part]] = {
    "gpus:static": StaticGpus,
    "gpus:per_endpoint": GpusPerEndpoint,
    "gpus:nvml": NvmlGpus,
    "gpus:exported": ExportedGpus,
    "metric:labels": Metric,
    "price:hourly": GpuPrice,
    "price:owned": OwnedGpu,
}
# Steps of pydantic's locations that are not keys of the file.
TAGS = frozenset({*TAGGED, "metric:names", "purchase:kind", "purchase:blend", "[key]"})


def explain(error: ErrorDetails, text: str, root: type[Part] = Config) -> Iterator[Mistake]:
    """The mistakes behind one of pydantic's errors; `text` is the value as it stands in the file, `root` the model of
    the whole file."""
    kind, context, value = error["type"], error.get("ctx", {}), error["input"]
    loc = keys_only(error["loc"])
    if kind == "mistakes":
        yield from ((loc + below, wrong, fix) for below, wrong, fix in context["mistakes"])
        return
    if kind == "default_factory_not_called" or (kind == "too_short" and value):
        return  # consequences: a default that hangs on another key, a list whose items were all refused
    if error["loc"][-1:] == ("[key]",):
        text = str(value)  # the key itself is wrong, not what stands behind it
    reason, allowed = PATTERNS.get(context.get("pattern", ""), FALLBACK)
    fields = context | {
        "was": describe(value, text),
        "text": repr(text[:64]) if text else "it",
        "quote": "put it in quotes" if isinstance(value, bool | int | Decimal | date) else "write one line of text",
        "reason": reason,
        "allowed": allowed,
        "example": EXAMPLES.get(str(loc[-1]), f"{loc[-1]}: ...") if loc else "",
        "keys": nearest(error["loc"], root) if kind == "extra_forbidden" else "",
    }
    wrong, fix = MESSAGES.get(kind, FALLBACK)
    yield loc, wrong.format_map(fields), fix.format_map(fields)


def describe(value: Any, text: str) -> str:
    """What kind of thing was written."""
    if isinstance(value, bool):
        return f"`{text}` is a boolean in YAML,"
    kinds = {dict: "a mapping", list: "a list", str: "text", int: "a number", Decimal: "a number", date: "a date"}
    return kinds.get(type(value), "nothing")


def keys_only(loc: Loc) -> Loc:
    return tuple(step for step in loc if step not in TAGS)


def nearest(loc: Loc, root: type[Part]) -> str:
    """What an unknown key may have been meant to be, among the keys its place knows."""
    part = part_at(loc[:-1], root)
    known = [info.alias or name for name, info in part.model_fields.items()]
    near = get_close_matches(str(loc[-1])[:64], known, 1, 0.6)
    return f"did you mean `{near[0]}`?" if near else f"remove it, or use one of: {', '.join(known)}"


def part_at(loc: Loc, root: type[Part]) -> type[Part]:
    """The model that reads what stands at one of pydantic's locations."""
    parts = [root]
    for step in loc:
        if step in TAGGED:
            parts = [TAGGED[step]]
        elif isinstance(step, str):
            names = {info.alias or name: info for name, info in parts[0].model_fields.items()}
            parts = list(parts_in(names[step].annotation))
    return parts[0]


def parts_in(annotation: Any) -> Iterator[type[Part]]:
    """The models an annotation is made of."""
    if isinstance(annotation, type) and issubclass(annotation, Part):
        yield annotation
    for inner in get_args(annotation):
        yield from parts_in(inner)
