"""The collector's OpenAPI 3.1 document: paths by hand, the event from the JSON Schema that the types generate."""

from pathlib import Path
from typing import Any

import msgspec

import schemas
from sources.collect.cloudevents import BATCHED, STRUCTURED
from sources.collect.limits import Limits
from sources.collect.refusals import PROBLEM

_GENERATED = Path(schemas.__file__).parent / "generated"
#: CloudEvents attributes that travel as `ce-` headers in binary mode.
ATTRIBUTES = (
    "specversion",
    "id",
    "source",
    "type",
    "time",
    "subject",
    "tenant",
    "recordedtime",
    "dataschema",
    "traceparent",
    "correlationid",
    "causationid",
)
_REQUIRED = frozenset(ATTRIBUTES[:6])
_REFUSALS = {
    "400": "The body or a header cannot be read.",
    "401": "The key or the signature is missing, wrong, old or used.",
    "403": "The key is not for this source, tenant or origin.",
    "408": "The body came too slowly.",
    "413": "The body is too large, or the batch too long.",
    "415": "The content type is not supported.",
    "422": "An event breaks the contract. None was taken.",
    "429": "Too many requests with this key; see Retry-After.",
    "503": "Kafka is away, or has too much to do; see Retry-After. Send it again: ids make it safe.",
}


def render(hooks: list[str], limits: Limits) -> bytes:
    """The document as JSON; `hooks` are the names of the webhooks there are."""
    return msgspec.json.encode(document(hooks, limits))


def document(hooks: list[str], limits: Limits) -> dict[str, Any]:
    """The document as plain values."""
    structured = _definitions("touchpoint-event")
    paths: dict[str, Any] = {"/events": {"post": _events(structured, limits)}}
    if hooks:
        paths["/hooks/{name}"] = {"post": _hook(hooks)}
    paths |= {
        "/health": {"get": _plain("health", "Whether the process lives.", {"200": "It does."})},
        "/ready": {"get": _plain("ready", "Whether events can be taken.", {"200": "Yes.", "503": "No, and why."})},
        "/metrics": {"get": _plain("metrics", "Prometheus metrics.", {"200": "All metrics."})},
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Corredor collector",
            "version": "1.0.0",
            "description": "Touchpoint events over HTTP. 202 means that Kafka has them on all replicas.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"bearer": []}, {"header": []}, {"browser": []}],
        "paths": paths,
        "components": {
            "schemas": {**structured, "Accepted": _ACCEPTED, "Problem": _PROBLEM},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "header": {"type": "apiKey", "in": "header", "name": "X-Corredor-Key"},
                "browser": {
                    "type": "apiKey",
                    "in": "query",
                    "name": "key",
                    "description": "Keys of browsers only: navigator.sendBeacon cannot set headers.",
                },
            },
        },
    }


def _events(definitions: dict[str, Any], limits: Limits) -> dict[str, Any]:
    event, data = _ref("TouchpointEvent"), _ref("TouchpointData")
    properties = definitions["TouchpointEvent"]["properties"]
    headers = [
        {
            "name": f"ce-{name}",
            "in": "header",
            "required": False,
            "description": f"Binary mode{', required there' if name in _REQUIRED else ''}. Percent-encoded UTF-8.",
            "schema": properties[name],
        }
        for name in ATTRIBUTES
    ]
    skip = {
        "name": "faulty",
        "in": "query",
        "description": "`skip` takes the events of a batch that are right, and lists the others.",
        "schema": {"enum": ["refuse", "skip"], "default": "refuse"},
    }
    batch = {"type": "array", "items": event, "maxItems": limits.batch_events}
    return {
        "operationId": "sendEvents",
        "summary": "Send events",
        "description": f"CloudEvents 1.0 over HTTP. At most {limits.body_bytes} bytes, {limits.batch_events} events; "
        "a batch is taken whole or not at all. Sending an event again is harmless: source and id identify it.",
        "parameters": [skip, *headers],
        "requestBody": {
            "required": True,
            "content": {
                STRUCTURED: {"schema": event},
                BATCHED: {"schema": batch},
                "application/json": {"schema": data},
            },
        },
        "responses": _responses(),
    }


def _hook(hooks: list[str]) -> dict[str, Any]:
    return {
        "operationId": "sendWebhook",
        "summary": "Send a webhook",
        "description": "The payload of another system, made events of by the mapping that the keys file names. Signed "
        "with HMAC-SHA256, or with the webhook's key.",
        "security": [{}, {"bearer": []}, {"header": []}],
        "parameters": [
            {"name": "name", "in": "path", "required": True, "schema": {"enum": hooks}},
            {
                "name": "Corredor-Signature",
                "in": "header",
                "description": "t=<epoch seconds>,v1=<hex of HMAC-SHA256(secret, t + '.' + body)>",
                "schema": {"type": "string"},
            },
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}},
        "responses": {**_responses(), "404": _refusal("There is no such webhook.")},
    }


def _responses() -> dict[str, Any]:
    taken = {
        "description": "Kafka has acknowledged all of them.",
        "content": {"application/json": {"schema": _ref("Accepted")}},
    }
    return {"202": taken, **{status: _refusal(text) for status, text in _REFUSALS.items()}}


def _refusal(text: str) -> dict[str, Any]:
    return {"description": text, "content": {PROBLEM: {"schema": _ref("Problem")}}}


def _plain(name: str, summary: str, responses: dict[str, str]) -> dict[str, Any]:
    content = {"text/plain": {"schema": {"type": "string"}}}
    answers = {status: {"description": text, "content": content} for status, text in responses.items()}
    return {"operationId": name, "summary": summary, "security": [{}], "responses": answers}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _definitions(name: str) -> dict[str, Any]:
    """The definitions of a generated schema, with references as OpenAPI has them."""
    text = (_GENERATED / f"{name}.schema.json").read_text().replace("#/$defs/", "#/components/schemas/")
    definitions: dict[str, Any] = msgspec.json.decode(text)["$defs"]
    return definitions


_FAULT = {
    "type": "object",
    "properties": {
        "index": {"type": "integer", "minimum": 0, "description": "The event's place in the request, from 0."},
        "path": {"type": "string", "description": "The field, as a JSON path."},
        "reason": {"type": "string"},
        "detail": {"type": "string"},
        "fix": {"type": "string", "description": "What to do."},
    },
    "required": ["index", "path", "reason", "detail", "fix"],
}
_ACCEPTED = {
    "type": "object",
    "properties": {
        "accepted": {"type": "integer", "minimum": 0},
        "rejected": {"type": "integer", "minimum": 1},
        "errors": {"type": "array", "items": _FAULT},
    },
    "required": ["accepted"],
}
_PROBLEM = {
    "type": "object",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "fix": {"type": "string", "description": "What to do."},
        "errors": {"type": "array", "items": _FAULT},
        "error_count": {"type": "integer", "minimum": 1},
    },
    "required": ["type", "title", "status", "detail", "fix"],
}
