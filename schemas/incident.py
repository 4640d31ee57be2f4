"""An incident: something got worse at one place, since when, how deep, for whom, and why."""

from typing import Literal

from msgspec import Struct

Kind = Literal["drop", "congestion", "blockage", "silence"]
Severity = Literal["page", "ticket"]
Status = Literal["open", "resolved"]
#: What got worse: the share of negative events, of broken promises, of journeys that stall or leave; the wait of a
#: transition; arrivals against departures; the rate of events.
Measured = Literal["negative", "broken_promise", "stopped", "wait", "pile_up", "rate"]
#: What `before`, `now` and `depth` measure; see `Incident`.
Unit = Literal["share", "ms", "arrivals_per_departure", "per_s"]


class Cause(Struct, frozen=True, gc=False):
    """One segment value that explains more of the change than its size does.

    `before` and `now` are in the incident's unit, for the events of this value alone. `rate_effect` (it got worse)
    and `mix_effect` (there is more of it) add up, over all values of the segment, to the change; `explained` is their
    sum for this value as a share of the change (above 1 where others improved). For waits both effects are in
    ln(wait).
    """

    segment: str
    value: str
    explained: float
    rate_effect: float
    mix_effect: float
    before: float
    now: float
    #: Events of this value since the incident began.
    n: int


class Incident(Struct, frozen=True, gc=False, kw_only=True):
    """One message of `experience.incidents`, one row of `incidents`: absolute, newest `version` of an `id` wins.

    Times are epoch seconds of event time. Units by kind:

    - drop: `unit` share; the share of negative events, or of promises that were broken; `depth` = now - before (0.18:
      18 points worse).
    - blockage: `unit` share; the share of journeys that stall or leave instead of going on; `depth` = now - before.
    - congestion of a transition: `unit` ms; geometric mean wait; `depth` = now / before (3: three times as long).
    - congestion of a touchpoint (pile-up, `following` empty): `unit` arrivals_per_departure; `depth` = now / before.
    - silence: `unit` per_s; events per second; `depth` = 1 - now / before.
    """

    #: Hash of measure, tenant, place, segment and `since`: the same incident has the same id after a restart.
    id: str
    kind: Kind
    measure: Measured
    tenant: str
    #: The touchpoint; for the silence of a source, the source.
    touchpoint: str
    #: The touchpoint a transition leads to; empty for a touchpoint.
    following: str = ""
    #: Where it was seen: empty for all events, else one segment pair.
    segment: str = ""
    segment_value: str = ""
    status: Status
    #: Never falls while the incident is open.
    severity: Severity
    #: Start of the bucket where the change most likely began: the last zero of the CUSUM statistic.
    since: int
    #: End of the bucket that raised the alarm.
    detected_at: int
    #: End of the last bucket counted in.
    updated_at: int
    #: When it was proven over, and when it most likely ended (the last zero of the recovery statistic). 0: still open.
    resolved_at: int = 0
    ended_at: int = 0
    before: float
    #: Level from `since` on, until `ended_at` once resolved.
    now: float
    unit: Unit
    depth: float
    #: Events that the level is a share or mean of, and the bad ones among them (0 for waits), in the same time.
    n: int
    bad: int
    #: Events or journeys hurt beyond what is usual: bad minus expected bad; for waits all journeys that waited; for a
    #: pile-up the growth of work in progress; for silence the events missing.
    hurt: int
    #: Largest share of the change first; empty where all segments changed alike.
    causes: tuple[Cause, ...] = ()
    #: Counts up from 1.
    version: int
