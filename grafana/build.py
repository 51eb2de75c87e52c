"""From a dashboard as data to Grafana's classic JSON, through the typed builders of grafana-foundation-sdk."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from string import ascii_uppercase
from typing import Any, TypeAlias

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from grafana import spec as s
from grafana.filters import ALERTS, EVERYWHERE, VARIABLES, filtered, unheeded, values

TAG = "tokencost"
SOURCE = model.DataSourceRef("prometheus", "${datasource}")
KEPT = "${datasource:queryparam}&${cluster:queryparam}&${job:queryparam}&${__url_time_range}"
Builder: TypeAlias = stat.Panel | timeseries.Panel | table.Panel

ANNOTATIONS = {
    "Price changed": (
        "purple",
        "changes(tokencost_gpu_price_usd_per_hour[$__rate_interval]) > 0 or "
        "changes(tokencost_price_catalog_newest_price_timestamp_seconds[$__rate_interval]) > 0",
        "Price changed: {{pool}} {{product}}",
    ),
    "Config reloaded": (
        "blue",
        "changes(tokencost_config_last_reload_success_timestamp_seconds[$__rate_interval]) > 0",
        "Config reloaded: {{instance}}",
    ),
    "Alerts": (
        "red",
        f'{ALERTS}{{alertname=~"Tokencost.*", alertstate="firing"}}',
        "{{alertname}}: {{budget}} {{pool}} {{tenant}}",
    ),
}


def rendered(board: s.Dashboard) -> str:
    """The dashboard's JSON, as it is committed."""
    names = (*EVERYWHERE, *board.filters)
    made = (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .description(f"{board.question} {board.text}")
        .tags([TAG])
        .readonly()
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .time(board.time, "now")
        .refresh(board.refresh)
        .link(
            dashboard.DashboardLink(TAG)
            .type(model.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .include_vars(True)
            .keep_time(True)
        )
        .variables([dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")])
    )
    for name in names:
        made.with_variable(_variable(name, names))
    for name, (colour, query, _) in ANNOTATIONS.items():
        made.annotation(
            dashboard.AnnotationQuery().name(name).icon_color(colour).datasource(SOURCE).expr(filtered(query, names))
        )
    for section in board.sections:
        made.with_row(dashboard.Row(section.title))
        for panel in section.panels:
            made.with_panel(_panel(panel, names))
    found: dict[str, Any] = json.loads(JSONEncoder().encode(made.build()))
    for number, panel in enumerate(found["panels"], 1):
        panel["id"] = number
    for annotation in found["annotations"]["list"]:  # the builder does not know the title
        annotation["titleFormat"] = ANNOTATIONS[annotation["name"]][2]
    return json.dumps(found, indent=2, sort_keys=True) + "\n"


def _variable(name: str, names: Sequence[str]) -> dashboard.QueryVariable:
    variable = VARIABLES[name]
    made = (
        dashboard.QueryVariable(name)
        .label(variable.title)
        .datasource(SOURCE)
        .query(values(name, names))
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(variable.multi)
        .include_all(variable.multi)
    )
    if not variable.multi:
        return made
    everything = model.VariableOption(selected=True, text=["All"], value=["$__all"])
    return made.all_value(variable.all).current(everything)


def _panel(panel: s.Panel, names: Sequence[str]) -> Builder:
    made: Builder
    if isinstance(panel, s.Stat):
        made, queries = _stat(panel), {panel.legend: panel.query}
    elif isinstance(panel, s.Graph):
        made, queries = _graph(panel), dict(panel.lines)
    elif isinstance(panel, s.Table):
        made, queries = _table(panel), {column.title: column.query for column in panel.columns}
    else:
        raise TypeError(f"no builder for {panel}")
    finished = {legend: filtered(query, names) for legend, query in queries.items()}
    ignored = unheeded(finished.values(), names)
    note = f" Not filtered by: {', '.join(ignored).lower()}." if ignored else ""
    made.title(panel.title).description(panel.text + note).datasource(SOURCE).unit(panel.unit)
    made.span(panel.width).height(panel.height).thresholds(_thresholds(panel.base, panel.steps))
    if panel.decimals is not None:
        made.decimals(panel.decimals)
    for letter, (legend, query) in zip(ascii_uppercase, finished.items(), strict=False):
        target = prometheus.Dataquery().ref_id(letter).datasource(SOURCE).expr(query)
        if isinstance(panel, s.Graph):
            target.range().legend_format(legend)
        elif isinstance(panel, s.Table):
            target.instant().format(PromQueryFormat.TABLE)
        else:
            target.instant().legend_format(legend or panel.title)
        made.with_target(target)
    return made


def _stat(panel: s.Stat) -> stat.Panel:
    text = kinds.BigValueTextMode.VALUE_AND_NAME if panel.legend else kinds.BigValueTextMode.VALUE
    return (
        stat.Panel()
        .no_value(panel.none)
        .graph_mode(kinds.BigValueGraphMode.NONE)
        .color_mode(kinds.BigValueColorMode.VALUE)
        .text_mode(text)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    )


def _graph(panel: s.Graph) -> timeseries.Panel:
    made = (
        timeseries.Panel()
        .line_width(1)
        .fill_opacity(30 if panel.stacked else 0)
        .show_points(kinds.VisibilityMode.AUTO)
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(kinds.LegendDisplayMode.LIST)
            .placement(kinds.LegendPlacement.BOTTOM)
            .calcs([])
        )
        .tooltip(common.VizTooltipOptions().mode(kinds.TooltipDisplayMode.MULTI).sort(kinds.SortOrder.DESCENDING))
        .axis_soft_min(0)
    )
    if panel.stacked:
        made.stacking(common.StackingConfig().mode(kinds.StackingMode.NORMAL).group("A"))
    if panel.steps:
        made.thresholds_style(common.GraphThresholdsStyleConfig().mode(kinds.GraphThresholdsStyleMode.DASHED))
    if panel.highest is not None:
        made.max(panel.highest)
    if panel.every:
        made.interval(panel.every)
    return made


def _table(panel: s.Table) -> table.Panel:
    """Queries become one table: rows with the same labels are merged, columns named and put in order."""
    alone = len(panel.columns) == 1  # Grafana then calls its value plainly Value
    names = ["Value" if alone else f"Value #{letter}" for letter in ascii_uppercase[: len(panel.columns)]]
    found = list(zip(names, panel.columns, strict=True))
    made = table.Panel().no_value(panel.none)
    made.with_transformation(model.DataTransformerConfig(id_val="merge", options={}))
    made.with_transformation(
        model.DataTransformerConfig(
            id_val="organize",
            options={
                "excludeByName": {"Time": True} | {name: True for name, column in found if not column.shown},
                "indexByName": {field: place for place, field in enumerate([*panel.keys, *names])},
                "renameByName": {**panel.keys, **{name: column.title for name, column in found if column.shown}},
            },
        )
    )
    made.override_by_regexp(".*", [_property("noValue", "-")])  # an empty cell, not an empty table
    if panel.sort:
        made.sort_by([common.TableSortByFieldState().display_name(panel.sort).desc(True)])
    for title, (uid, variable) in (panel.links or {}).items():
        url = f"/d/{uid}?{KEPT}&var-{variable}=${{__value.text}}"
        made.override_by_name(title, [_property("links", [{"title": f"Open {uid}", "url": url}])])
    for column in panel.columns:
        if column.shown:
            made.override_by_name(column.title, list(_looks(column)))
    return made


def _looks(column: s.Column) -> Iterator[model.DynamicConfigValue]:
    yield _property("unit", column.unit)
    if column.decimals is not None:
        yield _property("decimals", column.decimals)
    if column.steps or column.words:
        yield _property("custom.cellOptions", {"type": "color-text"})
    if column.steps:
        yield _property("thresholds", _thresholds("green", column.steps).build())
    if column.words:
        yield _property("mappings", [_mapping(column.words)])


def _property(name: str, value: object) -> model.DynamicConfigValue:
    return model.DynamicConfigValue(id_val=name, value=value)


def _mapping(words: Mapping[int, tuple[str, str]]) -> model.ValueMap:
    shown = {
        str(value): model.ValueMappingResult(text=text, color=colour, index=place)
        for place, (value, (text, colour)) in enumerate(words.items())
    }
    return model.ValueMap(options=shown)


def _thresholds(base: str, steps: s.Steps) -> dashboard.ThresholdsConfig:
    marks = [model.Threshold(value=None, color=base), *(model.Threshold(value, color) for value, color in steps)]
    return dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(marks)
