"""Compares what ClickHouse holds with what the log demands, row for row."""

from dataclasses import dataclass, field
from typing import Any

import clickhouse_connect
import numpy as np

from schemas.corridor import CorridorMap
from schemas.event import TouchpointEvent
from schemas.slice import Cell, Sums
from streams.model.places import Places
from streams.runtime.settings import Settings
from tests import offline
from tests.chaos.expected import Copy, Expected, Source, exact_slices, expect, identity, plain_slices
from tests.chaos.feed import Feed
from tests.chaos.ledger import Ledger
from tests.pipeline import detection, walks

SUMS = [name for name in Sums.__struct_fields__ if name != "waits"]
_FLOATS = {"sum_x", "sum_xx", "gap_sum", "wait_log_sum", "wait_log_sum2", "ces_sum", "ces_sum2"}
_INTERVALS = ("score", "negative", "neutral", "positive", "nps", "csat", "ces")
SCORES = [*(f"{name}{end}" for name in _INTERVALS for end in ("", "_low", "_high")), "gap", "gap_broken", "apdex"]
_SCORE_KEYS = ["tenant", "scope", "name", "segment", "segment_value"]
#: Half the step that every summand is rounded to.
_ROUNDING = 2.0**-33
_EXAMPLES = 8


@dataclass(slots=True)
class Verdict:
    """The figures of one comparison. All is well if `faults` is empty."""

    published: int = 0
    accepted: int = 0
    rejected: int = 0
    duplicates: int = 0
    handed_over: int = 0
    #: Handed over more than once after a crash, and counted once all the same.
    handed_over_again: int = 0
    late: int = 0
    lost: int = 0
    doubled: int = 0
    different_events: int = 0
    different_rejections: int = 0
    slices: int = 0
    different_slices: int = 0
    scores: int = 0
    different_scores: int = 0
    journeys: int = 0
    different_journeys: int = 0
    incidents: int = 0
    different_incidents: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def faults(self) -> dict[str, int]:
        """What is not as it must be."""
        names = ("events", "rejections", "slices", "scores", "journeys", "incidents")
        faults = {"lost": self.lost, "doubled": self.doubled}
        faults |= {f"different_{name}": getattr(self, f"different_{name}") for name in names}
        return {name: count for name, count in faults.items() if count}

    def example(self, text: str) -> None:
        """Keep the first few examples of what differs."""
        if len(self.examples) < _EXAMPLES:
            self.examples.append(text)


class Judge:
    """Reads the log and ClickHouse, and compares. Everything must have been drained."""

    def __init__(self, ledger: Ledger, feed: Feed, corridor: CorridorMap, settings: Settings) -> None:
        self._settings = settings
        self._ledger = ledger
        self._feed = feed
        self._partitions = settings.partitions
        self._corridor = corridor
        self._query_port = settings.query_port

    def judge(self) -> Verdict:
        """One comparison of everything published so far."""
        self._ledger.catch_up()
        expected, events = expect(self._ledger, self._feed.messages, self._partitions)
        expected.late = offline.late_places(events, self._corridor)
        verdict = Verdict(published=expected.published, handed_over=len(expected.foreign))
        verdict.handed_over_again = len(self._ledger.rekeyed) - len(expected.foreign)
        client = clickhouse_connect.get_client(dsn=f"http://127.0.0.1:{self._query_port}/corredor")
        try:
            if expected.published != len(self._feed.messages):
                verdict.lost += len(self._feed.messages) - expected.published
                verdict.example(f"{len(self._feed.messages)} messages were sent, the log has {expected.published}")
            handed_over = {entry.source for entry in self._ledger.rekeyed}
            for source in expected.foreign - handed_over:
                verdict.lost += 1
                verdict.example(f"{source} was never handed over")
            counted = self._events(client, expected, verdict)
            self._rejections(client, expected, verdict)
            plain = plain_slices(counted, expected.late, self._corridor)
            self._slices(client, counted, expected, plain, verdict)
            self._scores(client, plain, verdict)
            self._journeys(client, counted, expected, verdict)
            self._incidents(client, verdict)
        finally:
            client.close()
        return verdict

    # -- events --------------------------------------------------------------------------------------------------

    def _events(self, client: Any, expected: Expected, verdict: Verdict) -> list[Copy]:
        """Every identity once, at one of the places where it may be, with its x. Gives the copies that counted."""
        rows: dict[Source, tuple[Any, ...]] = {}
        columns = "tenant, subject, journey, source, id, x, late, toUnixTimestamp64Micro(time)"
        for partition in range(-self._partitions, self._partitions):
            result = client.query(f"SELECT source_offset, {columns} FROM events WHERE source_partition = {partition}")
            for offset, *row in result.result_rows:
                if (partition, offset) in rows:
                    verdict.doubled += 1
                    verdict.example(f"{(partition, offset)} is stored twice")
                rows[partition, offset] = tuple(row)
        verdict.accepted = len(rows)
        verdict.rejected = 0
        verdict.duplicates = verdict.published - len(expected.copies) - len(expected.rejected)
        places = Places(self._corridor)
        counted: list[Copy] = []
        for key, copies in expected.copies.items():
            stored = [copy for copy in copies if copy.entry.source in rows]
            if not stored:
                verdict.lost += 1
                verdict.example(f"lost: {key} at {[copy.entry.source for copy in copies]}")
            if len(stored) > 1:
                verdict.doubled += 1
                verdict.example(f"doubled across the lanes: {key} at {[copy.entry.source for copy in stored]}")
            copy = (stored or copies)[0]
            counted.append(copy)
            for other in stored:
                self._compare_event(key, other, rows.pop(other.entry.source), expected, places, verdict)
        for source, row in rows.items():
            verdict.doubled += 1
            verdict.example(f"stored but a duplicate or nothing at all: {source} {row[:5]}")
        verdict.late = sum((copy.lane, copy.entry.offset) in expected.late for copy in counted)
        return counted

    def _compare_event(
        self, key: Any, copy: Copy, row: tuple[Any, ...], expected: Expected, places: Places, verdict: Verdict
    ) -> None:
        event = copy.event
        *stored, x, late, micros = row
        place = places.find(event.tenant, event.data)
        exact = place.scorer(event.data).x
        touchpoint = next((each for each in self._corridor.touchpoints if each.name == event.data.touchpoint), None)
        plain = offline.experience(event.data, self._corridor, touchpoint)["x"]
        is_late = (copy.lane, copy.entry.offset) in expected.late
        same_x = x == exact and (x is None) == (plain is None) and (x is None or abs(x - plain) < 1e-12)
        if tuple(stored) != key or not same_x or late != is_late or micros != _micros(event):
            verdict.different_events += 1
            verdict.example(f"event {copy.entry.source}: {row} instead of {(key, exact, plain, is_late)}")

    def _rejections(self, client: Any, expected: Expected, verdict: Verdict) -> None:
        """Every rejected message once, with its bytes."""
        rows = client.query(
            "SELECT partition, offset, count(), any(raw IS NULL), any(length(raw)) FROM rejections "
            "WHERE topic = 'touchpoint.events' GROUP BY partition, offset"
        ).result_rows
        verdict.rejected = len(rows)
        sent = {entry.source: self._feed.messages[entry.number].value for entry in self._ledger.events}
        for partition, offset, count, absent, length in rows:
            value = sent.get((partition, offset))
            same = bool(absent) if value is None else length == len(value)
            if (partition, offset) not in expected.rejected or count != 1 or not same:
                verdict.different_rejections += 1
                verdict.example(f"rejection {(partition, offset)}: {count} rows, {length} bytes")
        for source in expected.rejected - {(row[0], row[1]) for row in rows}:
            verdict.lost += 1
            verdict.example(f"lost: the rejection of {source}")

    # -- slices --------------------------------------------------------------------------------------------------

    def _slices(
        self, client: Any, counted: list[Copy], expected: Expected, plain: dict[tuple[Cell, int], Any], verdict: Verdict
    ) -> None:
        """Exactly the program's own sums, bit for bit, and the plain ones up to the rounding of each summand."""
        exact = exact_slices(counted, expected.late, self._corridor)
        assert exact.keys() == plain.keys(), "the two offline computations differ"
        cell = ", ".join(Cell._fields)
        seen = set()
        for tenant in sorted({cell.tenant for cell, _ in exact}):
            rows = client.query(
                f"SELECT {cell}, toUnixTimestamp(bucket), {', '.join(SUMS)}, waits FROM slices "
                f"WHERE tenant = '{tenant}'"
            ).result_rows
            for row in rows:
                key = (Cell(*row[:8]), row[8])
                seen.add(key)
                got = dict(zip(SUMS, row[9:], strict=False))
                waits = {int(wait): count for wait, count in row[-1].items()}
                if key not in exact:
                    verdict.different_slices += 1
                    verdict.example(f"slice {key}: {got['n']} events where there are none")
                    continue
                wrong = _unlike(got, waits, exact[key], plain[key])
                if wrong:
                    verdict.different_slices += 1
                    verdict.example(f"slice {key}: {wrong}")
        missing = exact.keys() - seen
        verdict.slices = len(exact)
        verdict.different_slices += len(missing)
        for key in list(missing)[:2]:
            verdict.example(f"slice {key} is missing")

    # -- journeys ------------------------------------------------------------------------------------------------

    def _journeys(self, client: Any, counted: list[Copy], expected: Expected, verdict: Verdict) -> None:
        """Journeys all of whose contacts came in time, field by field; and every contact made one transition.

        Whether a late contact still finds its place depends on how far the lanes had come, so journeys with one are
        only counted.
        """
        late = {identity(copy.event)[:3] for copy in counted if (copy.lane, copy.entry.offset) in expected.late}
        events = [copy.event for copy in counted]
        for text in walks.unlike_journeys(client, events, self._corridor, self._partitions, late):
            verdict.different_journeys += 1
            verdict.example(text)
        ((verdict.journeys, too_late),) = client.query("SELECT count(), sum(late) FROM journeys_now").result_rows
        ((steps,),) = client.query(
            "SELECT sum(n) FROM transitions WHERE segment = '' AND NOT startsWith(following, '@')"
        ).result_rows
        if steps + too_late != len(counted):
            verdict.different_journeys += 1
            verdict.example(f"{len(counted)} contacts made {steps} transitions and {too_late} came too late for one")

    # -- incidents -----------------------------------------------------------------------------------------------

    def _incidents(self, client: Any, verdict: Verdict) -> None:
        """Incidents, and the state of the detectors, against an undisturbed run over what the detect agent read."""
        verdict.incidents, wrong = detection.unlike(self._settings, client, self._corridor)
        verdict.different_incidents = len(wrong)
        for text in wrong:
            verdict.example(text)

    # -- scores --------------------------------------------------------------------------------------------------

    def _scores(self, client: Any, plain: dict[tuple[Cell, int], Any], verdict: Verdict) -> None:
        """Every window score, to 1e-9 of its scale."""
        expected = offline.scores(plain, self._corridor.defaults.minimum_n)
        for window in ("5m", "1h", "24h"):
            frame = expected.frame(window)
            names = ["at", "n", *SCORES]
            result = client.query(
                f"SELECT {', '.join(_SCORE_KEYS)}, toUnixTimestamp(at), n, {', '.join(SCORES)} FROM scores "
                f"WHERE \"window\" = '{window}' ORDER BY {', '.join(_SCORE_KEYS)}, at",
                column_oriented=True,
            )
            got = dict(zip([*_SCORE_KEYS, *names], result.result_columns, strict=True)) if result.row_count else {}
            verdict.scores += len(frame)
            keys = list(zip(*(frame[name].tolist() for name in [*_SCORE_KEYS, "at"]), strict=True))
            have = list(zip(*(got[name] for name in [*_SCORE_KEYS, "at"]), strict=True)) if got else []
            if keys != have:
                apart = set(keys) ^ set(have)
                verdict.different_scores += len(apart)
                verdict.example(f"scores {window}: {len(apart)} rows are missing or too many: {sorted(apart)[:2]}")
                continue
            wrong = np.zeros(len(frame), bool)
            for name in ("n", *SCORES):
                is_, due = np.array(got[name], float), frame[name].to_numpy(float)
                bad = ~np.isclose(is_, due, rtol=1e-9, atol=1e-8, equal_nan=True)
                if bad.any() and not wrong.any():
                    place = int(np.flatnonzero(bad)[0])
                    verdict.example(f"score {window} {keys[place]}: {name} {is_[place]!r} instead of {due[place]!r}")
                wrong |= bad
            verdict.different_scores += int(wrong.sum())


def _unlike(got: dict[str, Any], waits: dict[int, int], exact: Sums, plain: dict[str, Any]) -> str:
    for name in SUMS:
        due = getattr(exact, name)
        if got[name] != due:
            return f"{name} is {got[name]!r} instead of {due!r}"
        if name in _FLOATS:
            if abs(got[name] - plain[name]) > _ROUNDING * exact.n * 1.01 + 1e-12 * abs(plain[name]):
                return f"{name} is {got[name]!r}, by the plain formulas {plain[name]!r}"
        elif got[name] != plain[name]:
            return f"{name} is {got[name]!r}, by the plain formulas {plain[name]!r}"
    if waits != exact.waits or waits != plain["waits"]:
        return f"waits are {waits} instead of {exact.waits}"
    return ""


def _micros(event: TouchpointEvent) -> int:
    return round(event.time.timestamp() * 1e6)
