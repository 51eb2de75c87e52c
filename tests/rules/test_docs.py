"""The pages about rules say what the rules do."""

from __future__ import annotations

import re

import promql_parser
import pytest

from exporter.rules.rule import DEBUG, EXECUTIVE, EXPORTER, ONCALL
from tests.rules import runbooks, table
from tests.rules.lint import nodes
from tests.rules.test_lint import ALERTS, KNOWN, RECORDS

RUNBOOKS = runbooks.RUNBOOKS.read_text()
SECTIONS = dict(re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", RUNBOOKS, re.MULTILINE | re.DOTALL))


def test_the_tables_are_those_of_the_rules() -> None:
    assert runbooks.page() == runbooks.PAGE.read_text(), "run `make docs`"


def test_the_simulation_is_of_these_windows_and_thresholds() -> None:
    assert table.inputs() in table.PAGE.read_text(), "run `make alert-sim`"


def test_every_alert_has_its_section() -> None:
    assert sorted(SECTIONS) == sorted(rule["alert"] for rule in ALERTS)


@pytest.mark.parametrize("alert", [rule["alert"] for rule in ALERTS])
def test_a_section_says_what_it_means_how_to_check_it_and_what_to_do(alert: str) -> None:
    assert re.findall(r"^\*\*(\w+)\.\*\*", SECTIONS[alert], re.MULTILINE) == ["Means", "Check", "Do"]
    queries = re.findall(r"```promql\n(.*?)```", SECTIONS[alert], re.DOTALL)
    assert queries
    for query in queries:
        found = [
            node.name for node, _ in nodes(promql_parser.parse(query)) if isinstance(node, promql_parser.VectorSelector)
        ]
        assert {name for name in found if name} <= KNOWN.keys(), query


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_the_links_of_an_alert_lead_somewhere(rule: dict[str, dict[str, str]]) -> None:
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert (page, anchor) == ("docs/runbooks.md", str(rule["alert"]).lower())
    dashboard = re.fullmatch(r"/d/([\w-]+)(\?.*)?", rule["annotations"]["dashboard_url"])
    assert dashboard
    assert dashboard[1] in (EXECUTIVE, ONCALL, DEBUG, EXPORTER)


def test_the_recording_rules_it_speaks_of_exist() -> None:
    spoken_of = set(re.findall(r"`(\w+:tokencost_\w+:\w+)`", runbooks.PAGE.read_text()))
    assert len(spoken_of) > 20
    assert spoken_of <= {rule["record"] for rule in RECORDS}
