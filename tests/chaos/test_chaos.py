"""A short chaos run: one of each fault, kills between them, and all exact afterwards. `make chaos` runs long ones."""

from pathlib import Path

import pytest

from streams.runtime.local import LocalKafka
from tests.chaos.feed import Feed
from tests.chaos.plan import FAULTS, KILLS, Fault, plan
from tests.chaos.run import Options, run

SHORT: list[Fault] = ["zombie", "clock", "clickhouse away", "broker kill", "leave"]


def test_the_seed_alone_decides_what_is_published_and_what_breaks() -> None:
    assert Feed(3, 6).take(2_000) == Feed(3, 6).take(2_000)
    assert Feed(3, 6).take(2_000) != Feed(4, 6).take(2_000)
    assert plan(3, 50, 100) == plan(3, 50, 100)
    assert plan(3, 50, 100) != plan(4, 50, 100)


def test_a_long_plan_has_every_kill_and_every_fault() -> None:
    rounds = plan(1, 400, 100)
    assert {each.kill for each in rounds} == set(KILLS)
    assert {each.fault for each in rounds} == {None, *FAULTS}


def test_the_faults_asked_for_come_once_each_and_in_their_order() -> None:
    assert [each.fault for each in plan(1, 10, 100, SHORT) if each.fault is not None] == SHORT


def test_what_is_published_has_everything_that_may_go_wrong() -> None:
    messages = Feed(5, 6).take(5_000)
    values = [message.value for message in messages if message.event is not None]
    assert len(set(values)) < len(values), "duplicates"
    assert any(message.event is None for message in messages), "poison"
    assert any(message.value is None for message in messages), "a message without a value"
    assert any(message.partition is not None for message in messages), "a foreign partitioner"
    times = [message.event.time for message in messages if message.event is not None]
    assert times != sorted(times), "out of order"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_nothing_is_lost_and_nothing_counted_twice_whatever_breaks(local_kafka: LocalKafka, tmp_path: Path) -> None:
    options = Options(seed=20261121, rounds=6, events=1_000, partitions=4, pause_s=1.0, faults=SHORT)
    figures = run(options, local_kafka, tmp_path)
    verdict = figures.verdict
    assert not verdict.faults, verdict.examples
    assert figures.rounds == options.rounds
    assert figures.kills >= options.rounds
    assert verdict.accepted + verdict.rejected + verdict.duplicates == verdict.published
    assert verdict.duplicates and verdict.rejected and verdict.handed_over and verdict.late, "the input had it all"
    assert verdict.slices and verdict.scores and verdict.journeys
