"""`corredor forget` on a whole run: nothing that is kept holds the customer in clear, whenever it was cut short."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import clickhouse_connect
import pytest

from command import forget_run
from schemas import topics
from schemas.forget import ForgetReceipt
from streams.runtime import clients, endpoints, erase
from streams.runtime.local import LocalKafka
from streams.runtime.settings import Settings
from streams.runtime.supervisor import PROGRAM, as_environment
from tests.builders import event
from tests.conftest import wait_until
from tests.pipeline.running import Running, own_settings, running

WHO, OTHER = "zoë-17", "zoë-171"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def publish(settings: Settings, subject: str, first: int = 0) -> None:
    """A customer's events: right ones, one in a partition of another customer, broken ones, one by headers."""
    producer = clients.producer(settings)
    now = time.time()
    for number in range(first, first + 5):
        one = event(now, id=f"{subject}-{number}", subject=subject, data={"segment": {"region": "north"}})
        value = json.dumps(one, ensure_ascii=number % 2 == 0)
        producer.produce(topics.EVENTS.name, value, subject if number % 5 else "another customer's key")
    producer.produce(topics.EVENTS.name, json.dumps(event(now, id="b", subject=subject))[:-9], subject)
    producer.produce(topics.EVENTS.name, json.dumps(event(now, id="o", subject=subject, data={"outcome": "?"})), None)
    headers: list[tuple[str, str | bytes | None]] = [
        ("ce_specversion", b"1.0"), ("ce_id", b"h"), ("ce_source", b"shop"), ("ce_subject", subject.encode()),
        ("ce_type", b"io.corredor.touchpoint.v1"), ("ce_time", b"yesterday"),
    ]  # fmt: skip
    producer.produce(topics.EVENTS.name, b'{"touchpoint":"web.checkout","outcome":"success"}', None, headers=headers)
    assert producer.flush(30) == 0


def rows(run: endpoints.Run, sql: str) -> list[tuple[object, ...]]:
    client = clickhouse_connect.get_client(dsn=run.clickhouse)
    try:
        return [tuple(row) for row in client.query(sql).result_rows]
    finally:
        client.close()


def tables_with(run: endpoints.Run, subject: str) -> set[str]:
    """Every table with a column that holds the subject as a whole word."""
    tables = rows(
        run,
        "SELECT table, groupArray(name) FROM system.columns WHERE database = 'corredor' "
        "AND table IN (SELECT name FROM system.tables WHERE database = 'corredor' AND engine LIKE '%MergeTree') "
        "GROUP BY table",
    )
    escaped = json.dumps(subject)[1:-1].replace("\\", "\\\\\\\\")
    found = set()
    for table, columns in tables:
        whole = " || ' ' || ".join(f"ifNull(toString({column}), '')" for column in columns)  # type: ignore[attr-defined]
        if rows(
            run, f"SELECT count() FROM corredor.{table} WHERE match({whole}, '({subject}|{escaped})([^0-9]|$)')"
        ) != [(0,)]:
            found.add(str(table))
    return found


def topics_with(settings: Settings, subject: str) -> dict[str, int]:
    """Records that hold the subject, of every topic of ours."""
    found: dict[str, int] = {}
    until = erase.ends(settings, [topic.name for topic in topics.ALL])
    for (topic, _), item in erase.find(settings, until, forget_run.holder(subject)).items():
        found[topic] = found.get(topic, 0) + item.count
    return found


def resolved(settings: Settings) -> Settings:
    return endpoints.resolve(settings)


def everything_is_there(group: Running, settings: Settings) -> None:
    """Both customers are in all tables."""
    tables = {"touchpoint_events", "journeys", "rejected_events"}
    wait_until(lambda: tables <= tables_with(group.run, WHO) and tables <= tables_with(group.run, OTHER))


def forget(settings: Settings, *arguments: str, text: str = "") -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*PROGRAM, "forget", *arguments],
        env={**os.environ, **as_environment(settings)},
        input=text,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture
def local(local_kafka: LocalKafka, tmp_path: Path) -> Iterator[tuple[Running, Settings]]:
    settings = own_settings(local_kafka.bootstrap, tmp_path)
    with running(settings) as group:
        for subject in (WHO, OTHER):
            publish(settings, subject)
        everything_is_there(group, settings)
        yield group, settings


def erasure(settings: Settings, request: forget_run.ForgetRequest, tell: Callable[[str], None]) -> ForgetReceipt:
    return forget_run.Erasure(resolved(settings), request, time.monotonic() + 240, tombstones_s=1.0, tell=tell).run()


class Killed(Exception):
    """Stands for the end of the process in the middle of a step."""


def test_cut_short_at_every_step_and_with_its_worker_killed_it_is_finished_and_nothing_holds_the_customer(
    local: tuple[Running, Settings],
) -> None:
    group, settings = local
    before = topics_with(settings, OTHER)
    assert {topics.STATE_INGEST.name, *forget_run.CUT} <= topics_with(settings, WHO).keys()
    forget_run.ask(resolved(settings), forget_run.new_request(resolved(settings), WHO))
    (request,) = forget_run.open_requests(settings)
    assert request.rows == {"touchpoint_events": 5, "journeys": 1, "rejected_events": 3}

    for step in range(2, forget_run.STEPS + 1):

        def tell(line: str, step: int = step) -> None:
            if line.startswith(f"{step} of "):
                raise Killed

        with pytest.raises(Killed):
            erasure(settings, request, tell)
        if step == 4:
            group.child("worker").send_signal(signal.SIGKILL)
    assert forget_run.open_requests(settings) == [request]

    receipt = erasure(settings, request, print)
    forget_run.drop_requests(settings)
    assert receipt.is_of(WHO)
    assert not receipt.is_of(OTHER)
    assert forget_run.open_requests(settings) == []
    assert topics_with(settings, WHO) == {}
    assert tables_with(group.run, WHO) == set()
    wait_until(lambda: rows(group.run, "SELECT request FROM forgotten") == [(request.request,)])

    # Of the other customer everything is there that is not older than what was erased.
    assert topics_with(settings, OTHER)[topics.STATE_INGEST.name] > 0, before
    assert rows(group.run, f"SELECT count() FROM events WHERE subject = '{OTHER}'") == [(5,)]
    assert rows(group.run, f"SELECT count() FROM journeys WHERE subject = '{OTHER}'") != [(0,)]
    # What was counted stays counted, and who comes back is a new customer.
    assert rows(group.run, "SELECT sum(n) FROM slices WHERE segment = ''") == [(10,)]
    publish(settings, WHO, 100)
    wait_until(lambda: rows(group.run, f"SELECT contacts FROM journeys FINAL WHERE subject = '{WHO}'") == [(5,)], 60)


def test_the_command_forgets_with_the_name_on_standard_input_and_leaves_topics_to_their_retention(
    local: tuple[Running, Settings],
) -> None:
    group, settings = local
    done = forget(settings, "-", "--yes", "--keep-topics", text=f"{WHO}\n")
    assert done.returncode == 0, done.stderr
    assert "forgotten, receipt" in done.stdout
    assert "until 7 days have passed" in done.stderr
    assert WHO not in done.stdout + done.stderr
    assert tables_with(group.run, WHO) == set()
    left = topics_with(settings, WHO)
    assert left.keys() == set(forget_run.CUT)
    again = forget(settings, "--resume")
    assert (again.returncode, again.stdout) == (0, ""), again.stderr
    assert WHO not in group.said()


def test_the_embedded_run_forgets_and_says_what_its_kafka_still_holds(tmp_path: Path) -> None:
    settings = own_settings("embedded", tmp_path)
    with running(settings) as group:
        kafka = resolved(settings)
        for subject in (WHO, OTHER):
            publish(kafka, subject)
        everything_is_there(group, kafka)
        done = forget(settings, WHO, "--yes")
        assert done.returncode == 0, done.stderr
        assert "until the embedded Kafka ends" in done.stderr
        assert tables_with(group.run, WHO) == set()
        assert rows(group.run, f"SELECT count() FROM events WHERE subject = '{OTHER}'") == [(5,)]
        assert rows(group.run, "SELECT remaining['touchpoint.events'] FROM forgotten") == [(None,)]
        nothing = forget(settings, "--resume")
        assert "nothing is left to be done" in nothing.stderr


def test_without_a_subject_or_a_run_it_says_what_to_do(tmp_path: Path) -> None:
    settings = own_settings("embedded", tmp_path)
    nothing = forget(settings, WHO, "--yes")
    assert nothing.returncode != 0
    assert "nothing runs" in nothing.stderr
    assert WHO not in nothing.stderr
