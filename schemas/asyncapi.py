"""The topics, messages and who sends or reads them, as an AsyncAPI 3.0 document (YAML).

Payloads refer to the JSON Schema files beside the document. Topics come from `schemas.topics` alone.
"""

import io
from typing import Any

from ruamel.yaml import YAML

from schemas import topics
from schemas.event import MAX_EVENT_BYTES, TYPE
from schemas.topics import Topic

_BINDING = "0.5.0"
_WORKER = {"groupId": {"type": "string", "pattern": "\\.worker$"}, "bindingVersion": _BINDING}
_SINK = {"groupId": {"type": "string", "pattern": "\\.sink$"}, "bindingVersion": _BINDING}
_CLOUDEVENTS_DOCS = "https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md"

#: Message name: content type, JSON Schema file (None: internal form), title, summary.
_MESSAGES: dict[str, tuple[str, str | None, str, str]] = {
    "touchpointEventStructured": (
        "application/cloudevents+json",
        "touchpoint-event",
        "Touchpoint event, structured mode",
        f"The value is the whole CloudEvent of type {TYPE}, at most {MAX_EVENT_BYTES // 1024} KiB.",
    ),
    "touchpointEventBinary": (
        "application/json",
        "touchpoint-data",
        "Touchpoint event, binary mode",
        f"The attributes are `ce_*` headers, the value is the data, at most {MAX_EVENT_BYTES // 1024} KiB.",
    ),
    "scoredEvent": ("application/json", "scored-event", "Scored event", "An accepted event with its experience x."),
    "rejectedEvent": ("application/json", "rejected-event", "Rejected event", "Why it was rejected, and its bytes."),
    "slice": ("application/json", "slice", "Slice", "Absolute sums of a 10-second bucket; newest version wins."),
    "transitionSlice": (
        "application/json",
        "transition-slice",
        "Transition slice",
        "Absolute sums of who went where in a 10-second bucket; newest version wins.",
    ),
    "heard": ("application/json", "heard", "Heard", "Events of each source so far; newest version wins."),
    "progress": ("application/json", "progress", "Progress", "How far one input partition has been counted."),
    "score": ("application/json", "score", "Score", "A rolling-window score; newest version wins."),
    "journey": ("application/json", "journey", "Journey", "A journey as it is now; newest version wins."),
    "incident": ("application/json", "incident", "Incident", "An incident as it is now; newest version wins."),
    "standing": ("application/json", "standing", "Standing", "Importance and priority of a touchpoint at a minute."),
    "way": ("application/json", "way", "Way", "A transition as taken now, and whether that is new."),
    "forgetRequest": ("application/json", "forget-request", "Request to forget", "A customer to be forgotten."),
    "forgetReceipt": ("application/json", "forget-receipt", "Receipt", "That a customer was forgotten, not who."),
    "ingestState": (
        "application/msgpack",
        None,
        "State of ingest",
        "Internal: the form belongs to the worker and may change with any version.",
    ),
    "detectState": (
        "application/msgpack",
        None,
        "State of detect",
        "Internal: the form belongs to the worker and may change with any version.",
    ),
}
#: Attributes that do not travel as a `ce_*` header.
_NO_HEADER = ("data", "datacontenttype")
_EVENT_MESSAGES = ("touchpointEventStructured", "touchpointEventBinary")

#: The messages of each topic that carries any today.
_CARRIED: dict[str, tuple[str, ...]] = {
    topics.EVENTS.name: _EVENT_MESSAGES,
    topics.REKEYED.name: (*_EVENT_MESSAGES, "forgetRequest"),
    topics.REJECTED.name: ("rejectedEvent",),
    topics.SCORED.name: ("scoredEvent",),
    topics.SLICES.name: ("slice", "transitionSlice", "heard", "progress"),
    topics.SCORES.name: ("score",),
    topics.JOURNEYS.name: ("journey",),
    topics.INCIDENTS.name: ("incident",),
    topics.CORRIDOR.name: ("standing", "way"),
    topics.FORGET.name: ("forgetRequest",),
    topics.FORGOTTEN.name: ("forgetReceipt",),
    topics.STATE_INGEST.name: ("ingestState",),
    topics.STATE_DETECT.name: ("detectState",),
}

#: Who, action, topic, what for.
_OPERATIONS: tuple[tuple[str, str, Topic, str], ...] = (
    ("sources", "send", topics.EVENTS, "Source systems publish what happened, keyed by the customer."),
    ("ingest", "receive", topics.EVENTS, "The worker validates, scores and counts each event once."),
    ("ingest", "send", topics.REKEYED, "The worker hands over events found outside their customer's partition."),
    ("ingest", "receive", topics.REKEYED, "The worker counts events handed over to it."),
    ("ingest", "send", topics.REJECTED, "The worker reports what broke the contract."),
    ("ingest", "send", topics.SCORED, "The worker publishes each accepted event with its components."),
    (
        "ingest",
        "send",
        topics.SLICES,
        "The worker publishes changed slices, what it heard of the sources, and progress.",
    ),
    ("ingest", "send", topics.JOURNEYS, "The worker publishes the journeys that changed, open and ended."),
    ("ingest", "send", topics.STATE_INGEST, "The worker keeps its state."),
    ("ingest", "receive", topics.STATE_INGEST, "The worker reads its state back on assignment."),
    ("score", "receive", topics.SLICES, "The score agent merges the slices of all partitions."),
    ("score", "send", topics.SCORES, "The score agent publishes rolling-window scores."),
    ("detect", "receive", topics.SLICES, "The detect agent watches every touchpoint and transition."),
    ("detect", "send", topics.INCIDENTS, "The detect agent publishes incidents: opened, updated, resolved."),
    ("detect", "send", topics.CORRIDOR, "The detect agent publishes importance, priority and drift."),
    ("detect", "send", topics.STATE_DETECT, "The worker keeps its state."),
    ("detect", "receive", topics.STATE_DETECT, "The worker reads its state back on assignment."),
    ("sink", "receive", topics.SCORED, "The sink writes `touchpoint_events`."),
    ("sink", "receive", topics.REJECTED, "The sink writes `rejected_events`."),
    ("sink", "receive", topics.SLICES, "The sink writes `experience_slices`."),
    ("sink", "receive", topics.SCORES, "The sink writes `experience_scores`."),
    ("sink", "receive", topics.JOURNEYS, "The sink writes `journeys`."),
    ("sink", "receive", topics.INCIDENTS, "The sink writes `incidents`."),
    ("sink", "receive", topics.CORRIDOR, "The sink writes `corridor`."),
    ("forget", "send", topics.FORGET, "`corredor forget` writes down who is to be forgotten."),
    ("forget", "receive", topics.FORGET, "`corredor forget --resume` finishes what is without a receipt."),
    ("forget", "send", topics.REKEYED, "`corredor forget` has the worker take the names off journeys."),
    ("sink", "receive", topics.FORGET, "The sink erases the rows of the subject."),
    ("forget", "send", topics.FORGOTTEN, "`corredor forget` writes the receipt."),
    ("sink", "receive", topics.FORGOTTEN, "The sink writes `forgotten`."),
)


def render(event_schema: dict[str, Any]) -> str:
    """The document. `event_schema` is the JSON Schema of the touchpoint event, from which binary headers follow."""
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    text = io.StringIO()
    text.write("# Generated from the types; `python -m schemas.generate` writes it.\n")
    yaml.dump(document(event_schema), text)
    return text.getvalue()


def document(event_schema: dict[str, Any]) -> dict[str, Any]:
    """The document as plain values."""
    every_topic = [value for value in vars(topics).values() if isinstance(value, Topic)]
    return {
        "asyncapi": "3.0.0",
        "id": "urn:corredor:asyncapi:v1",
        "info": {
            "title": "Corredor",
            "version": "1.0.0",
            "description": "Touchpoint events in, experience out. Messages evolve by adding optional fields only; "
            "readers ignore fields they do not know.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "kafka": {
                "host": "{bootstrap}",
                "protocol": "kafka",
                "description": "The Kafka cluster that the setting CORREDOR_KAFKA names.",
                "variables": {"bootstrap": {"default": "localhost:9092", "description": "host:port of a broker"}},
            }
        },
        "channels": {topic.name: _channel(topic) for topic in every_topic},
        "operations": {
            _operation_name(who, action, topic): _operation(who, action, topic, summary)
            for who, action, topic, summary in _OPERATIONS
        },
        "components": {"messages": {name: _message(name, event_schema) for name in _MESSAGES}},
    }


def _channel(topic: Topic) -> dict[str, Any]:
    carried = _CARRIED.get(topic.name, ())
    configuration: dict[str, Any] = dict(topic.config())
    configuration["cleanup.policy"] = topic.cleanup.split(",")
    for name in ("retention.ms", "max.message.bytes"):
        if name in configuration:
            configuration[name] = int(configuration[name])
    purpose = topic.purpose[0].upper() + topic.purpose[1:]
    reserved = "" if carried else " Reserved: nothing is published here yet."
    channel: dict[str, Any] = {
        "address": topic.name,
        "description": f"{purpose}. Key: {topic.key}.{reserved}",
        "servers": [{"$ref": "#/servers/kafka"}],
    }
    if carried:
        channel["messages"] = {name: {"$ref": f"#/components/messages/{name}"} for name in carried}
    channel["bindings"] = {
        "kafka": {"topic": topic.name, "topicConfiguration": configuration, "bindingVersion": _BINDING}
    }
    return channel


def _operation_name(who: str, action: str, topic: Topic) -> str:
    words = "".join(word.capitalize() for word in topic.name.split("."))
    return f"{who}{action.capitalize()}{words}"


def _operation(who: str, action: str, topic: Topic, summary: str) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "action": action,
        "channel": {"$ref": f"#/channels/{topic.name}"},
        "summary": summary,
        "tags": [{"name": who}],
        "messages": [{"$ref": f"#/channels/{topic.name}/messages/{name}"} for name in _CARRIED[topic.name]],
    }
    if action == "receive":
        operation["bindings"] = {"kafka": dict(_SINK if who == "sink" else _WORKER)}
    return operation


def _message(name: str, event_schema: dict[str, Any]) -> dict[str, Any]:
    content_type, schema, title, summary = _MESSAGES[name]
    key = next(topic.key for topic in topics.ALL if name in _CARRIED[topic.name])
    message: dict[str, Any] = {"name": name, "title": title, "summary": summary, "contentType": content_type}
    if name == "touchpointEventStructured":
        message["headers"] = {"type": "object", "properties": {"content-type": _content_type(content_type)}}
        message["externalDocs"] = {"url": _CLOUDEVENTS_DOCS, "description": "CloudEvents over Kafka"}
    elif name == "touchpointEventBinary":
        message["headers"] = _binary_headers(event_schema)
        message["externalDocs"] = {"url": _CLOUDEVENTS_DOCS, "description": "CloudEvents over Kafka"}
    if schema is not None:
        message["payload"] = {"$ref": f"./{schema}.schema.json"}
    message["bindings"] = {"kafka": {"key": {"type": "string", "description": key}, "bindingVersion": _BINDING}}
    return message


def _content_type(value: str) -> dict[str, Any]:
    pattern = "^" + value.replace("+", "\\+")
    return {"type": "string", "description": f"`{value}`, with or without a charset", "pattern": pattern}


def _binary_headers(event_schema: dict[str, Any]) -> dict[str, Any]:
    """The attributes of the event as `ce_*` headers; `datacontenttype` travels as `content-type`."""
    event = event_schema["$defs"]["TouchpointEvent"]
    attributes = {name: schema for name, schema in event["properties"].items() if name not in _NO_HEADER}
    headers = {f"ce_{name}": _without_null(schema) for name, schema in attributes.items()}
    return {
        "type": "object",
        "properties": {"content-type": _content_type("application/json"), **headers},
        "required": [f"ce_{name}" for name in event["required"] if name not in _NO_HEADER],
    }


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    arms: list[dict[str, Any]] = [arm for arm in schema.get("anyOf", ()) if arm != {"type": "null"}]
    described = {name: text for name, text in schema.items() if name == "description"}
    return {**described, **arms[0]} if arms else dict(schema)
