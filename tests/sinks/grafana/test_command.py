"""`corredor dashboards`: written, compared, and what it says when something is wrong."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from command import dashboards
from schemas.errors import StopProcess, UsageError

app = typer.Typer()
app.command()(dashboards.command)


def run(*arguments: str | Path) -> str:
    """What it prints; its errors as they are."""
    done = CliRunner().invoke(app, [str(each) for each in arguments], catch_exceptions=True)
    if done.exception is not None:
        raise done.exception
    return done.output


def test_what_was_written_is_what_check_wants(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    assert "dashboards/on-call.json" in run("--out", folder)
    titles = {json.loads(file.read_text())["title"] for file in (folder / "dashboards").iterdir()}
    assert titles == {f"Corredor: {name}" for name in ("experience", "corridor", "on-call", "pipeline")}
    run("--out", folder, "--check")


def test_check_names_what_differs_and_writes_nothing(tmp_path: Path) -> None:
    run("--out", tmp_path)
    (tmp_path / "dashboards" / "corridor.json").write_text("{}\n")
    (tmp_path / "provisioning" / "dashboards" / "corredor.yaml").unlink()
    with pytest.raises(StopProcess) as error:
        run("--out", tmp_path, "--check")
    assert error.value.exit_code == 1
    said = str(error.value)
    assert "dashboards/corridor.json: differs" in said
    assert "provisioning/dashboards/corredor.yaml: missing" in said
    assert "pipeline.json" not in said
    assert (tmp_path / "dashboards" / "corridor.json").read_text() == "{}\n"


def test_a_folder_that_cannot_be_written_is_the_users_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"--out .*file/grafana"):
        run("--out", tmp_path / "file" / "grafana")
