"""The main job, judged: what ClickHouse holds after a replay equals a plain offline computation, row for row."""

import math
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import get_args

import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client

from schemas.loader import load_map
from schemas.score import WINDOWS, Scope
from sources.mapping import load_mapping
from sources.publish import Publisher
from sources.replay import collect, publish, read_events
from streams.runtime.settings import Settings
from streams.runtime.supervisor import Supervisor
from tests import offline
from tests.pipeline import detection, walks
from tests.pipeline.drained import wait_until_drained

ROOT = Path(__file__).resolve().parents[2]
MAPS = ROOT / "schemas" / "maps"
COUNTS = [
    "n",
    "scored",
    "negative",
    "neutral",
    "positive",
    "gap_n",
    "gap_broken",
    "wait_n",
    "wait_satisfied",
    "wait_tolerating",
    "nps_n",
    "nps_promoters",
    "nps_detractors",
    "csat_n",
    "csat_top",
    "ces_n",
    "abandoned",
    "pending",
    "late",
]
SUMS = ["sum_x", "sum_xx", "gap_sum", "wait_log_sum", "wait_log_sum2", "ces_sum", "ces_sum2"]
SCORES = [
    "score",
    "score_low",
    "score_high",
    "negative",
    "negative_low",
    "negative_high",
    "neutral",
    "neutral_low",
    "neutral_high",
    "positive",
    "positive_low",
    "positive_high",
    "gap",
    "gap_broken",
    "nps",
    "nps_low",
    "nps_high",
    "csat",
    "csat_low",
    "csat_high",
    "ces",
    "ces_low",
    "ces_high",
    "apdex",
]


@pytest.fixture(params=["olist", "support"])
def data(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def running(settings: Settings, data: str) -> Iterator[Supervisor]:
    with Supervisor(settings.model_copy(update={"map": MAPS / f"{data}.yaml"})) as supervisor:
        yield supervisor


#: The interval of a mean is the root of sum(x^2) - n mean^2: where all x are nearly equal, a double has only the root
#: of its precision left, 1e-8, times 1.96 on a scale of 100.
ROOTS = {"score_low", "score_high", "ces_low", "ces_high"}


def _equal(got: float | None, expected: float | None, tolerance: float = 1e-9) -> bool:
    if got is None or expected is None:
        return got is expected
    return math.isclose(got, expected, rel_tol=1e-9, abs_tol=tolerance)


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_replay_at_full_speed_gives_exactly_the_offline_result(
    running: Supervisor, shared_data: Path, data: str
) -> None:
    files = sorted((shared_data / data).glob("*.csv"))
    corridor = load_map(MAPS / f"{data}.yaml")
    mapping = load_mapping(data)
    with closing(collect(files, mapping)) as records, Publisher(running.settings) as publisher:
        publish(records, publisher, "max")
        publisher.flush()
    wait_until_drained(running.settings)

    # In time order and without late events, partition and offset do not matter to the result.
    published = [(0, offset, 0.0, event) for offset, event in enumerate(read_events(files, mapping))]
    events = offline.accepted(published)
    assert len(events) == len(published), "the sample data hold no duplicates"
    expected_slices = offline.slices(events, corridor)
    rounded = offline.slices(events, corridor, rounded=True)
    expected_scores = offline.scores(rounded, corridor.defaults.minimum_n)

    client = clickhouse_connect.get_client(dsn=running.clickhouse)
    assert client.query("SELECT count() FROM touchpoint_events FINAL").first_row[0] == len(published)
    assert client.query("SELECT count() FROM rejected_events").first_row[0] == 0

    cell = "tenant, touchpoint, channel, stage, actor, contact, segment, segment_value"
    segments = ["", *(segment.name for segment in corridor.segments)]
    got = {
        (row[:8], row[8]): dict(zip(COUNTS + SUMS, row[9:], strict=True))
        for segment in segments
        for row in client.query(
            f"SELECT {cell}, toUnixTimestamp(bucket), {', '.join(COUNTS + SUMS)} FROM slices "
            f"WHERE segment = '{segment}'"
        ).result_rows
    }
    assert got.keys() == expected_slices.keys()
    for key, expected in expected_slices.items():
        for name in COUNTS:
            assert got[key][name] == expected[name], (key, name)
        for name in SUMS:
            assert _equal(got[key][name], expected[name]), (key, name)
            assert got[key][name] == rounded[key][name], (key, name)

    got_scores = {
        row[:7]: dict(zip(["n", *SCORES], row[7:], strict=True))
        for window in WINDOWS
        for scope in get_args(Scope)
        for row in client.query(
            'SELECT tenant, scope, name, segment, segment_value, "window", toUnixTimestamp(at), n, '
            f"{', '.join(SCORES)} FROM scores WHERE \"window\" = '{window.name}' AND scope = '{scope}'"
        ).result_rows
    }
    assert len(got_scores) == len(expected_scores)
    assert got_scores.keys() == expected_scores.keys()
    for score_key, expected in expected_scores.items():
        for name in ["n", *SCORES]:
            tolerance = 1e-5 if name in ROOTS else 1e-9
            assert _equal(got_scores[score_key][name], expected[name], tolerance), (score_key, name)

    walks.judge(client, [event for *_, event in published], corridor, running.settings.partitions)
    if not running.settings.kafka_paced:
        # The embedded log no longer has all of what the detect agent read.
        count, wrong = detection.unlike(running.settings, client, corridor)
        assert not wrong
        assert count
    if data == "support":
        _the_second_week_shows(client)


def _the_second_week_shows(client: Client) -> None:
    """Of the tickets opened then nearly every promise was broken, those of one priority, and work took longer."""
    week = "since BETWEEN '2016-03-07' AND '2016-03-14'"
    columns = "kind, measure, touchpoint, following"
    told = client.query(f"SELECT {columns} FROM all_incidents WHERE {week} AND severity = 'page'")
    shown = set(told.result_rows)
    assert ("drop", "broken_promise", "ticket.closed", "") in shown
    assert ("congestion", "wait", "ticket.active", "ticket.resolved") in shown
    assert ("congestion", "pile_up", "ticket.resolved", "") in shown
    causes = "SELECT arrayMap(c -> (c.segment, c.value), causes) FROM all_incidents WHERE measure = 'broken_promise'"
    assert all(("priority", "3") in found for (found,) in client.query(causes).result_rows)
