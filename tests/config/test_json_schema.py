"""The committed JSON schema is the schema's, and says of the good files what load() says."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from exporter.config import document, messages
from exporter.config.json_schema import schema_json
from exporter.config.web import WebConfig

HERE = Path(__file__).parent
COMMITTED = Path(__file__).parents[2] / "exporter" / "config" / "tokencost.schema.json"
SHAPE = json.loads(schema_json())


def plain(value: Any) -> Any:
    """As an editor sees it: numbers of JSON, dates as text."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, Decimal):
        return float(value)
    return value.isoformat() if isinstance(value, date) else value


def refusals(path: Path) -> list[str]:
    data = plain(document.read(path.read_text()).data)
    return [error.json_path for error in Draft202012Validator(SHAPE).iter_errors(data)]


def test_committed_schema_is_up_to_date() -> None:
    """If not: `make golden`."""
    assert COMMITTED.read_text(encoding="utf-8") == schema_json()


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(SHAPE)


@pytest.mark.parametrize(
    "name", ["good/full", "good/gpus", "good/custom", "good/smallest", "good/everything", "good/discovery"]
)
def test_editors_accept_what_the_loader_reads(name: str) -> None:
    assert refusals(HERE / f"{name}.yml") == []


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("unknown_key", "$.pools[0]"),
        ("missing_key", "$.pools[0]"),
        ("yaml_no_value", "$.pools[0].tenant"),
        ("name_characters", "$.pools[0].name"),
        ("duration_unit", "$.scrape.interval"),
        ("money_negative", "$.pools[0].usd_per_gpu_hour"),
        ("money_text", "$.pools[0].usd_per_gpu_hour"),
        ("count_zero", "$.pools[0].gpus"),
        ("label_name", "$.pools[0].tenant_label"),
        ("list_empty", "$.pools[0].endpoints"),
        ("nvml_index_quoted", "$.pools[0].gpus"),
        ("nvml_twice", "$.pools[0].gpus"),
        ("dcgm_missing_url", "$.pools[0].gpus"),
        ("owned_by_the_hour", "$.prices.gpus[0]"),
        ("owned_missing_years", "$.prices.gpus[0]"),
        ("purchase_blend", "$.pools[0].purchase"),
        ("engine_unknown", "$.pools[0].engine"),
    ],
)
def test_editors_mark_what_the_loader_refuses(name: str, where: str) -> None:
    assert where in refusals(HERE / "bad" / f"{name}.yml")


def test_defaults_are_spelled_as_in_the_file() -> None:
    parts = SHAPE["$defs"]
    assert parts["Scrape"]["properties"]["interval"]["default"] == "15s"
    assert parts["Live"]["properties"]["windows"]["default"] == ["5m", "1h"]
    assert parts["Weights"]["properties"]["cache_read"]["default"] == 0.1


def test_every_required_key_has_an_example_for_its_message() -> None:
    shapes = (SHAPE, WebConfig.model_json_schema())
    required = {key for shape in shapes for part in shape["$defs"].values() for key in part.get("required", ())}
    assert required - {"source"} == set(messages.EXAMPLES)
