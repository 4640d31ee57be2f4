"""A slice: the mergeable summary of one partition x cell x 10-second event-time bucket.

All float sums are sums of multiples of 2^-32 (see `streams.model.exact`), so that adding and merging are exactly
associative and commutative: neither order nor lateness nor a replay can change a bit of the result.
"""

from typing import NamedTuple

from msgspec import Struct, json

#: Length of an event-time bucket, seconds.
BUCKET_S = 10


class Cell(NamedTuple):
    """What a slice is about. `segment` and `segment_value` are empty for the slice over all segments."""

    tenant: str
    touchpoint: str
    channel: str
    stage: str
    actor: str
    contact: str
    segment: str
    segment_value: str


class Sums(Struct, gc=False):
    """The summed part of a slice. Every field adds under merging; `waits` adds key by key.

    `waits` is a histogram of waits: key i counts waits w (milliseconds) with g^(i-1) < w <= g^i, g = 1.02/0.98,
    key -1 counts waits of 0; a quantile read from it is off by at most 2 %.
    """

    #: Events, those without a score included.
    n: int = 0
    #: Events with a score x; sum of x; sum of x squared.
    scored: int = 0
    sum_x: float = 0.0
    sum_xx: float = 0.0
    negative: int = 0
    neutral: int = 0
    positive: int = 0
    #: Promises: how many, sum of u, how many with u < 0 (broken).
    gap_n: int = 0
    gap_sum: float = 0.0
    gap_broken: int = 0
    #: Waits: how many, sums of ln(max(w, 1 ms)) and of its square, Apdex counts against the tolerable wait.
    wait_n: int = 0
    wait_log_sum: float = 0.0
    wait_log_sum2: float = 0.0
    wait_satisfied: int = 0
    wait_tolerating: int = 0
    #: NPS: answers, promoters, detractors.
    nps_n: int = 0
    nps_promoters: int = 0
    nps_detractors: int = 0
    #: CSAT: answers, answers in the top two of five.
    csat_n: int = 0
    csat_top: int = 0
    #: CES 2.0: answers, sum and sum of squares on 1-7.
    ces_n: int = 0
    ces_sum: float = 0.0
    ces_sum2: float = 0.0
    abandoned: int = 0
    pending: int = 0
    late: int = 0
    waits: dict[int, int] = {}


def key_of(cell: Cell, bucket: int, origin: str, part: int) -> bytes:
    """The identity of a slice as a JSON list."""
    return json.encode((*cell, bucket, origin, part))


class Slice(Sums, gc=False, kw_only=True, omit_defaults=True, tag_field="kind", tag="touchpoint"):
    """One message of `experience.slices`, one row of `experience_slices`: absolute, never a delta.

    Identity: cell, `bucket` (epoch seconds), `origin` (`topic/partition` it was counted from) and `part` (the offset of
    the first event counted in it). `version` is the offset of the last one: the newest version of an identity wins, and
    the parts of one cell and bucket add up. A sum that is absent from the message is 0.
    """

    tenant: str
    touchpoint: str
    channel: str
    stage: str
    actor: str
    contact: str
    segment: str
    segment_value: str
    bucket: int
    origin: str
    part: int
    version: int

    @property
    def cell(self) -> Cell:
        """What the slice is about."""
        return Cell(
            self.tenant,
            self.touchpoint,
            self.channel,
            self.stage,
            self.actor,
            self.contact,
            self.segment,
            self.segment_value,
        )

    @property
    def key(self) -> bytes:
        """The identity as a JSON list: the message key, so that compaction keeps the newest version."""
        return key_of(self.cell, self.bucket, self.origin, self.part)


class Progress(Struct, frozen=True, tag_field="kind", tag="progress"):
    """How far one input partition has come: goes with the slices, so that readers know what they have seen.

    `watermark` (epoch seconds) is the smallest event time still expected: the minimum over the live sources of the
    newest event time seen; None while the partition is idle and nothing is expected. `applied` is the offset of the
    last event counted, -1 for none.
    """

    origin: str
    applied: int
    watermark: float | None
    #: Event time as the wall clock carries it on while the whole partition is idle, in steps of 5 s; None otherwise,
    #: and where event time is not near the wall clock: history that was replayed has no silence after its end.
    clock: float | None = None
