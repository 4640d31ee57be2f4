import subprocess
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from schemas.errors import StopProcess, UsageError
from schemas.topics import EVENTS
from streams.runtime import local
from streams.runtime.local import LocalKafka


def _write(bootstrap: str, value: bytes) -> None:
    producer = Producer({"bootstrap.servers": bootstrap})
    producer.produce(EVENTS.name, value, partition=0)
    assert producer.flush(30) == 0


def _first(bootstrap: str) -> bytes | None:
    reader = Consumer({"bootstrap.servers": bootstrap, "group.id": "g", "auto.offset.reset": "earliest"})
    reader.assign([TopicPartition(EVENTS.name, 0, 0)])
    try:
        message = reader.poll(30)
        return message.value() if message is not None else None
    finally:
        reader.close()


def test_a_restart_keeps_port_and_data(local_kafka: LocalKafka) -> None:
    _write(local_kafka.bootstrap, b"kept")
    before = local_kafka.bootstrap
    local_kafka.restart()
    assert local_kafka.bootstrap == before
    assert _first(before) == b"kept"


def test_what_was_acknowledged_survives_a_kill(local_kafka: LocalKafka) -> None:
    _write(local_kafka.bootstrap, b"acknowledged")
    local_kafka.kill()
    local_kafka.start()
    assert _first(local_kafka.bootstrap) == b"acknowledged"


def test_a_taken_port_is_reported(local_kafka: LocalKafka, tmp_path: Path) -> None:
    with pytest.raises(StopProcess, match=rf"something else answers on 127\.0\.0\.1:{local_kafka.port}"):
        LocalKafka(tmp_path, local_kafka.port).start()


def test_a_broker_that_ends_while_starting_is_reported_with_its_log(
    local_kafka: LocalKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "HEAP", "-Xmx1k")
    (tmp_path / "kafka" / "logs").mkdir(parents=True)
    (tmp_path / "kafka" / "logs" / "meta.properties").touch()
    with pytest.raises(StopProcess, match=r"kafka\.log:\n"):
        LocalKafka(tmp_path).start()


def test_without_java_the_user_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(UsageError, match="Java 17 or later; install"):
        local.java()


def test_an_old_java_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    old = tmp_path / "java"
    old.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(UsageError, match=r"is Java 11\.0\.2"):
        local.java()


def test_without_maven_and_jars_the_user_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CORREDOR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="needs Maven"):
        local.fetch_jars()


def test_a_failing_maven_is_quoted_and_leaves_no_half_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setenv("CORREDOR_CACHE", str(cache))
    monkeypatch.setattr(local.shutil, "which", lambda *_, **__: "/usr/bin/mvn")
    done = subprocess.CompletedProcess([], 1, stdout="[ERROR] no route to Maven Central", stderr="")
    monkeypatch.setattr(local.subprocess, "run", lambda *_, **__: done)
    with pytest.raises(UsageError, match="no route to Maven Central"):
        local.fetch_jars()
    assert list(cache.iterdir()) == []
