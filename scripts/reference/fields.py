"""The pages of the event and of the corridor map: every field of their types, from the JSON Schema of the types."""

from typing import Any

from msgspec import Struct

from schemas.corridor import CorridorMap
from schemas.event import MAX_EVENT_BYTES, TYPE, TouchpointEvent
from schemas.generate import json_schema
from scripts.reference.markdown import code, page, sentence, table

_EVENT = f"""A [CloudEvent](https://cloudevents.io) of type `{TYPE}`, at most {MAX_EVENT_BYTES // 1024} KiB. In
structured mode (`application/cloudevents+json`) the Kafka value is the whole event; in binary mode
(`application/json`) the attributes are `ce_*` headers and the value is the [data](#touchpointdata). Numbers are
finite. Fields that are not named here are ignored and kept in the raw event. How to publish:
[publishing](../publishing/README.md)."""
_MAP = """A YAML file; `CORREDOR_MAP` names yours, and `corredor check my-map.yaml` says what is wrong with it, where,
and what to do. The retail map is an [example](../../schemas/maps/retail.yaml) with all of it. A duration is a number
and a unit: `500ms`, `8s`, `5min`, `2h`, `3d`. An unknown field is an error."""


def event_page() -> str:
    """The fields of the event, its data and what these hold."""
    return page("Event", _EVENT, *_sections("touchpoint-event", TouchpointEvent))


def map_page() -> str:
    """The fields of the corridor map and what they hold."""
    return page("Corridor map", _MAP, *_sections("corridor-map", CorridorMap))


def _sections(name: str, kind: type[Struct]) -> list[str]:
    definitions: dict[str, Any] = json_schema(name, kind, "")["$defs"]
    sections = []
    for title in _in_order(kind.__name__, definitions):
        definition = definitions[title]
        required = definition.get("required", ())
        rows = [
            (code(field), _type(schema), _default(field, schema, required), schema.get("description", ""))
            for field, schema in definition["properties"].items()
        ]
        head = f"## {title}\n\n{sentence(definition['description'])}\n\n"
        sections.append(head + table(("field", "values", "default", "what it is"), rows))
    return sections


def _in_order(first: str, definitions: dict[str, Any]) -> list[str]:
    """Names of the definitions, each before those that it refers to."""
    found = [first]
    for name in found:
        found += [to for to in _references(definitions[name]["properties"]) if to not in found]
    return found


def _references(schema: Any) -> list[str]:
    if isinstance(schema, list):
        return [name for each in schema for name in _references(each)]
    if not isinstance(schema, dict):
        return []
    own = [schema["$ref"].rpartition("/")[2]] if "$ref" in schema else []
    return own + [name for each in schema.values() for name in _references(each) if name not in own]


def _default(field: str, schema: dict[str, Any], required: Any) -> str:
    if field in required:
        return "required"
    default = schema.get("default")
    if isinstance(default, bool):
        default = str(default).lower()
    # What holds where a whole part is left out stands in the section of the part.
    return "" if isinstance(default, dict | list | tuple) or default is None else code(default)


def _type(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        (schema,) = (arm for arm in schema["anyOf"] if arm != {"type": "null"})
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "enum" in schema:
        return ", ".join(code(choice) for choice in schema["enum"])
    if schema.get("title") == "Duration":
        return "duration"
    kind = schema["type"]
    if kind == "array":
        return f"list of {_type(schema['items'])}{_between(schema, 'Items')}"
    if kind == "object":
        names, values = {"type": "string", **schema.get("propertyNames", {})}, schema["additionalProperties"]
        return f"{_type(names)} → {_type(values)}{_between(schema, 'Properties', ' pairs')}"
    if kind == "string":
        if schema.get("format") == "date-time":
            return "time, RFC 3339"
        if "pattern" in schema:
            return f"text like `{schema['pattern']}`"
        return "text" + _between(schema, "Length", " characters")
    if kind == "boolean":
        return "`true` or `false`"
    words = {"integer": "whole number", "number": "number"}[kind]
    limits = (("exclusiveMinimum", ">"), ("minimum", "≥"), ("exclusiveMaximum", "<"), ("maximum", "≤"))
    return ", ".join((words, *(f"{sign} {_number(schema[name])}" for name, sign in limits if name in schema)))


def _number(value: float) -> str:
    """Limits are powers of ten or two, or small."""
    size, sign = abs(value), "-" if value < 0 else ""
    for power in (31, 53):
        if size in (2**power, 2**power - 1):
            return f"{sign}2^{power}" + (" - 1" if size < 2**power else "")
    return f"{value:g}"


def _between(schema: dict[str, Any], what: str, unit: str = "") -> str:
    low, high = schema.get(f"min{what}"), schema.get(f"max{what}")
    if high is None:
        return "" if not low else f", at least {low}{unit}"
    return f", {low} to {high}{unit}" if low else f", at most {high}{unit}"
