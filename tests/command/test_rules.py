"""`corredor rules`: written, compared, and what it says when something is wrong."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from command import rules
from schemas.errors import StopProcess, UsageError

RETAIL = Path(__file__).resolve().parents[2] / "schemas" / "maps" / "retail.yaml"
FILES = {"corredor-objectives.yaml", "corredor-incidents.yaml", "corredor-pipeline.yaml"}
app = typer.Typer()
app.command()(rules.command)


def run(*arguments: str | Path) -> str:
    """What it prints; its errors as they are."""
    done = CliRunner().invoke(app, [str(each) for each in arguments], catch_exceptions=True)
    if done.exception is not None:
        raise done.exception
    return done.output


def test_what_was_written_is_what_check_wants(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "rules"
    said = run("-m", RETAIL, "--out", folder)
    assert {file.name for file in folder.iterdir()} == FILES
    assert "the map `retail`" in said and "7 objectives" in said
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    run("-m", RETAIL, "--out", folder, "--check")
    run("-m", RETAIL, "--out", folder)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before, "the same map gives the same text"


def test_check_names_the_file_that_differs_and_writes_nothing(tmp_path: Path) -> None:
    run("-m", RETAIL, "--out", tmp_path)
    (tmp_path / "corredor-incidents.yaml").write_text("groups: []\n")
    (tmp_path / "corredor-pipeline.yaml").unlink()
    with pytest.raises(StopProcess) as error:
        run("-m", RETAIL, "--out", tmp_path, "--check")
    assert error.value.exit_code == 1
    said = str(error.value)
    assert f"{tmp_path / 'corredor-incidents.yaml'}: differs" in said
    assert f"{tmp_path / 'corredor-pipeline.yaml'}: missing" in said
    assert "corredor-objectives.yaml" not in said
    assert (tmp_path / "corredor-incidents.yaml").read_text() == "groups: []\n"


def test_the_address_of_the_runbooks_is_ones_own(tmp_path: Path) -> None:
    run("-m", RETAIL, "--out", tmp_path, "--runbook-url", "https://wiki.example/oncall/")
    assert "runbook_url: https://wiki.example/oncall/CorredorDrop.md\n" in (
        tmp_path / "corredor-incidents.yaml"
    ).read_text(encoding="utf-8")
    with pytest.raises(StopProcess, match="differs"):
        run("-m", RETAIL, "--out", tmp_path, "--check")


def test_a_map_without_objectives_still_has_incidents_and_health(tmp_path: Path) -> None:
    file = tmp_path / "map.yaml"
    text = RETAIL.read_text(encoding="utf-8")
    head, _, rest = text.partition("objectives:\n")
    file.write_text(head + rest[rest.index("touchpoints:\n") :], encoding="utf-8")
    assert "no objectives, so no burn-rate alerts" in run("-m", file, "--out", tmp_path / "rules")
    assert {each.name for each in (tmp_path / "rules").iterdir()} == FILES


def test_a_wrong_map_and_a_folder_that_cannot_be_written_are_the_users_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        run("-m", tmp_path / "none.yaml", "--out", tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"--out .*file/rules"):
        run("-m", RETAIL, "--out", tmp_path / "file" / "rules")
