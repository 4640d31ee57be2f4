"""The reference pages say what the program says, all of it."""

import re
from pathlib import Path

import pytest

from command.main import app
from schemas.event import TouchpointData, TouchpointEvent
from schemas.topics import ALL
from scripts.reference import __main__ as reference
from scripts.reference import commands, fields, markdown, metrics, settings, topics
from streams.runtime.settings import Settings


def test_every_setting_is_there_once_with_a_description() -> None:
    found = re.findall(r"^\| `CORREDOR_(\w+)` \|.*\| (.*) \|$", settings.page(), re.MULTILINE)
    assert sorted(name.lower() for name, _ in found) == sorted(Settings.model_fields)
    assert all(description for _, description in found)


@pytest.mark.parametrize("page", [fields.event_page, fields.map_page])
def test_every_field_has_a_description(page: object) -> None:
    assert callable(page)
    rows = re.findall(r"^\| `(\w+)` \|.*\| (.*) \|$", page(), re.MULTILINE)
    assert len(rows) > 20
    assert [name for name, description in rows if not description] == []


def test_every_field_of_the_event_is_there() -> None:
    text = fields.event_page()
    for kind in (TouchpointEvent, TouchpointData):
        assert [name for name in kind.__struct_encode_fields__ if f"| `{name}` |" not in text] == []


def test_every_topic_has_a_section_that_the_overview_leads_to() -> None:
    text = topics.page()
    for topic in ALL:
        assert f"## {topic.name}\n" in text
        assert f"(#{topics.anchor(topic)})" in text


def test_every_command_has_a_section() -> None:
    text = commands.page()
    for command in app.registered_commands:
        assert f"## corredor {command.name}\n" in text


def test_metrics_have_base_units_help_and_one_row_each() -> None:
    rows = re.findall(r"^\| `(corredor_\w+)` \| (\w+) \|.*\| (.*) \|$", metrics.page(), re.MULTILINE)
    names = [name for name, _, _ in rows]
    assert len(names) == len(set(names)) > 40
    assert all(text for _, _, text in rows)
    assert all(name.endswith("_total") == (kind == "counter") for name, kind, _ in rows)


def test_a_page_that_is_missing_old_or_left_over_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reference, "PAGES", {"one.md": lambda: "one", "two.md": lambda: "two"})
    (tmp_path / "two.md").write_text("older")
    (tmp_path / "three.md").write_text("three")
    assert reference.main(["--check", "--folder", str(tmp_path)]) == 1
    told = capsys.readouterr().err.splitlines()
    assert [sentence.partition(": ")[2].partition(";")[0] for sentence in told] == [
        "nothing writes this file",
        "missing",
        "differs",
    ]
    (tmp_path / "three.md").unlink()
    assert reference.main(["--folder", str(tmp_path)]) == 0
    assert reference.main(["--check", "--folder", str(tmp_path)]) == 0


def test_a_cell_keeps_its_bars_and_stays_in_one_line() -> None:
    assert markdown.table(("a",), [("x | y\nz",)]).splitlines()[-1] == "| x \\| y z |"
