"""`corredor check`: what it prints, and its exit code."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from command import check
from schemas.errors import UsageError

MAPS = Path(__file__).resolve().parents[2] / "schemas" / "maps"
BROKEN = "corridor: shop\nlabel: {en: Shop, es: Tienda}\ntouchpoints: []\nwieght: 1\n"


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    app.command()(check.command)
    return app


def test_a_valid_map_is_summed_up_in_one_line(app: typer.Typer) -> None:
    result = CliRunner().invoke(app, [str(MAPS / "olist.yaml")])
    assert result.exit_code == 0
    assert result.stdout == (
        f"{MAPS / 'olist.yaml'}: valid. 6 touchpoints. 6 transitions. 2 segments: state, seller_state. "
        "1 goal: delivery.handover.\n"
    )


def test_without_arguments_the_map_of_the_settings_is_checked(
    app: typer.Typer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORREDOR_MAP", str(MAPS / "support.yaml"))
    result = CliRunner().invoke(app, [])
    assert result.stdout.startswith(f"{MAPS / 'support.yaml'}: valid. ")


def test_problems_are_lines_that_editors_can_follow(app: typer.Typer, tmp_path: Path) -> None:
    file = tmp_path / "map.yaml"
    file.write_text(BROKEN)
    result = CliRunner().invoke(app, [str(file), str(MAPS / "olist.yaml")])
    assert isinstance(result.exception, UsageError)
    assert result.exception.exit_code == 2
    assert str(result.exception) == "2 problems in 1 of 2 maps: correct and check again"
    first, second, valid = result.stdout.splitlines()
    assert first == f"{file}:3:14: touchpoints is empty; write at least one item"
    assert second.startswith(f"{file}:4:1: the map has the unknown key `wieght`; ")
    assert ": valid. " in valid


def test_machines_get_one_json_document(app: typer.Typer, tmp_path: Path) -> None:
    file = tmp_path / "map.yaml"
    file.write_text(BROKEN)
    result = CliRunner().invoke(app, ["--format", "json", str(file), str(MAPS / "retail.yaml")])
    assert isinstance(result.exception, UsageError)
    answer = json.loads(result.stdout)
    assert answer["valid"] is False
    broken, retail = answer["maps"]
    assert (broken["valid"], [problem["line"] for problem in broken["problems"]]) == (False, [3, 4])
    assert (retail["valid"], retail["problems"]) == (True, [])
    assert len(retail["summary"]["touchpoints"]) == 23
    assert set(retail["summary"]["goals"]) == {
        "delivery.handover",
        "store.checkout",
        "support.resolution",
        "partner.pickup",
    }


def test_the_help_imports_nothing_heavy() -> None:
    code = "import sys, command.check; print([m for m in ('ruamel.yaml', 'pydantic') if m in sys.modules])"
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root, env=dict(os.environ)
    )
    assert done.stdout.strip() == "[]"
