"""The generated contract: in sync with the types, valid in itself, complete."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from schemas import generate, topics
from schemas.corridor import CorridorMap
from schemas.event import TouchpointEvent

FOLDER = generate.GENERATED


def schema_of(name: str):
    return json.loads((FOLDER / f"{name}.schema.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def asyncapi():
    return YAML(typ="safe", pure=True).load(FOLDER / "asyncapi.yaml")


def references(value):
    if isinstance(value, dict):
        for key, child in value.items():
            if key == "$ref":
                yield child
            yield from references(child)
    elif isinstance(value, list):
        for child in value:
            yield from references(child)


def test_the_committed_files_are_those_that_the_types_give() -> None:
    assert generate.main(["--check"]) == 0


def test_check_passes_what_was_written_and_names_what_differs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "generated"
    assert generate.main(["--folder", str(folder), "--check"]) == 1
    assert generate.main(["--folder", str(folder)]) == 0
    assert generate.main(["--folder", str(folder), "--check"]) == 0
    capsys.readouterr()
    (folder / "slice.schema.json").write_text("{}")
    (folder / "score.schema.json").unlink()
    (folder / "old.schema.json").write_text("{}")
    assert generate.main(["--folder", str(folder), "--check"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"{folder / 'old.schema.json'}: nothing writes this file; remove it",
        f"{folder / 'slice.schema.json'}: differs; write it anew with `python -m schemas.generate`",
        f"{folder / 'score.schema.json'}: missing; write it with `python -m schemas.generate`",
    ]


@pytest.mark.parametrize("name", [name for name, _, _ in generate.FAMILIES])
def test_every_family_has_a_valid_schema_with_identity_and_description(name: str) -> None:
    schema = schema_of(name)
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == f"urn:corredor:schema:{name}:v1"
    assert schema["title"] and schema["description"]


@pytest.mark.parametrize("name", ["retail", "olist", "support"])
def test_the_maps_we_ship_fit_the_generated_schema(name: str) -> None:
    plain = YAML(typ="safe", pure=True).load(Path(generate.__file__).parent / "maps" / f"{name}.yaml")
    Draft202012Validator(schema_of("corridor-map")).validate(plain)


def test_defaults_of_the_map_are_shown_as_a_map_would_write_them() -> None:
    definitions = schema_of("corridor-map")["$defs"]
    assert definitions["Defaults"]["properties"]["patience"]["default"] == "7d"
    assert set(definitions[CorridorMap.__name__]["properties"]) == set(CorridorMap.__struct_encode_fields__)


def test_every_topic_is_a_channel_with_its_configuration(asyncapi) -> None:
    every_topic = {value.name: value for value in vars(topics).values() if isinstance(value, topics.Topic)}
    assert set(asyncapi["channels"]) == set(every_topic)
    for name, channel in asyncapi["channels"].items():
        binding = channel["bindings"]["kafka"]
        assert channel["address"] == binding["topic"] == name
        assert ",".join(binding["topicConfiguration"]["cleanup.policy"]) == every_topic[name].cleanup
    carried = {name for name, channel in asyncapi["channels"].items() if "messages" in channel}
    assert carried == {topic.name for topic in topics.ALL}


def test_every_topic_in_use_has_one_who_sends_and_one_who_receives(asyncapi) -> None:
    seen = {(operation["action"], operation["channel"]["$ref"]) for operation in asyncapi["operations"].values()}
    for topic in topics.ALL:
        assert {("send", f"#/channels/{topic.name}"), ("receive", f"#/channels/{topic.name}")} <= seen


def test_every_reference_leads_somewhere(asyncapi) -> None:
    for reference in references(asyncapi):
        if reference.startswith("#/"):
            target = asyncapi
            for part in reference[2:].split("/"):
                target = target[part]
        else:
            assert (FOLDER / reference).is_file(), reference


def test_binary_mode_carries_every_attribute_as_a_header(asyncapi) -> None:
    headers = asyncapi["components"]["messages"]["touchpointEventBinary"]["headers"]
    attributes = {field for field in TouchpointEvent.__struct_fields__ if field not in ("data", "datacontenttype")}
    assert set(headers["properties"]) == {"content-type"} | {f"ce_{name}" for name in attributes}
    assert headers["required"] == [f"ce_{name}" for name in ("specversion", "id", "source", "type", "time", "subject")]
    Draft202012Validator.check_schema(headers)
