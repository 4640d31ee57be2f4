"""Grafana's JSON in a few words: data sources, queries, panels, variables, a dashboard.

Plain dictionaries after Grafana's dashboard schema (version 41, Grafana 11.6); the tests hold them against the types of
Grafana's own foundation SDK. In queries `$__timeFilter(column)` and `$__timeInterval(column)` are macros of the
ClickHouse data source, `$__rate_interval` is one of Prometheus', and `${name:sqlstring}` is a variable, quoted.
"""

from collections.abc import Sequence
from typing import Any, Literal

Json = dict[str, Any]

SCHEMA_VERSION = 41
#: Grafana counts the width of a dashboard in columns.
COLUMNS = 24
PROMETHEUS: Json = {"type": "prometheus", "uid": "corredor-prometheus"}
CLICKHOUSE: Json = {"type": "grafana-clickhouse-datasource", "uid": "corredor-clickhouse"}
#: Scores, 0 to 100: negative below 40, positive from 70 on.
SCORE_STEPS: tuple[tuple[float, str], ...] = ((40, "yellow"), (70, "green"))
#: Things of which there should be none.
ALARM_STEPS: tuple[tuple[float, str], ...] = ((1, "red"),)


def prom(expr: str, legend: str = "", *, instant: bool = False) -> Json:
    """A PromQL query; `legend` names its series, such as `{{touchpoint}}`."""
    when = {"instant": True, "range": False} if instant else {"instant": False, "range": True}
    return {"datasource": PROMETHEUS, "expr": expr, "legendFormat": legend or "__auto", **when}


def rows(sql: str) -> Json:
    """An SQL query whose rows are shown."""
    return _sql(sql, "table", 1)


def series(sql: str) -> Json:
    """An SQL query whose columns are a time, names and numbers, ordered by time: a line for each name and number."""
    return _sql(sql, "timeseries", 0)


def _sql(sql: str, kind: str, number: int) -> Json:
    return {"datasource": CLICKHOUSE, "editorType": "sql", "queryType": kind, "format": number, "rawSql": sql}


def lines(
    title: str, *targets: Json, unit: str = "short", about: str = "", width: int = 12, stacked: bool = False
) -> Json:
    """Lines over time."""
    custom: Json = {"drawStyle": "line", "lineWidth": 2, "fillOpacity": 20 if stacked else 0, "showPoints": "auto"}
    custom |= {"spanNulls": True, "stacking": {"mode": "normal" if stacked else "none", "group": "A"}}
    options = {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return _panel("timeseries", title, targets, options, {"unit": unit, "custom": custom}, about, width, 8)


def number(
    title: str,
    target: Json,
    *,
    unit: str = "short",
    steps: Sequence[tuple[float, str]] = (),
    about: str = "",
    base: str = "text",
) -> Json:
    """One large number: its newest value, coloured from each step on."""
    options = {
        "colorMode": "value",
        "graphMode": "area",
        "textMode": "auto",
        "justifyMode": "auto",
        "reduceOptions": {"values": False, "calcs": ["lastNotNull"], "fields": ""},
    }
    return _panel("stat", title, [target], options, {"unit": unit, **_thresholds(base, steps)}, about, 6, 4)


def bars(title: str, target: Json, *, steps: Sequence[tuple[float, str]], base: str, about: str = "") -> Json:
    """A bar for each series, 0 to 100, with its newest value."""
    options = {
        "displayMode": "basic",
        "orientation": "horizontal",
        "showUnfilled": True,
        "reduceOptions": {"values": False, "calcs": ["lastNotNull"], "fields": ""},
    }
    return _panel(
        "bargauge", title, [target], options, {"min": 0, "max": 100, **_thresholds(base, steps)}, about, 12, 8
    )


def table(title: str, target: Json, *, about: str = "", width: int = 24, height: int = 8) -> Json:
    """Rows and columns; each column can be sorted and filtered."""
    defaults = {"custom": {"filterable": True, "inspect": True}}
    return _panel("table", title, [target], {"showHeader": True, "cellHeight": "sm"}, defaults, about, width, height)


def graph(title: str, nodes: Json, edges: Json, *, about: str = "") -> Json:
    """Nodes (columns id, title, mainstat) and edges (id, source, target, mainstat)."""
    panel = _panel("nodeGraph", title, [nodes, edges], {}, {}, about, 24, 14)
    for target, name in zip(panel["targets"], ("nodes", "edges"), strict=True):
        target["refId"] = name
    return panel


def heading(title: str) -> Json:
    """A line over the panels that follow."""
    return {"type": "row", "title": title, "collapsed": False, "panels": []}


def _thresholds(base: str, steps: Sequence[tuple[float, str]]) -> Json:
    written = [{"color": base, "value": None}, *({"color": color, "value": value} for value, color in steps)]
    return {"color": {"mode": "thresholds"}, "thresholds": {"mode": "absolute", "steps": written}}


def _panel(
    kind: str, title: str, targets: Sequence[Json], options: Json, defaults: Json, about: str, width: int, height: int
) -> Json:
    named = [{"refId": chr(ord("A") + index), **target} for index, target in enumerate(targets)]
    return {
        "type": kind,
        "title": title,
        "description": about,
        "datasource": targets[0]["datasource"],
        "targets": named,
        "options": options,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "gridPos": {"w": width, "h": height},
    }


def choice(name: str, label: str, sql: str, *, several: bool = False, first: str = "") -> Json:
    """A variable whose values a query gives, read anew when the dashboard is opened."""
    current = {"text": ["All"], "value": ["$__all"]} if several else {"text": first, "value": first}
    return {
        "type": "query",
        "name": name,
        "label": label,
        "datasource": CLICKHOUSE,
        "query": sql,
        "refresh": 1,
        "sort": 1,
        "multi": several,
        "includeAll": several,
        "current": current,
    }


def options(name: str, label: str, values: Sequence[str], first: str) -> Json:
    """A variable with these values."""
    listed = [{"text": value, "value": value, "selected": value == first} for value in values]
    return {
        "type": "custom",
        "name": name,
        "label": label,
        "query": ",".join(values),
        "options": listed,
        "multi": False,
        "includeAll": False,
        "current": {"text": first, "value": first},
    }


def marks(name: str, sql: str) -> Json:
    """Marks over every chart: columns time, timeEnd, title, text and tags."""
    target = {**rows(sql), "refId": "Anno"}
    return {"name": name, "datasource": CLICKHOUSE, "enable": True, "iconColor": "red", "target": target}


def dashboard(
    uid: str,
    title: str,
    about: str,
    panels: Sequence[Json],
    *,
    variables: Sequence[Json] = (),
    annotations: Sequence[Json] = (),
    refresh: Literal["5s", "10s", "30s", "1m"] = "10s",
    span: str = "now-6h",
) -> Json:
    """The whole; panels flow from left to right and top to bottom."""
    link = {
        "type": "dashboards",
        "title": "Corredor",
        "tags": ["corredor"],
        "asDropdown": True,
        "icon": "external link",
    }
    link |= {
        "icon": "external link",
        "url": "",
        "tooltip": "",
        "targetBlank": False,
        "includeVars": True,
        "keepTime": True,
    }
    return {
        "uid": uid,
        "title": title,
        "description": about,
        "tags": ["corredor"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "graphTooltip": 1,
        "timezone": "browser",
        "refresh": refresh,
        "time": {"from": span, "to": "now"},
        "links": [link],
        "templating": {"list": list(variables)},
        "annotations": {"list": list(annotations)},
        "panels": _placed(panels),
    }


def _placed(panels: Sequence[Json]) -> list[Json]:
    placed: list[Json] = []
    x = y = deepest = 0
    for index, panel in enumerate(panels, start=1):
        width, height = (COLUMNS, 1) if panel["type"] == "row" else (panel["gridPos"]["w"], panel["gridPos"]["h"])
        if x + width > COLUMNS:
            x, y = 0, deepest
        placed.append({**panel, "id": index, "gridPos": {"x": x, "y": y, "w": width, "h": height}})
        x, deepest = x + width, max(deepest, y + height)
    return placed
