"""A collector in a process of its own, as `corredor collect` starts it, and what Kafka has of it."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
from confluent_kafka import OFFSET_BEGINNING, Message, TopicPartition

from schemas.topics import EVENTS
from streams.runtime import clients
from streams.runtime.leash import leashed
from streams.runtime.settings import Settings
from tests.builders import event, iso
from tests.conftest import wait_until

#: `corredor collect` without the other subcommands, with the exit codes of `corredor`.
COMMAND = """
import sys, typer
from command.collect import command
from schemas.errors import StopProcess
app = typer.Typer(pretty_exceptions_enable=False)
app.command()(command)
try:
    sys.exit(app(standalone_mode=False))
except StopProcess as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
"""
ROOT = Path(__file__).resolve().parents[3]
encode = msgspec.json.encode


def now() -> float:
    return datetime.now(UTC).timestamp()


def contact(number: int | str = 1, **changes: Any) -> dict[str, Any]:
    """A valid event that happened just now."""
    return event(now() - 1, **{"id": f"id-{number}", "subject": f"customer-{number}", "source": "/shop", **changes})


@dataclass
class Collector:
    """A running collector; `http` speaks to it."""

    process: subprocess.Popen[str]
    url: str
    http: httpx.Client

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.url.rpartition("//")[2].partition(":")
        return host, int(port)

    def structured(self, body: bytes, **headers: str) -> httpx.Response:
        return self.post("/events", body, "application/cloudevents+json", **headers)

    def batch(self, events: list[Any], path: str = "/events", **headers: str) -> httpx.Response:
        return self.post(path, encode(events), "application/cloudevents-batch+json", **headers)

    def post(self, path: str, body: bytes, content_type: str, **headers: str) -> httpx.Response:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.http.post(path, content=body, headers={"Content-Type": content_type, **given})

    def ready(self) -> bool:
        return self.http.get("/ready").status_code == 200


@contextmanager
def collecting(
    settings: Settings, *options: str, environment: Mapping[str, str] | None = None, verify: Any = True
) -> Iterator[Collector]:
    """A collector on a free port that is ready; it is killed at the end if it lives."""
    process = start(settings, *options, environment=environment)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line.startswith("collect ready"), line + process.communicate(timeout=10)[0]
        url = next(word for word in line.split() if word.startswith("url=")).removeprefix("url=")
        with httpx.Client(base_url=url, timeout=30, trust_env=False, verify=verify) as http:
            collector = Collector(process, url, http)
            wait_until(collector.ready)
            yield collector
    finally:
        process.kill()
        process.communicate()


def start(settings: Settings, *options: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """The process; what it says goes to one pipe."""
    return subprocess.Popen(
        leashed([sys.executable, "-u", "-c", COMMAND, "--port", "0", *options]),
        cwd=ROOT,
        env={
            **os.environ,
            "CORREDOR_KAFKA": settings.kafka,
            "CORREDOR_KAFKA_PACED": str(settings.kafka_paced),
            "CORREDOR_GROUP": settings.group,
            **(environment or {}),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def published(settings: Settings, count: int | None = None) -> list[Message]:
    """What is in the topic: `count` messages once they are there, or all that are there now."""
    reader = clients.consumer(settings, "test.reader")
    try:
        metadata = reader.list_topics(EVENTS.name, timeout=10).topics[EVENTS.name]
        places = [TopicPartition(EVENTS.name, number, OFFSET_BEGINNING) for number in metadata.partitions]
        reader.assign(places)
        wanted = count
        if wanted is None:
            wanted = sum(reader.get_watermark_offsets(place, timeout=10)[1] for place in places)
        messages: list[Message] = []

        def enough() -> bool:
            messages.extend(message for message in reader.consume(1000, 0.2) if message.error() is None)
            return len(messages) >= wanted

        wait_until(enough)
        return messages
    finally:
        reader.close()


__all__ = ["Collector", "collecting", "contact", "encode", "iso", "now", "published", "start"]
