"""The JSON schema of the config, for editors. Committed as tokencost.schema.json; a test keeps the two equal."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from exporter.config.schema import Config
from exporter.config.types import DURATION_PATTERN, format_duration


class _Schema(GenerateJsonSchema):
    """Pydantic's schema in the spelling of the file: 15s, 0.1, and no null (the loader refuses it)."""

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> dict[str, Any]:
        if schema.get("default", ...) in (None, (), ""):  # nothing: the key is left out
            return self.generate_inner(schema["schema"])
        shape = super().default_schema(schema)
        if "default" in shape:
            shape["default"] = _spelled(shape["default"], shape)
        return shape

    def nullable_schema(self, schema: core_schema.NullableSchema) -> dict[str, Any]:
        return self.generate_inner(schema["schema"])

    def field_title_should_be_set(self, _schema: Any) -> bool:
        return False  # the key says it

    def encode_default(self, dft: Any) -> Any:
        return _plain(dft) if isinstance(dft, Decimal) else super().encode_default(dft)


def _plain(number: Decimal) -> int | float:
    return int(number) if number == int(number) else float(number)


def _spelled(value: Any, shape: dict[str, Any]) -> Any:
    if isinstance(value, list):
        return [_spelled(item, shape.get("items", {})) for item in value]
    return format_duration(value) if shape.get("pattern") == DURATION_PATTERN else value


def schema_json() -> str:
    """The same text every time for the same schema."""
    shape = Config.model_json_schema(schema_generator=_Schema)
    shape = {"$schema": _Schema.schema_dialect, **shape, "title": "tokencost.yml"}
    return json.dumps(shape, indent=2, ensure_ascii=False) + "\n"
