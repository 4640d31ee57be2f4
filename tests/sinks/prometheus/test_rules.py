"""The rules we ship: those of the retail map, accepted by Prometheus, with a page and two languages for each alert."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest
from ruamel.yaml import YAML

from schemas.loader import load_map
from schemas.objective import Objective, Tier
from sinks.prometheus import names
from sinks.prometheus.rules import render

ROOT = Path(__file__).resolve().parents[3]
DEPLOYED = ROOT / "deploy" / "prometheus"
MAPS = ROOT / "schemas" / "maps"
RUNBOOKS = "docs/runbooks"
UNIT_TESTS = sorted((DEPLOYED / "tests").glob("*.test.yaml"))


@pytest.fixture(scope="session")
def promtool() -> str:
    """Path of Prometheus' promtool; without it the test is skipped, or fails if CORREDOR_REQUIRE_PROMETHEUS is 1."""
    found = shutil.which("promtool")
    if found is None:
        reason = "promtool is not there (Debian: apt install prometheus)"
        if os.environ.get("CORREDOR_REQUIRE_PROMETHEUS") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def run(*arguments: str | Path) -> str:
    done = subprocess.run([str(each) for each in arguments], capture_output=True, text=True, timeout=240)
    said = done.stdout + done.stderr
    assert done.returncode == 0 and "FAILED" not in said, said
    return said


def rules_of(text: str) -> list[dict[str, Any]]:
    loaded = YAML(typ="safe", pure=True).load(text)
    return [rule for group in loaded["groups"] for rule in group["rules"]]


def all_rules(map_name: str) -> list[dict[str, Any]]:
    files = render(load_map(MAPS / f"{map_name}.yaml"), RUNBOOKS)
    return [rule for text in files.values() for rule in rules_of(text)]


def test_the_committed_rules_are_those_of_the_retail_map() -> None:
    files = render(load_map(MAPS / "retail.yaml"), RUNBOOKS)
    committed = {file.name: file.read_text(encoding="utf-8") for file in (DEPLOYED / "rules").iterdir()}
    assert committed == files, "run `corredor rules -m schemas/maps/retail.yaml`"


@pytest.mark.parametrize("map_name", ["retail", "olist", "support"])
def test_prometheus_takes_the_rules_of_every_map_we_ship(map_name: str, promtool: str, tmp_path: Path) -> None:
    for name, text in render(load_map(MAPS / f"{map_name}.yaml"), RUNBOOKS).items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert run(promtool, "check", "rules", *tmp_path.iterdir()).count("SUCCESS") == 3


def test_prometheus_takes_the_example_configuration(promtool: str) -> None:
    run(promtool, "check", "config", DEPLOYED / "prometheus.yml")


@pytest.mark.slow
@pytest.mark.parametrize("file", UNIT_TESTS, ids=lambda file: file.name)
def test_the_alerts_do_what_their_unit_tests_say(file: Path, promtool: str) -> None:
    run(promtool, "test", "rules", file)


def test_names_with_quotes_and_braces_are_taken_as_they_are(promtool: str, tmp_path: Path) -> None:
    odd = 'a "quoted" \\ {{ $labels.x }} ñ'
    retail = load_map(MAPS / "retail.yaml")
    tiers = (Tier(2.0, retail.defaults.patience, retail.defaults.recovery, "page"),)
    objectives = (
        Objective(odd, "touchpoint", 99.9, of=odd),
        Objective("own", "journey", 99, tiers=tiers),
    )
    files = render(msgspec.structs.replace(retail, objectives=objectives), "https://wiki.example/")
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    run(promtool, "check", "rules", *tmp_path.iterdir())
    series = f"{names.CONTACTS}{names.selector({'touchpoint': odd})}"
    bad = f"{names.NEGATIVE}{names.selector({'touchpoint': odd})}"
    case = {
        "rule_files": ["corredor-objectives.yaml"],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {"series": series, "values": "0+10x120"},
                    {"series": bad, "values": "0+10x120"},
                ],
                "promql_expr_test": [
                    {
                        "expr": 'count by (objective) (ALERTS{severity="page",touchpoint!=""})',
                        "eval_time": "2h",
                        "exp_samples": [{"labels": names.selector({"objective": odd}), "value": 1}],
                    }
                ],
            }
        ],
    }
    (tmp_path / "odd.test.yaml").write_bytes(msgspec.json.encode(case))
    run(promtool, "test", "rules", tmp_path / "odd.test.yaml")


def test_every_alert_has_both_languages_a_page_and_labels_to_route_by() -> None:
    for rule in all_rules("retail"):
        if "alert" not in rule:
            continue
        annotations = rule["annotations"]
        assert set(annotations) == {"summary", "description", "summary_es", "description_es", "runbook_url"}
        assert all(annotations.values())
        assert annotations["summary"] != annotations["summary_es"]
        assert annotations["runbook_url"] == f"{RUNBOOKS}/{rule['alert']}.md"
        assert (ROOT / annotations["runbook_url"]).is_file()
        assert rule["labels"]["corredor"] in ("experience", "pipeline")
        assert "severity" in rule["labels"] or "severity" in rule["expr"], "an incident has its own"


def test_every_page_is_that_of_an_alert() -> None:
    alerts = {rule["alert"] for rule in all_rules("retail") if "alert" in rule}
    assert {page.stem for page in (ROOT / RUNBOOKS).glob("*.md")} == alerts


def test_every_metric_that_a_rule_reads_is_one_that_the_program_has() -> None:
    code = "".join(
        file.read_text(encoding="utf-8") for file in [*(ROOT / "streams").rglob("*.py"), *(ROOT / "sinks").glob("*.py")]
    )
    read = {name for rule in all_rules("retail") for name in re.findall(r"\bcorredor_\w+", str(rule))}
    stems = {name.removesuffix("_total").removeprefix("corredor_incident_") for name in read}
    assert [
        stem for stem in sorted(stems) if f'"{stem}"' not in code and f'corredor_incident_{stem}"' not in code
    ] == []


def test_a_ratio_alone_never_alerts() -> None:
    burns = [rule for rule in all_rules("retail") if rule.get("alert") == "CorredorBudgetBurn"]
    assert burns
    for rule in burns:
        assert rule["expr"].count("> ") / 2 == rule["expr"].count(f"{names.EVIDENCE}{{") == rule["expr"].count(">= 4")


def test_a_tier_that_cannot_fire_has_no_rule() -> None:
    by_objective = {
        rule["labels"]["objective"]: rule["expr"]
        for rule in all_rules("retail")
        if rule.get("alert") == "CorredorBudgetBurn" and rule["labels"]["severity"] == "page"
    }
    assert "> 14.4" in by_objective["web-payment"]
    assert "> 14.4" not in by_objective["support-resolution"] and "> 6" in by_objective["support-resolution"]


@pytest.mark.parametrize(
    ("seconds", "written"), [(60, "1m"), (90, "90s"), (3600, "1h"), (5400, "90m"), (259200, "3d"), (90.5, "90500ms")]
)
def test_a_length_of_time_is_written_in_the_largest_unit_that_fits(seconds: float, written: str) -> None:
    assert names.duration(seconds) == written
