"""The views against sums done by hand."""

import math
from collections import defaultdict
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sinks.clickhouse import ClickHouse
from tests.sinks.rows import NOON, lines, score, scored, slice_

G = 1.02 / 0.98


def test_slices_are_merged_over_parts_and_partitions(store: ClickHouse) -> None:
    store.insert(
        "experience_slices",
        lines(
            slice_(part=0, version=5, n=3, scored=3, sum_x=1.5, negative=1, waits={-1: 1, 10: 2}),
            slice_(part=6, version=9, n=2, scored=1, sum_x=0.25, negative=1, waits={10: 1}),
            slice_(part=0, version=4, n=1, scored=1, sum_x=0.5, origin="touchpoint.events/1", waits={3: 7}),
            # Replaced by a newer version of the same part.
            slice_(part=0, version=2, n=99, scored=99, sum_x=99.0, waits={10: 99}),
        ),
    )
    rows = store.rows("SELECT n, scored, sum_x, negative, waits, toUnixTimestamp(bucket) FROM corredor.slices")
    assert rows == [(6, 5, 2.25, 2, {-1: 1, 3: 7, 10: 3}, NOON)]


def test_experience_can_be_split_by_actor_contact_and_channel(store: ClickHouse) -> None:
    store.insert(
        "experience_slices",
        lines(
            slice_(actor="buyer", contact="direct", n=4, scored=4, sum_x=2.0),
            slice_(actor="supplier", contact="direct", n=1, scored=1, sum_x=0.25),
            slice_(actor="buyer", contact="indirect", channel="social", n=2, scored=2, sum_x=1.5),
            slice_(segment="location", segment_value="Madrid", n=7, scored=7, sum_x=3.75),
        ),
    )
    query = (
        "SELECT {0}, 100 * sum(sum_x) / sum(scored) FROM corredor.slices WHERE segment = '' GROUP BY {0} ORDER BY {0}"
    )
    assert store.rows(query.format("actor")) == [("buyer", 100 * 3.5 / 6), ("supplier", 25.0)]
    assert store.rows(query.format("contact")) == [("direct", 45.0), ("indirect", 75.0)]
    assert store.rows(query.format("channel")) == [("social", 75.0), ("web", 45.0)]


_part = st.fixed_dictionaries(
    {
        "touchpoint": st.sampled_from(["checkout", "delivery"]),
        "bucket": st.sampled_from([NOON, NOON + 10, NOON + 86400 * 40]),
        "origin": st.sampled_from(["touchpoint.events/0", "touchpoint.events/1"]),
        "part": st.integers(0, 2),
        "version": st.integers(3, 6),
    }
)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_part, min_size=1, max_size=12), st.randoms())
def test_slices_equal_the_newest_versions_summed_by_hand(
    store: ClickHouse, parts: list[dict[str, Any]], random: Any
) -> None:
    store.command("TRUNCATE TABLE corredor.experience_slices")
    # What a version holds is settled by its identity and version, as it is by the offsets it stands for.
    rows = [slice_(**part, n=part["version"] + part["part"], waits={part["version"]: 1}) for part in parts]
    for row in random.sample(rows, len(rows)) + rows[:3]:
        store.insert("experience_slices", lines(row))
    newest: dict[Any, Any] = {}
    for row in rows:
        key = (row.touchpoint, row.bucket, row.origin, row.part)
        if key not in newest or newest[key].version < row.version:
            newest[key] = row
    expected: dict[Any, int] = defaultdict(int)
    waits: dict[Any, int] = defaultdict(int)
    for row in newest.values():
        expected[row.touchpoint, row.bucket] += row.n
        waits[row.touchpoint, row.bucket] += sum(row.waits.values())
    query = "SELECT touchpoint, toUnixTimestamp(bucket), n, arraySum(mapValues(waits)) FROM corredor.slices"
    got = {(touchpoint, bucket): (n, w) for touchpoint, bucket, n, w in store.rows(query)}
    assert got == {key: (n, waits[key]) for key, n in expected.items()}


def test_wait_quantiles_are_within_two_percent_of_the_waits_themselves(store: ClickHouse) -> None:
    waits = [0, 0, 1, *range(500, 60_000, 173)]
    histogram: dict[int, int] = defaultdict(int)
    for wait in waits:
        histogram[-1 if wait == 0 else math.ceil(math.log(wait) / math.log(G) - 1e-9)] += 1
    store.insert("experience_slices", lines(slice_(n=len(waits), wait_n=len(waits), waits=dict(histogram))))
    ((n, p50, p95),) = store.rows("SELECT n, p50_ms, p95_ms FROM corredor.touchpoint_waits")
    waits.sort()
    assert n == len(waits)
    assert abs(p50 / waits[len(waits) // 2] - 1) < 0.025
    assert abs(p95 / waits[int(len(waits) * 0.95)] - 1) < 0.025
    smallest = store.rows("SELECT wait_ms, n FROM corredor.waits ORDER BY wait_ms LIMIT 2")
    assert smallest == [(0.0, 2), (2 / (G + 1), 1)]


def test_scores_now_are_the_newest_of_each_scope_and_window(store: ClickHouse) -> None:
    store.insert(
        "experience_scores",
        lines(
            score(at=NOON, version=1, n=1),
            score(at=NOON + 10, version=2, n=2, score=71.5),
            score(at=NOON + 10, version=1, n=99),
            score(at=NOON, window="1h", n=3),
            score(scope="corridor", name="", at=NOON + 20, n=4),
        ),
    )
    query = "SELECT scope, window, toUnixTimestamp(at), n, score FROM corredor.touchpoint_scores_now ORDER BY n"
    assert store.rows(query) == [
        ("touchpoint", "5m", NOON + 10, 2, 71.5),
        ("touchpoint", "1h", NOON, 3, None),
        ("corridor", "5m", NOON + 20, 4, None),
    ]
    assert store.rows("SELECT n FROM corredor.score_history WHERE scope = 'touchpoint' ORDER BY window, at") == [
        (3,),
        (1,),
        (2,),
    ]


def test_a_query_by_touchpoint_and_time_reads_by_the_sorting_key(store: ClickHouse) -> None:
    store.insert("touchpoint_events", lines(scored(8), scored(9, touchpoint="delivery")))
    plan = store.rows(
        "EXPLAIN indexes = 1 SELECT count() FROM corredor.events WHERE tenant = 'default' AND touchpoint = 'checkout' "
        "AND time >= toDateTime64('2026-11-21 12:00:00', 6, 'UTC')"
    )
    text = "\n".join(line for (line,) in plan)
    assert "PrimaryKey" in text
    assert "touchpoint" in text
