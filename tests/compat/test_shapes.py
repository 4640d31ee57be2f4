"""What is stored and published has the shape that the newest recording knows, or says so by a new number.

`python -m tests.compat.record` writes the shapes of a release beside its recording.
"""

import json

import pytest

from streams.model.state_format import DETECT, INGEST, StateFormat
from tests.compat.recording import FOLDER
from tests.compat.shapes import MESSAGES, STATE, Shapes, shapes

VERSIONS = sorted(
    (folder.name for folder in FOLDER.iterdir() if (folder / "shapes.json").exists()),
    key=lambda name: [int(part) for part in name.split(".")],
)
NEWEST = json.loads((FOLDER / VERSIONS[-1] / "shapes.json").read_text())


@pytest.mark.parametrize("form", [INGEST, DETECT], ids=lambda form: form.topic)
def test_a_changed_state_has_a_new_format(form: StateFormat) -> None:
    now = json.loads(json.dumps(shapes(STATE[form.topic])))
    recorded = NEWEST["state"][form.topic]
    if NEWEST["formats"][form.topic] == form.number:
        assert now == recorded, (
            f"what {form.topic} holds has changed since {VERSIONS[-1]}: add a step to streams/model/state_format.py, "
            "which raises the format; even a new field with a default would be lost by an older worker"
        )
    assert NEWEST["formats"][form.topic] <= form.number, "formats only grow"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("topic", MESSAGES)
def test_messages_only_gain_fields_that_need_not_be_there(topic: str, version: str) -> None:
    recorded: Shapes = json.loads((FOLDER / version / "shapes.json").read_text())["messages"][topic]
    now: Shapes = json.loads(json.dumps(shapes(MESSAGES[topic])))
    for name, before in recorded.items():
        assert (now[name]["array"], now[name]["tag"]) == (before["array"], before["tag"]), name
        fields = {field: (kind, required) for field, kind, required in now[name]["fields"]}
        old = {field: kind for field, kind, _ in before["fields"]}
        for field, kind in old.items():
            assert field in fields and fields[field][0] == kind, f"{topic}: {name}.{field} is not what it was"
        gained = [field for field, (_, required) in fields.items() if required and field not in old]
        assert not gained, f"{topic}: {name} requires {gained}, which messages of {version} do not have"
