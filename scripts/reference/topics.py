"""The page of topics: how each is kept, who sends and who reads it, and which messages it carries."""

from typing import Any

from schemas import topics
from schemas.asyncapi import document
from schemas.event import TouchpointEvent
from schemas.generate import json_schema
from schemas.topics import Topic
from scripts.reference.markdown import code, sentence, table
from scripts.reference.markdown import page as whole

_INTRODUCTION = """Topic names are fixed. `corredor topics --create` makes them on your cluster, with
`CORREDOR_PARTITIONS` partitions and `CORREDOR_REPLICATION` replicas; `CORREDOR_RETENTION` changes how long they keep
what they have ([privacy](../privacy.md#retention)). The same for machines, with every message: [AsyncAPI
document](../../schemas/generated/asyncapi.yaml)."""
_MESSAGES = """Each message is JSON unless said otherwise. Messages evolve by adding optional fields only; readers
ignore fields that they do not know."""
_DAY_MS = 86_400_000


def page() -> str:
    """All topics and messages."""
    spoken: dict[str, Any] = document(json_schema("touchpoint-event", TouchpointEvent, ""))
    sections = [_section(topic, spoken) for topic in topics.ALL]
    messages = [
        (code(message["name"]), message["contentType"], _schema(message), message["summary"])
        for message in spoken["components"]["messages"].values()
    ]
    names = ("message", "content type", "JSON Schema", "what it is")
    return whole(
        "Topics", _INTRODUCTION, _overview(), *sections, f"## Messages\n\n{_MESSAGES}\n\n" + table(names, messages)
    )


def _overview() -> str:
    rows = [
        (f"[{topic.name}](#{anchor(topic)})", topic.key, topic.cleanup, _kept(topic), _size(topic.max_message_bytes))
        for topic in topics.ALL
    ]
    return table(("topic", "key", "clean-up", "kept for", "largest message"), rows)


def anchor(topic: Topic) -> str:
    """The heading's anchor: GitHub and MkDocs both drop the dots."""
    return topic.name.replace(".", "")


def _section(topic: Topic, spoken: dict[str, Any]) -> str:
    channel = f"#/channels/{topic.name}"
    used = [one for one in spoken["operations"].values() if one["channel"]["$ref"] == channel]
    rows = [
        (one["tags"][0]["name"], {"send": "writes", "receive": "reads"}[one["action"]], one["summary"]) for one in used
    ]
    carried = ", ".join(code(name) for name in spoken["channels"][topic.name]["messages"])
    clock = "the broker's, when it arrives" if topic.timestamps == "LogAppendTime" else "the writer's"
    head = f"## {topic.name}\n\n{sentence(topic.purpose)} Messages: {carried}. Time stamp: {clock}.\n\n"
    return head + table(("who", "", "what for"), rows)


def _kept(topic: Topic) -> str:
    if topic.cleanup == "compact":
        return "newest of each key, for ever"
    days = f"{topic.retention_ms // _DAY_MS} days"
    return days if topic.cleanup == "delete" else f"newest of each key, {days}"


def _size(count: int) -> str:
    return f"{count / (1024 * 1024):.0f} MiB"


def _schema(message: dict[str, Any]) -> str:
    if "payload" not in message:
        return ""
    file = message["payload"]["$ref"].removeprefix("./")
    return f"[{file.removesuffix('.schema.json')}](../../schemas/generated/{file})"
