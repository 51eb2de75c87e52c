"""The README says what the program does: its tables, its config example, its Make targets and its dependencies."""

from __future__ import annotations

import re
import tomllib
from datetime import date
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from exporter.config.load import load
from exporter.publish.catalog import CATALOG
from tests import docs

TEXT = docs.README.read_text()
ROOT = docs.README.parent


def test_its_tables_are_those_of_the_program() -> None:
    assert docs.with_tables(TEXT) == TEXT, "the README's tables are out of date: run `make docs`"


def test_the_page_on_engines_is_what_their_files_say() -> None:
    assert docs.ENGINES_PAGE.read_text() == docs.engines_page(), "docs/engines.md is out of date: run `make docs`"


@pytest.mark.parametrize("name", docs.TABLES)
def test_every_table_has_its_place(name: str) -> None:
    assert len(re.findall(rf"<!-- table: {name} -->\n\|", TEXT)) == 1


def test_a_table_nobody_makes_is_an_error() -> None:
    with pytest.raises(KeyError, match="prices"):
        docs.with_tables("<!-- table: prices -->\n<!-- end -->\n")


def test_its_config_example_is_a_config(tmp_path: Path) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    path = tmp_path / "tokencost.yml"
    path.write_text(example)
    assert [pool.name for pool in load(path, today=date(2026, 6, 1)).pools] == ["llama-70b", "tiny"]


@pytest.mark.parametrize("path", [docs.README, *sorted((ROOT / "docs").glob("*.md"))], ids=lambda path: path.name)
def test_the_metrics_it_speaks_of_exist(path: Path) -> None:
    known = {metric.name for metric in CATALOG}
    spoken_of = re.findall(
        r"(?<![\w:])tokencost_\w+[a-z]\b(?![:*])", path.read_text()
    )  # not what a rule records of them
    assert set(spoken_of) <= known


def test_the_make_targets_it_speaks_of_exist() -> None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    spoken_of = {target for line in re.findall(r"(?:`|\$ )make ([\w-]+)", TEXT) for target in line.split()}
    assert spoken_of
    assert spoken_of <= set(targets)


def test_every_dependency_has_its_line() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    section = TEXT.partition("## Dependencies")[2].partition("\n## ")[0]
    assert re.findall(r"^- \*\*([\w-]+)\*\*", section, re.MULTILINE) == [
        Requirement(text).name for text in project["dependencies"]
    ]
