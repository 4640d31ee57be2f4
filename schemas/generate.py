"""Writes the contract for those who do not read Python: JSON Schema of every message family, and AsyncAPI.

`python -m schemas.generate` writes `schemas/generated/`; `--check` compares and fails where a file is out of date.
"""

import inspect
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import msgspec
from msgspec import Struct

from schemas import asyncapi, written
from schemas.corridor import CorridorMap, Defaults, Detection, Duration
from schemas.event import TouchpointData, TouchpointEvent
from schemas.forget import ForgetReceipt, ForgetRequest
from schemas.heard import Heard
from schemas.incident import Incident
from schemas.journey import Journey
from schemas.objective import Objective
from schemas.rejection import RejectedEvent
from schemas.score import Score
from schemas.scored import ScoredEvent
from schemas.slice import Progress, Slice
from schemas.standing import Standing, Way
from schemas.transition import TransitionSlice

GENERATED = Path(__file__).parent / "generated"
DIALECT = "https://json-schema.org/draft/2020-12/schema"

#: File name (without ending), type, title.
FAMILIES: tuple[tuple[str, type[Struct], str], ...] = (
    ("touchpoint-event", TouchpointEvent, "Touchpoint event (CloudEvents structured mode)"),
    ("touchpoint-data", TouchpointData, "Touchpoint data (the value in CloudEvents binary mode)"),
    ("scored-event", ScoredEvent, "Scored event"),
    ("rejected-event", RejectedEvent, "Rejected event"),
    ("slice", Slice, "Slice"),
    ("transition-slice", TransitionSlice, "Transition slice"),
    ("heard", Heard, "Which sources a lane has heard of"),
    ("progress", Progress, "Progress of an input partition"),
    ("score", Score, "Rolling-window score"),
    ("journey", Journey, "Journey"),
    ("incident", Incident, "Incident"),
    ("forget-request", ForgetRequest, "Request to forget a customer"),
    ("forget-receipt", ForgetReceipt, "Receipt of a customer forgotten"),
    ("standing", Standing, "Standing of a touchpoint"),
    ("way", Way, "Transition as taken now"),
    ("corridor-map", CorridorMap, "Corridor map"),
)


def json_schema(name: str, kind: type[Struct], title: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of one family."""
    generated = msgspec.json.schema(_with_written_defaults(kind), schema_hook=_schema_of)
    definitions = generated["$defs"]
    for definition in definitions.values():
        definition["description"] = inspect.cleandoc(definition.get("description", definition["title"]))
    return {
        "$schema": DIALECT,
        "$id": f"urn:corredor:schema:{name}:v1",
        "title": title,
        "description": definitions[kind.__name__]["description"],
        "$ref": generated["$ref"],
        "$defs": dict(sorted(definitions.items())),
    }


def render() -> dict[str, str]:
    """Every generated file: name and text. The same types give the same text."""
    schemas = {name: json_schema(name, kind, title) for name, kind, title in FAMILIES}
    files = {
        f"{name}.schema.json": json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
        for name, schema in schemas.items()
    }
    files["asyncapi.yaml"] = asyncapi.render(schemas["touchpoint-event"])
    return files


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or compare the generated files; the exit code."""
    return written.main(
        GENERATED,
        render(),
        "python -m schemas.generate",
        "Generate JSON Schema and AsyncAPI from the types.",
        all_of="*",
        arguments=arguments,
    )


def _schema_of(kind: type) -> dict[str, Any]:
    if kind is Duration:
        return {
            "title": "Duration",
            "description": "A length of time above 0: a number and a unit (ms, s, min, h or d).",
            "type": "string",
            "pattern": r"^\s*\d+(\.\d+)?\s*(ms|s|min|h|d)\s*$",
        }
    raise NotImplementedError(f"no JSON Schema for {kind}")


def _with_written_defaults(kind: type[Struct]) -> type[Struct]:
    """The corridor map with its defaults as a map would write them: msgspec cannot encode a Duration in a default."""
    if kind is not CorridorMap:
        return kind
    parts = {"defaults": _with_written_durations(Defaults), "detection": _with_written_durations(Detection)}
    # The type of the objectives is made here: mypy takes no call in a type.
    types: dict[str, Any] = {**parts, "objectives": tuple[_with_written_durations(Objective), ...]}  # type: ignore[misc]
    return _copy(CorridorMap, types, {name: part() for name, part in parts.items()})


def _with_written_durations(kind: type[Struct]) -> type[Struct]:
    written = {field.name: field.default for field in msgspec.structs.fields(kind)}
    return _copy(kind, {}, {name: str(value) for name, value in written.items() if isinstance(value, Duration)})


def _copy(kind: type[Struct], types: dict[str, Any], values: dict[str, Any]) -> type[Struct]:
    fields: list[Any] = []
    for field in msgspec.structs.fields(kind):
        entry: tuple[Any, ...] = (field.name, field.type)
        if field.name in types:
            limits = get_args(field.type)[1:] if get_origin(field.type) is Annotated else ()
            entry = (field.name, Annotated[(types[field.name], *limits)] if limits else types[field.name])
        if field.default_factory is not msgspec.NODEFAULT:
            entry += (msgspec.field(default_factory=field.default_factory),)
        elif field.default is not msgspec.NODEFAULT:
            entry += (values.get(field.name, field.default),)
        fields.append(entry)
    return msgspec.defstruct(
        kind.__name__, fields, namespace={"__doc__": kind.__doc__}, frozen=True, forbid_unknown_fields=True
    )


if __name__ == "__main__":
    sys.exit(main())
