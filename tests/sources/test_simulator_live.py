"""The simulator against a wall clock, and `corredor simulate` without Kafka."""

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from typer import Typer
from typer.testing import CliRunner

from command.simulate import command
from schemas.errors import UsageError
from schemas.event import TouchpointEvent
from sources.simulate import simulate
from sources.simulator.live import Schedule, paced, parse_duration, parse_speed, parse_start, plan

NOW = 1_794_787_200.0


class Wall:
    """A clock that moves only by sleeping."""

    def __init__(self) -> None:
        self.now = NOW

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def ticks(start: float) -> Iterator[tuple[float, TouchpointEvent]]:
    """An event every second."""
    _, event = next(simulate(1, start, 10.0))
    second = 0
    while True:
        yield start + second, event
        second += 1


def test_in_real_time_each_event_is_published_when_it_is_due() -> None:
    wall = Wall()
    schedule = plan(NOW, 1.0, 5.0, None)
    published = [wall.now - NOW for _ in paced(ticks(NOW), schedule, lambda: wall.now, wall.sleep)]
    assert published == pytest.approx([0, 1, 2, 3, 4], abs=0.001)
    assert wall.now == pytest.approx(NOW + 5, abs=0.001)


def test_after_a_stall_it_catches_up_without_losing_an_event() -> None:
    wall = Wall()
    published = []
    for _ in paced(ticks(NOW), plan(NOW, 1.0, 6.0, None), lambda: wall.now, wall.sleep):
        published.append(wall.now - NOW)
        if len(published) == 2:
            wall.now += 2.5
    assert published == pytest.approx([0, 1, 3.5, 3.5, 4, 5], abs=0.001)


def test_a_faster_run_begins_in_the_past_so_that_it_ends_now() -> None:
    wall = Wall()
    schedule = plan(NOW, 10.0, 100.0, None)
    published = [wall.now for _ in paced(ticks(schedule.start), schedule, lambda: wall.now, wall.sleep)]
    assert len(published) == 100
    assert schedule.end == pytest.approx(NOW + 10)
    assert published[-1] == pytest.approx(NOW + 9.9, abs=0.01)
    assert plan(NOW, math.inf, 100.0, None).start == NOW - 100


def test_from_a_start_in_the_past_it_catches_up_and_goes_on_live() -> None:
    wall = Wall()
    events = paced(ticks(NOW - 50), plan(NOW, math.inf, None, NOW - 50), lambda: wall.now, wall.sleep)
    published = [(next(events), wall.now)[1] for _ in range(54)]
    assert published[50] == NOW
    assert published[53] == pytest.approx(NOW + 3, abs=0.001)


def test_a_dry_run_need_not_wait_for_a_start_in_the_future() -> None:
    schedule = plan(NOW, math.inf, 3.0, NOW + 1000, never_ahead=False)
    assert schedule == Schedule(NOW + 1000, NOW + 1003, NOW, math.inf, never_ahead=False)
    wall = Wall()
    assert len(list(paced(ticks(NOW + 1000), schedule, lambda: wall.now, wall.sleep))) == 3
    assert wall.now == NOW


def test_a_faster_run_without_a_beginning_is_refused() -> None:
    with pytest.raises(UsageError, match="--speed other than 1 needs --duration or --start"):
        plan(NOW, 2.0, None, None)


def test_arguments_are_read_or_refused_with_a_way_out() -> None:
    assert (parse_speed("max"), parse_speed("2.5"), parse_duration("5min")) == (math.inf, 2.5, 300.0)
    assert parse_start("2026-11-16T00:00:00Z") == NOW
    for call, text, message in (
        (parse_speed, "fast", "--speed `fast`: write `max`"),
        (parse_speed, "0", "--speed `0`"),
        (parse_duration, "60", "--duration: `60` is no duration"),
        (parse_start, "monday", "--start `monday`: write a time such as"),
        (parse_start, "2026-11-16T00:00:00", "say the time zone too, such as 2026-11-16T00:00:00"),
    ):
        with pytest.raises(UsageError) as problem:
            call(text)
        assert message in str(problem.value)


def run(*arguments: str) -> Any:
    app = Typer()
    app.command()(command)
    return CliRunner().invoke(app, arguments)


def test_a_dry_run_prints_one_event_a_line_and_says_how_many() -> None:
    arguments = ("--dry-run", "--speed", "max", "--duration", "10s", "--start", "2026-11-16T12:00:00Z", "--seed", "4")
    result = run(*arguments)
    assert result.exit_code == 0
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(events) > 300
    assert {event["type"] for event in events} == {"io.corredor.touchpoint.v1"}
    assert f"{len(events):,} messages in" in result.stderr
    assert run(*arguments).stdout == result.stdout


def test_a_wrong_fault_is_refused_before_anything_is_published() -> None:
    result = run("--dry-run", "--fault", "delivery.delay[planet=mars]@1s")
    assert isinstance(result.exception, UsageError)
    assert result.stdout == ""


def test_the_list_of_faults_describes_each_and_how_to_write_one() -> None:
    result = run("--list-faults")
    assert "delivery.delay" in result.stdout
    assert "can be narrowed by carrier, region" in result.stdout
    assert "NAME[:SOURCE][[KEY=VALUE,...]][@START[+LENGTH]][*INTENSITY]" in result.stdout


def test_a_reader_that_has_seen_enough_ends_a_dry_run_quietly() -> None:
    program = "import typer; from command.simulate import command; typer.run(command)"
    arguments = ["--dry-run", "--speed", "max", "--duration", "10min"]
    with subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        json.loads(process.stdout.readline())
        process.stdout.close()
        said = process.stderr.read().decode()
        assert process.wait(timeout=60) == 0
    assert "Traceback" not in said
    assert "BrokenPipe" not in said


def test_ctrl_c_ends_with_130_and_a_summary() -> None:
    program = "import typer; from command.simulate import command; typer.run(command)"
    with subprocess.Popen(
        [sys.executable, "-c", program, "--dry-run", "--flat"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        json.loads(process.stdout.readline())
        process.send_signal(2)
        process.stdout.read()
        said = process.stderr.read().decode()
        assert process.wait(timeout=60) == 130
    assert " messages in " in said
