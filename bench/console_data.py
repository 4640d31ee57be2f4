"""Days of a busy corridor for measuring queries, made inside ClickHouse: slices, scores, events, journeys, standings.

Every cell of every 10 seconds is filled, on four origins: denser than a real day, so queries over an hour or a day read
more here than they will there. The newest ten minutes come twice, in two versions.
"""

from collections.abc import Callable, Iterator

from schemas.corridor import CorridorMap
from schemas.score import WINDOWS
from schemas.slice import BUCKET_S
from sinks.clickhouse import ClickHouse

TENANT = "default"
ORIGINS = 4
#: Segment pairs of a touchpoint and of a way, the one over all segments included.
PAIRS, WAY_PAIRS = 13, 5
WAYS = 35
#: Rows of one insert: a part of the table.
BLOCK = 2_000_000
_AGAIN_BUCKETS = 60
Tell = Callable[[str], None]


class Filling:
    """What is inserted, in order; all of it ends at `now` (epoch seconds)."""

    def __init__(self, corridor: CorridorMap, slices: int, now: int) -> None:
        places = corridor.touchpoints
        self._names = _array([place.name for place in places])
        self._channels = _array([place.channel for place in places])
        self._stages = _array([place.stage for place in places])
        self._count = len(places)
        self._cells = ORIGINS * PAIRS * self._count
        self.per_bucket = self._cells + ORIGINS * WAY_PAIRS * WAYS
        self.buckets = slices // self.per_bucket
        self.now = now - now % 600
        self._start = self.now - self.buckets * BUCKET_S

    def statements(self) -> Iterator[tuple[str, str]]:
        """Table and INSERT, the largest table first."""
        rows = self.buckets * self.per_bucket
        for first in range(0, rows, BLOCK):
            yield "experience_slices", self._slices(first, min(BLOCK, rows - first), 1)
        again = min(_AGAIN_BUCKETS, self.buckets) * self.per_bucket
        yield "experience_slices", self._slices(rows - again, again, 2)
        for window in WINDOWS:
            steps = self.buckets * BUCKET_S // window.hop_s
            for first in range(0, steps * (self._count + 4) * PAIRS, BLOCK):
                count = min(BLOCK, steps * (self._count + 4) * PAIRS - first)
                yield "experience_scores", self._scores(window.name, window.hop_s, first, count)
        for first in range(0, 40 * self.buckets, BLOCK):
            yield "touchpoint_events", self._events(first, min(BLOCK, 40 * self.buckets - first))
        yield "journeys", self._journeys(4 * self.buckets)
        yield "corridor", self._corridor(self.buckets * BUCKET_S // 60)
        yield "incidents", self._incidents()

    def _slices(self, first: int, count: int, version: int) -> str:
        return f"""
            INSERT INTO corredor.experience_slices (kind, tenant, touchpoint, following, channel, stage, actor, contact,
                segment, segment_value, bucket, origin, part, version, n, scored, sum_x, sum_xx, negative, neutral,
                positive, gap_n, gap_sum, gap_broken, wait_n, wait_log_sum, wait_log_sum2, wait_satisfied,
                waits, wait_ms_sum)
            WITH
                intDiv(number, {self.per_bucket}) AS step, number % {self.per_bucket} AS cell,
                cell < {self._cells} AS here, cell - {self._cells} AS way, cityHash64(number) AS h,
                if(here, intDiv(cell, {ORIGINS}) % {PAIRS}, intDiv(way, {ORIGINS}) % {WAY_PAIRS}) AS pair,
                if(here, intDiv(cell, {ORIGINS * PAIRS}), intDiv(way, {ORIGINS * WAY_PAIRS}) % {self._count}) AS place,
                1 + h % 6 AS m, intDiv(h, 256) % 4294967296 / 4294967296 AS x,
                toInt16(150 + intDiv(h, 65536) % 120) AS key
            SELECT if(here, 'touchpoint', 'transition'), '{TENANT}', {self._names}[place + 1],
                if(here, '', {self._names}[(place + 1 + intDiv(intDiv(way, {ORIGINS * WAY_PAIRS}), {self._count}))
                    % {self._count} + 1]),
                if(here, {self._channels}[place + 1], ''), if(here, {self._stages}[place + 1], ''),
                if(here, 'buyer', ''), if(here, 'direct', ''),
                if(pair = 0, '', 'region'), if(pair = 0, '', concat('r', toString(pair))),
                toDateTime({self._start} + {BUCKET_S} * step, 'UTC'),
                concat('touchpoint.events/', toString(cell % {ORIGINS})), step, step + {version}, m,
                if(here, m, 0), if(here, m * x, 0), if(here, m * x * x, 0), if(here AND x < 0.4, 1, 0), 0,
                if(here AND x >= 0.7, m, 0), if(here, m, 0), if(here, m * (x - 0.5), 0), if(here AND x < 0.5, 1, 0),
                m, m * 7., m * 49., m, map(key, toInt64(m)), if(here, 0, m * 900)
            FROM numbers({first}, {count})
        """

    def _scores(self, window: str, hop_s: int, first: int, count: int) -> str:
        scopes = self._count + 4
        names = f"arrayConcat({self._names}, ['before', 'during', 'after', ''])"
        return f"""
            INSERT INTO corredor.experience_scores (tenant, scope, name, segment, segment_value, window, at, version, n,
                scored, score, score_low, score_high, negative, negative_low, negative_high, neutral, positive, apdex,
                wait_n)
            WITH
                intDiv(number, {scopes * PAIRS}) AS step, number % {scopes} AS place,
                intDiv(number, {scopes}) % {PAIRS} AS pair,
                100 * (intDiv(cityHash64(number), 256) % 4294967296 / 4294967296) AS x
            SELECT '{TENANT}', if(place < {self._count}, 'touchpoint', if(place = {scopes - 1}, 'corridor', 'stage')),
                {names}[place + 1], if(pair = 0, '', 'region'), if(pair = 0, '', concat('r', toString(pair))),
                '{window}', toDateTime({self.now} - {hop_s} * step, 'UTC'), 1, 60, 55, x, x - 3, x + 3, 0.1, 0.05, 0.2,
                0.3, 0.6, 0.9, 50
            FROM numbers({first}, {count})
        """

    def _events(self, first: int, count: int) -> str:
        return f"""
            INSERT INTO corredor.touchpoint_events (tenant, touchpoint, channel, stage, actor, contact, subject,
                journey, source, id, time, received_at, outcome, band, source_partition, source_offset, raw, x,
                x_outcome, x_promise, gap, wait_ms, segment, amount_minor, currency)
            WITH cityHash64(number) AS h, h % {self._count} AS place, intDiv(h, 256) % 100 / 100 AS worth,
                toDateTime64({self._start} + number / 4, 6, 'UTC') AS happened
            SELECT '{TENANT}', {self._names}[place + 1], {self._channels}[place + 1], {self._stages}[place + 1],
                'buyer', 'direct', concat('customer-', toString(intDiv(number, 20))),
                concat('order-', toString(intDiv(number, 10))), 'shop', concat('event-', toString(number)), happened,
                happened + 1, 'success',
                multiIf(worth < 0.4, 'negative', worth < 0.7, 'neutral', 'positive'), number % {ORIGINS}, number,
                repeat('x', 300), worth, 1, worth, worth - 0.5, h % 9000, map('region', 'r1', 'device', 'phone'), 1000,
                'EUR'
            FROM numbers({first}, {count})
        """

    def _journeys(self, count: int) -> str:
        return f"""
            INSERT INTO corredor.journeys (tenant, subject, journey, version, origin, status, started_at, last_at,
                first_touchpoint, last_touchpoint, contacts, effort, channels, memory, memory_band, score, scored,
                negative, unaccompanied_s)
            WITH cityHash64(number) AS h, toDateTime64({self._start} + number * 5 / 2, 6, 'UTC') AS began
            SELECT '{TENANT}', concat('customer-', toString(intDiv(number, 2))), concat('order-', toString(number)), 1,
                'touchpoint.events/0', ['open', 'reached', 'stalled', 'abandoned'][h % 4 + 1], began, began + 3,
                {self._names}[1], {self._names}[h % {self._count} + 1], 10, 3.5, ['web'], h % 100 / 100, 'neutral',
                h % 100, 9, h % 3, 600
            FROM numbers({count})
        """

    def _corridor(self, minutes: int) -> str:
        each = self._count + WAYS
        return f"""
            INSERT INTO corredor.corridor (kind, tenant, touchpoint, following, at, version, window_s, arrivals, scored,
                score, target_score, shortfall, goal_chance, importance, priority, declared, n, departures, share,
                last_seen)
            WITH number % {each} AS one, one < {self._count} AS here, intDiv(number, {each}) AS step
            SELECT if(here, 'touchpoint', 'transition'), '{TENANT}', {self._names}[one % {self._count} + 1],
                if(here, '', {self._names}[(one + 1) % {self._count} + 1]),
                toDateTime({self.now} - 60 * step, 'UTC'), 1, 86400, 1000, 900, 60, 80, 20, 0.5, 0.3, 6000,
                one % 3 = 0, 100, 1000, 0.1,
                toDateTime({self.now} - 60 * step, 'UTC')
            FROM numbers({minutes * each})
        """

    def _incidents(self) -> str:
        return f"""
            INSERT INTO corredor.incidents (id, kind, measure, tenant, touchpoint, status, severity, since, detected_at,
                updated_at, resolved_at, ended_at, before, now, unit, depth, n, bad, hurt, version)
            WITH {self.now} - 600 * number AS began, number > 3 AS over
            SELECT concat('incident-', toString(number)), 'drop', 'negative', '{TENANT}',
                {self._names}[number % {self._count} + 1], if(over, 'resolved', 'open'), 'page', began, began + 60,
                if(over, began + 900, {self.now}), if(over, began + 900, 0), if(over, began + 600, 0), 0.02, 0.2,
                'share', 0.18, 100, 20, 18, 1
            FROM numbers(200)
        """


def fill(store: ClickHouse, filling: Filling, tell: Tell) -> None:
    """Insert all of it; `tell` gets a line now and then. Raises as `ClickHouse` does."""
    store.command("SET optimize_on_insert = 0, max_insert_threads = 1, throw_on_max_partitions_per_insert_block = 0")
    for written, (table, sql) in enumerate(filling.statements(), start=1):
        store.command(sql)
        tell(f"{table}: insert {written}")


def _array(texts: list[str]) -> str:
    return "[" + ", ".join(f"'{text}'" for text in texts) + "]"
