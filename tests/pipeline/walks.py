"""Journeys and transitions in ClickHouse, judged by the plain offline computation over the same events.

How far silence has come depends on each partition's clock: between the event time that every source has passed and the
newest one plus the time the test may take. What is counted for silence must lie between the two; all else is equal.
"""

import itertools
import math
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from clickhouse_connect.driver.client import Client

from schemas.corridor import CorridorMap
from schemas.event import TouchpointEvent
from schemas.journey import Journey
from streams.model.duplicates import identity
from streams.runtime.partitioner import partitioner
from tests import offline
from tests.offline_journeys import Cell, Offline, Visit

#: Tenant, subject, journey.
Key = tuple[str, str, str]
#: Longer than a test lasts.
_DRIFT_S = 1800.0
_SILENCE = ("@stalled", "@gone")
_SUMS = ("n", "resumed", "wait_n", "wait_ms_sum", "wait_log_sum", "wait_log_sum2", "waits")
#: Every field but what silence decides, and the roots and logarithms compared by value.
_EXACT = sorted(
    set(Journey.__struct_fields__)
    - {"tenant", "subject", "journey", "version", "origin", "status", "ended_at", "effort", "consistency", "score"}
    - {"started_at", "last_at", "open_negative_at", "goals"}
)
_TIMES = ("started_at", "last_at", "open_negative_at")


def visits(events: Iterable[TouchpointEvent], corridor: CorridorMap) -> list[Visit]:
    """The contacts that the events make."""
    touchpoints = {touchpoint.name: touchpoint for touchpoint in corridor.touchpoints}
    found = []
    for event in events:
        data = event.data
        found.append(
            Visit(
                event.tenant,
                event.subject,
                data.journey or event.subject,
                event.time.timestamp(),
                identity(event.source, event.id),
                data.touchpoint,
                data.outcome,
                data.channel,
                data.initiator,
                # Without the pair that stands for all.
                tuple(pair for pair in offline.pairs(data, corridor) if pair[0]),
                offline.experience(data, corridor, touchpoints.get(data.touchpoint))["x"],
                data.active_ms,
                data.wait_ms,
                data.attempts,
                data.transfers,
                data.value.amount_minor if data.value else None,
                data.value.currency if data.value else None,
            )
        )
    return found


def judge(client: Client, events: Sequence[TouchpointEvent], corridor: CorridorMap, partitions: int) -> None:
    """Compare transitions, their waits, and journeys. Raises AssertionError."""
    plain = Offline(corridor)
    least: dict[Cell, dict[str, Any]] = defaultdict(lambda: dict.fromkeys(_SUMS[:-1], 0) | {"waits": {}})
    most: dict[Cell, dict[str, Any]] = defaultdict(lambda: dict.fromkeys(_SUMS[:-1], 0) | {"waits": {}})
    for part, early, late in _by_partition(events, partitions):
        contacts = visits(part, corridor)
        for total, clock in ((least, early), (most, late)):
            for cell, sums in plain.transitions(contacts, clock).items():
                _merge(total[cell], sums)
    _judge_transitions(client, least, most)
    _judge_quantiles(client, plain, visits(events, corridor))
    assert list(unlike_journeys(client, events, corridor, partitions)) == []


def unlike_journeys(
    client: Client,
    events: Sequence[TouchpointEvent],
    corridor: CorridorMap,
    partitions: int,
    ignored: Container[Key] = frozenset(),
) -> Iterator[str]:
    """What differs between the journeys in ClickHouse and those of the events, one sentence a journey."""
    plain = Offline(corridor)
    expected: dict[Key, tuple[dict[str, Any], dict[str, Any]]] = {}
    for part, early, late in _by_partition(events, partitions):
        contacts = visits(part, corridor)
        first, last = plain.journeys(contacts, early), plain.journeys(contacts, late)
        expected |= {key: (first[key], last[key]) for key in first if key not in ignored}
    times = ", ".join(f"toFloat64({name})" for name in _TIMES)
    rows = client.query(
        f"SELECT tenant, subject, journey, status, effort, consistency, score, {times}, {', '.join(_EXACT)} "
        "FROM journeys_now"
    ).result_rows
    got = {row[:3]: row[3:] for row in rows if row[:3] not in ignored}
    yield from (f"journey {key} is there, and no event speaks of it" for key in got.keys() - expected.keys())
    yield from (f"journey {key} is missing" for key in expected.keys() - got.keys())
    for key in got.keys() & expected.keys():
        if wrong := _unlike(got[key], *expected[key]):
            yield f"journey {key}: {wrong}"


def _by_partition(
    events: Sequence[TouchpointEvent], partitions: int
) -> Iterator[tuple[list[TouchpointEvent], float, float]]:
    """The events of each partition, with the earliest and the latest that its clock can be."""
    of = partitioner(partitions)
    found: dict[int, list[TouchpointEvent]] = defaultdict(list)
    for event in events:
        found[of(event.subject.encode())].append(event)
    for part in found.values():
        newest: dict[str, float] = {}
        for event in part:
            newest[event.source] = max(newest.get(event.source, -math.inf), event.time.timestamp())
        yield part, min(newest.values()), max(newest.values()) + _DRIFT_S


def _merge(total: dict[str, Any], sums: dict[str, Any]) -> None:
    for name in _SUMS[:-1]:
        total[name] += sums[name]
    for key, count in sums["waits"].items():
        total["waits"][key] = total["waits"].get(key, 0) + count


def _judge_transitions(client: Client, least: dict[Cell, dict[str, Any]], most: dict[Cell, dict[str, Any]]) -> None:
    columns = ", ".join(_SUMS)
    rows = client.query(
        f"SELECT tenant, touchpoint, following, segment, segment_value, toUnixTimestamp(bucket), {columns} "
        "FROM transitions"
    ).result_rows
    got = {row[:6]: dict(zip(_SUMS, row[6:], strict=True)) for row in rows}
    assert {cell for cell in got if cell[2] not in _SILENCE} == {cell for cell in least if cell[2] not in _SILENCE}
    assert got.keys() <= most.keys()
    assert least.keys() <= got.keys()
    for cell, sums in got.items():
        if cell[2] in _SILENCE:
            assert least[cell]["n"] <= sums["n"] <= most[cell]["n"], cell
        else:
            sums["waits"] = {key: count for key, count in sums["waits"].items() if count}
            assert sums == least[cell], cell


def _judge_quantiles(client: Client, plain: Offline, contacts: list[Visit]) -> None:
    """Median and 95th percentile of the view are off by at most 2 %."""
    waits: dict[tuple[str, str], list[int]] = defaultdict(list)
    for walks in plain.walks(contacts).values():
        for walk in walks:
            for before, after in itertools.pairwise(walk):
                waits[before.touchpoint, after.touchpoint].append(round((after.time - before.time) * 1000))
    rows = client.query(
        "SELECT touchpoint, following, n, wait_mean_ms, wait_median_ms, wait_p95_ms FROM corridor_transitions "
        "WHERE segment = '' AND touchpoint != '' AND NOT startsWith(following, '@')"
    ).result_rows
    assert {row[:2] for row in rows} == waits.keys()
    for origin, following, n, mean, median, p95 in rows:
        exact = waits[origin, following]
        assert n == len(exact)
        assert math.isclose(mean, sum(exact) / n, rel_tol=1e-9)
        for shown, level in ((median, 0.5), (p95, 0.95)):
            expected = np.quantile(exact, level, method="inverted_cdf")
            assert math.isclose(shown, expected, rel_tol=0.0201, abs_tol=0.5), (origin, following, level)


def _unlike(row: Sequence[Any], first: dict[str, Any], last: dict[str, Any]) -> str:
    """What of a journey is not as at one of the two clocks."""
    status, effort, consistency, score = row[:4]
    between = (first["status"], last["status"])
    if status not in between and between != ("open", "abandoned"):
        return f"status is {status} instead of {' or '.join(between)}"
    for name, shown, tolerance in (
        ("effort", effort, 1e-9),
        # 2 x the root of a variance whose summands are rounded to 2^-32, and that counts as 0 below 2^-31.
        ("consistency", consistency, 5e-5),
        ("score", score, 1e-7),
        *((name, shown, 1e-6) for name, shown in zip(_TIMES, row[4:7], strict=True)),
        *((name, shown, 1e-9) for name, shown in zip(_EXACT, row[7:], strict=True)),
    ):
        if shown != first[name] and not _near(shown, first[name], tolerance):
            return f"{name} is {shown!r} instead of {first[name]!r}"
    return ""


def _near(got: Any, expected: Any, tolerance: float) -> bool:
    if not isinstance(got, float | int) or not isinstance(expected, float | int):
        return False
    return math.isclose(got, expected, rel_tol=1e-9, abs_tol=tolerance)
