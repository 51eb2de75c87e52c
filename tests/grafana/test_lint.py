"""The rules of grafana/dashboard-linter that are not about PromQL, and some of our own: what Grafana would trip over.

Left out of the linter's: template-instance and target-instance (dashboards are about all exporters of a job), logql.
"""

from __future__ import annotations

import json
import re
from itertools import pairwise, product
from typing import Any

import promql_parser
import pytest

from exporter.publish.catalog import CATALOG
from tests.grafana.boards import BOARDS, FOLDER, UIDS, panels, variables

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
SCREEN = 20  # rows of the grid that a laptop shows at once
# Units of Grafana that the dashboards use, and units that they make up (`count:` scales, `suffix:` does not).
UNITS = {
    "currencyUSD", "percentunit", "s", "short", "none", "reqps", "cpm", "bytes", "joule", "watt", "celsius",
    "dateTimeAsIso", "dateTimeFromNow", "count:tok/s", "suffix:GPU-h",
}  # fmt: skip
PANELS = [pytest.param(uid, panel, id=f"{uid}: {panel['title']}") for uid in UIDS for panel in panels(uid)]
EACH_BOARD = pytest.mark.parametrize("uid", UIDS)
EACH_PANEL = pytest.mark.parametrize(("uid", "panel"), PANELS)


def objects(part: Any) -> list[dict[str, Any]]:
    """Every mapping in a piece of JSON."""
    if isinstance(part, list):
        return [found for item in part for found in objects(item)]
    if isinstance(part, dict):
        return [part, *(found for item in part.values() for found in objects(item))]
    return []


@EACH_BOARD
def test_it_is_a_classic_dashboard_that_grafana_11_to_13_read(uid: str) -> None:
    board = BOARDS[uid]
    assert board["uid"] == uid
    assert board["schemaVersion"] <= 41
    assert board["editable"] is False, "changes belong in grafana/, and a provisioned one loses them"
    assert board["tags"] == ["tokencost"]
    assert "id" not in board
    assert not {"apiVersion", "kind", "spec", "__inputs", "__requires"} & board.keys()


def test_no_two_dashboards_share_a_uid_or_a_title() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(UIDS)
    assert len({board["title"] for board in BOARDS.values()}) == len(UIDS)


@EACH_BOARD
def test_its_question_stands_at_its_top(uid: str) -> None:
    first = BOARDS[uid]["panels"][0]
    assert first["type"] == "row"
    assert first["title"].endswith("?")
    assert BOARDS[uid]["description"].startswith(first["title"])


@EACH_BOARD
def test_the_first_screen_begins_with_numbers_and_ends_with_its_section(uid: str) -> None:
    shown = BOARDS[uid]["panels"]
    numbers = [panel for panel in shown if panel["gridPos"]["y"] == 1]
    assert {panel["type"] for panel in numbers} == {"stat"}
    assert sum(panel["gridPos"]["w"] for panel in numbers) == 24
    second = next(panel for panel in shown[1:] if panel["type"] == "row")
    assert second["gridPos"]["y"] <= SCREEN


@EACH_BOARD
def test_ids_are_unique_and_panels_fill_the_grid_without_overlap(uid: str) -> None:
    shown = BOARDS[uid]["panels"]
    assert sorted(panel["id"] for panel in shown) == list(range(1, len(shown) + 1))
    taken: set[tuple[int, int]] = set()
    for panel in shown:
        place = panel["gridPos"]
        assert 0 <= place["x"] <= 24 - place["w"]
        columns, rows = range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        cells = set(product(columns, rows))
        assert not cells & taken, panel["title"]
        taken |= cells
    assert len(taken) == 24 * (max(row for _, row in taken) + 1), "a hole in the grid"
    assert len({panel["title"] for panel in shown}) == len(shown)


@EACH_BOARD
def test_every_data_source_is_the_variable(uid: str) -> None:
    found = [part["datasource"] for part in objects(BOARDS[uid]) if "datasource" in part]
    assert found
    assert all(source == SOURCE for source in found)
    sources = [variable for variable in variables(uid).values() if variable["type"] == "datasource"]
    assert [(source["name"], source["label"], source["query"]) for source in sources] == [
        ("datasource", "Data source", "prometheus")
    ]


@EACH_BOARD
def test_variables_are_asked_of_the_data_source_in_order(uid: str) -> None:
    """Each is narrowed by those before it, and its values are those of the time range."""
    known = {metric.name: metric.labels for metric in CATALOG}
    before: set[str] = set()
    for name, variable in variables(uid).items():
        if variable["type"] == "datasource":
            continue
        found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"])
        assert found
        selector = promql_parser.parse(found[1])
        assert isinstance(selector, promql_parser.VectorSelector)
        assert found[2] in {*known[selector.name or ""], "job", "cluster"}
        assert {matcher.value for matcher in selector.matchers.matchers} == {f"${earlier}" for earlier in before}
        assert variable["refresh"] == 2
        assert variable["datasource"] == SOURCE
        assert variable["multi"] == variable["includeAll"]
        if variable["multi"]:
            assert variable["allValue"] == (".+" if name == "job" else ".*"), "no cluster is as good as any"
            assert variable["current"]["value"] == ["$__all"]
        before.add(name)
    assert {"job", "cluster", "pool"} <= before
    assert variables(uid)["job"]["label"] == "Job"


@EACH_BOARD
def test_it_marks_prices_reloads_and_alerts(uid: str) -> None:
    marks = BOARDS[uid]["annotations"]["list"]
    assert [mark["name"] for mark in marks] == ["Price changed", "Config reloaded", "Alerts"]
    assert all(mark["enable"] and mark["titleFormat"] for mark in marks)


@EACH_BOARD
def test_its_links_lead_to_dashboards_that_exist(uid: str) -> None:
    (link,) = BOARDS[uid]["links"]
    assert (link["type"], link["tags"], link["includeVars"], link["keepTime"]) == (
        "dashboards",
        ["tokencost"],
        True,
        True,
    )
    for part in objects(BOARDS[uid]["panels"]):
        if "url" in part:
            found = re.match(r"/d/([\w-]+)\?.*&var-(\w+)=", part["url"])
            assert found
            assert found[2] in variables(found[1]), "it sets a variable that is there"
            assert "${__url_time_range}" in part["url"]


@EACH_PANEL
def test_a_panel_explains_itself(uid: str, panel: dict[str, Any]) -> None:
    text = panel["description"]
    assert panel["title"]
    assert text.endswith(".")
    assert len(text) > 40
    assert not re.search(r"[^\x20-\x7e]|  ", text), "plain text"
    known = {metric.name for metric in CATALOG}
    for name in re.findall(r"\btokencost_\w+[a-z]\b(?!_\*)", text):
        assert name in known, name


@EACH_PANEL
def test_a_panel_has_queries_and_a_unit(uid: str, panel: dict[str, Any]) -> None:
    assert panel["type"] in {"stat", "timeseries", "table"}
    assert [target["refId"] for target in panel["targets"]] == sorted({target["refId"] for target in panel["targets"]})
    defaults, looks = panel["fieldConfig"]["defaults"], objects(panel["fieldConfig"]["overrides"])
    assert {defaults["unit"], *(look["value"] for look in looks if look.get("id") == "unit")} <= UNITS
    for target in panel["targets"]:
        assert target["instant"] is not target["range"]
        assert target["range"] is (panel["type"] == "timeseries")
        assert target.get("format") == ("table" if panel["type"] == "table" else None)
    if panel["type"] != "timeseries":
        assert defaults["noValue"], "it says what it means when there is nothing"


@EACH_PANEL
def test_thresholds_rise(uid: str, panel: dict[str, Any]) -> None:
    for part in objects(panel["fieldConfig"]):
        if part.get("mode") == "absolute" and "steps" in part:
            base, *steps = [step["value"] for step in part["steps"]]
            assert base is None
            assert all(low < high for low, high in pairwise(steps))


@EACH_PANEL
def test_money_has_its_decimals(uid: str, panel: dict[str, Any]) -> None:
    """Without them Grafana rounds to what fits: a price of 0.0031 reads 0."""
    rules = [rule["properties"] for rule in panel["fieldConfig"]["overrides"]]
    fields = [{look["id"]: look["value"] for look in looks} for looks in rules]
    fields.append(panel["fieldConfig"]["defaults"])
    assert all("decimals" in field for field in fields if field.get("unit") == "currencyUSD")


@EACH_BOARD
def test_no_raw_id_is_in_it(uid: str) -> None:
    text = json.dumps(BOARDS[uid])
    assert not re.search(r'"uid": "(?!\$\{datasource\}|tokencost-)', text)
    assert "DS_PROMETHEUS" not in text
