"""The dashboards we ship: Grafana's own types take them, and every query of theirs runs and names what exists."""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard
from prometheus_client.metrics import MetricWrapperBase
from ruamel.yaml import YAML

from schemas.loader import load_map
from sinks import metrics as sink_metrics
from sinks.clickhouse import ClickHouse
from sinks.corridor_map import DICTIONARY
from sinks.grafana.files import DASHBOARDS, render
from sinks.grafana.model import CLICKHOUSE, COLUMNS, PROMETHEUS, Json
from sinks.prometheus import rules
from sinks.prometheus.names import PROCESS_UP
from sources.collect import metrics as collect_metrics
from streams.runtime import metrics as worker_metrics
from streams.runtime.settings import DEFAULT_MAP
from streams.runtime.waiting import WAITS
from tests.alerts.servers import program
from tests.sinks.bi_data import RETAIL, SPAN_S, TABLES, fill

ROOT = Path(__file__).resolve().parents[3]
DEPLOYED = ROOT / "deploy" / "grafana"
BUILT: dict[str, Json] = {name: build() for name, build in DASHBOARDS.items()}
PANELS = [(name, panel) for name, built in BUILT.items() for panel in built["panels"] if panel["type"] != "row"]
TARGETS = [
    (f"{name}: {panel['title']} {target['refId']}", target) for name, panel in PANELS for target in panel["targets"]
]
TARGETS += [
    (f"{name}: marks", mark["target"]) for name, built in BUILT.items() for mark in built["annotations"]["list"]
]
SQL = {name: target["rawSql"] for name, target in TARGETS if target["datasource"] == CLICKHOUSE} | {
    f"{name}: variable {variable['name']}": variable["query"]
    for name, built in BUILT.items()
    for variable in built["templating"]["list"]
    if variable["type"] == "query"
}
PROMQL = {name: target["expr"] for name, target in TARGETS if target["datasource"] == PROMETHEUS}
#: What Grafana puts in: the variables as one who looks chooses them.
CHOSEN = {"tenant": ["default"], "touchpoint": [place.name for place in RETAIL.touchpoints], "window": ["1h"]}


def test_the_committed_files_are_those_of_the_program() -> None:
    committed = {
        str(file.relative_to(DEPLOYED)): file.read_text(encoding="utf-8")
        for file in DEPLOYED.rglob("*")
        if file.is_file() and file.name != "README.md"
    }
    assert committed == render(), "run `corredor dashboards`"


@pytest.mark.parametrize("name", BUILT)
def test_grafanas_own_types_know_every_field(name: str) -> None:
    back = json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(BUILT[name])))
    assert_within(BUILT[name], back, name)


def assert_within(ours: Any, theirs: Any, at: str) -> None:
    """Every field of ours came back with its value; they add their defaults."""
    if isinstance(ours, dict):
        for key, value in ours.items():
            # What the query of a mark holds is the plugin's own business.
            if value is not None and not re.search(r"annotations\.list\[\d+\]\.target$", at):
                assert key in theirs, f"Grafana knows no {at}.{key}"
                assert_within(value, theirs[key], f"{at}.{key}")
    elif isinstance(ours, list):
        assert len(ours) == len(theirs), at
        for index, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
            assert_within(mine, other, f"{at}[{index}]")
    else:
        assert ours == theirs, at


@pytest.mark.parametrize("name", BUILT)
def test_panels_stand_beside_and_below_each_other_and_never_on_another(name: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in BUILT[name]["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= COLUMNS
        taken |= cells
    assert len({panel["id"] for panel in BUILT[name]["panels"]}) == len(BUILT[name]["panels"])


def test_every_variable_in_use_is_there_and_every_one_there_is_in_use() -> None:
    for name, built in BUILT.items():
        written = json.dumps([built["panels"], built["annotations"]])
        used = set(re.findall(r"\$\{?(\w+)", written)) & set(CHOSEN)
        assert used == {variable["name"] for variable in built["templating"]["list"]}, name


def test_the_data_sources_of_the_dashboards_are_those_provisioned() -> None:
    loaded = YAML(typ="safe", pure=True).load(render()["provisioning/datasources/corredor.yaml"])
    provisioned = [{"type": one["type"], "uid": one["uid"]} for one in loaded["datasources"]]
    assert provisioned == [PROMETHEUS, CLICKHOUSE]
    assert {json.dumps(target["datasource"]) for _, target in TARGETS} == {json.dumps(one) for one in provisioned}


@pytest.fixture(scope="module")
def filled(engine: ClickHouse) -> Iterator[tuple[ClickHouse, int]]:
    now = int(time.time())
    fill(engine, now)
    yield engine, now
    engine.command(f"DROP DICTIONARY {DICTIONARY}")
    for table in TABLES:
        engine.command(f"TRUNCATE TABLE corredor.{table}")


def as_grafana_sends(sql: str, now: int) -> str:
    """The macros as the ClickHouse data source expands them, and the variables filled in."""
    since, until = f"toDateTime({now - SPAN_S})", f"toDateTime({now})"
    sql = re.sub(r"\$__timeFilter\((\w+)\)", rf"\1 >= {since} AND \1 <= {until}", sql)
    sql = re.sub(r"\$__timeInterval\((\w+)\)", r"toStartOfInterval(toDateTime(\1), INTERVAL 60 second)", sql)
    for name, values in CHOSEN.items():
        sql = sql.replace(f"${{{name}:sqlstring}}", ",".join(f"'{value}'" for value in values))
    assert "$" not in sql, sql
    return sql


@pytest.mark.parametrize("name", SQL)
def test_a_query_of_a_dashboard_returns_rows(filled: tuple[ClickHouse, int], name: str) -> None:
    store, now = filled
    columns, rows = store.table(as_grafana_sends(SQL[name], now))
    assert rows
    values = dict(zip(columns, zip(*rows, strict=True), strict=True))
    assert [column for column, found in values.items() if all(one is None for one in found)] == []


@pytest.mark.parametrize("name", [name for name, target in TARGETS if target.get("queryType") == "timeseries"])
def test_a_query_of_a_chart_has_a_time_first_in_order_and_a_number(filled: tuple[ClickHouse, int], name: str) -> None:
    store, now = filled
    columns, rows = store.table(as_grafana_sends(SQL[name], now))
    times = [row[0] for row in rows]
    assert columns[0] == "time" and times == sorted(times)
    assert any(isinstance(value, int | float) for row in rows for value in row)


def test_the_graph_has_a_node_for_each_end_of_its_edges(filled: tuple[ClickHouse, int]) -> None:
    store, now = filled
    nodes = store.rows(as_grafana_sends(SQL["corridor: The corridor nodes"], now))
    edges = store.rows(as_grafana_sends(SQL["corridor: The corridor edges"], now))
    ids = [row[0] for row in nodes]
    assert len(set(ids)) == len(ids)
    assert {end for edge in edges for end in edge[1:3]} == set(ids)


def series_there() -> dict[str, set[str] | None]:
    """Every series that programs and rules of ours make, with its labels; None where they are not known here."""
    found: dict[str, set[str] | None] = {PROCESS_UP: {"process"}}
    endings = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"], "gauge": [""]}
    for module in (worker_metrics, sink_metrics, collect_metrics):
        for metric in vars(module).values():
            if isinstance(metric, MetricWrapperBase):
                for ending in endings[str(metric._type)]:
                    found[metric._name + ending] = set(metric._labelnames) | ({"le"} if ending == "_bucket" else set())
    collectors = (
        worker_metrics.LATENESS,
        worker_metrics.END_TO_END,
        worker_metrics.SCORES,
        worker_metrics.INCIDENTS,
        WAITS,
    )
    for collector in collectors:
        for family in collector.collect():
            for ending in endings[family.type]:
                found[family.name + ending] = set(getattr(family, "_labelnames", ())) | {"le"}
    for text in rules.render(load_map(DEFAULT_MAP), "").values():
        for group in YAML(typ="safe", pure=True).load(text)["groups"]:
            found |= {rule["record"]: None for rule in group["rules"] if "record" in rule}
    return found


def test_a_promql_expression_names_only_series_and_labels_of_ours() -> None:
    there = series_there()
    for name, expr in PROMQL.items():
        named = re.findall(r"(corredor[\w:]*)(?:\{([^}]*)\})?", re.sub(r'"[^"]*"', '""', expr))
        assert named, name
        for metric, selector in named:
            assert metric in there, f"{name}: {metric}"
            labels = there[metric]
            if labels is not None:
                used = set(re.findall(r"(\w+)\s*[=!]", selector))
                assert used <= labels, f"{name}: {metric} has no {used - labels}"
        for grouped in re.findall(r"by \(([^)]*)\)", expr):
            known = set().union(*(there[metric] or set() for metric, _ in named))
            assert {label.strip() for label in grouped.split(",")} <= known, name


def test_a_legend_names_only_labels_that_its_series_have() -> None:
    there = series_there()
    for name, target in TARGETS:
        for label in re.findall(r"\{\{(\w+)\}\}", target.get("legendFormat", "")):
            metrics = re.findall(r"corredor[\w:]*", target["expr"])
            # Prometheus adds the instance, a supervisor the process.
            labels = set().union(*(there[metric] or {"objective"} for metric in metrics)) | {"instance", "process"}
            assert label in labels, f"{name}: {label}"


def test_prometheus_parses_every_expression(tmp_path: Path) -> None:
    promtool = program("promtool")
    file = tmp_path / "all.yaml"
    recorded = []
    for index, expr in enumerate(PROMQL.values()):
        filled_in = expr.replace("$__rate_interval", "1m")
        for name, values in CHOSEN.items():
            filled_in = filled_in.replace(f"${name}", "|".join(values))
        assert "$" not in filled_in
        recorded.append({"record": f"a:b{index}", "expr": filled_in})
    with file.open("w") as out:
        YAML(typ="safe").dump({"groups": [{"name": "all", "rules": recorded}]}, out)
    done = subprocess.run([promtool, "check", "rules", file], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(PROMQL)} rules found" in done.stdout
