"""Adding one event to slices, and merging slices: exact, whatever the order."""

from collections.abc import Iterable
from math import log
from typing import TypeVar

from schemas.event import Rating, TouchpointData
from schemas.slice import BUCKET_S, Sums
from schemas.transition import TransitionSums
from streams.model.exact import SHIFT, exact
from streams.model.experience import NEGATIVE_BELOW, POSITIVE_FROM, Experience, rating_experience

#: Ratio between the bounds of a wait histogram's keys: a value read from it is off by at most 2 %.
WAIT_RATIO = 1.02 / 0.98
_LOG_RATIO = log(WAIT_RATIO)
S = TypeVar("S", Sums, TransitionSums)
_RARE_OUTCOMES = frozenset(("abandoned", "pending"))


def bucket_of(event_time: float) -> int:
    """Start of the 10-second bucket that `event_time` (epoch seconds) falls into."""
    return int(event_time // BUCKET_S) * BUCKET_S


def wait_key(wait_ms: int) -> int:
    """Histogram key i of a wait: ratio^(i-1) < wait <= ratio^i; -1 for no wait at all."""
    if wait_ms == 0:
        return -1
    key = int(log(wait_ms) / _LOG_RATIO)
    # The logarithm may land on the wrong side of a bound by its last bit.
    while WAIT_RATIO**key < wait_ms:
        key += 1
    return key


def add(
    slices: Iterable[Sums], data: TouchpointData, experience: Experience, tolerable_wait_ms: float, late: bool
) -> None:
    """Count one event in each of `slices`. One pass over them: this is the inner loop of the whole program."""
    x = experience.x
    u = experience.gap
    wait_ms = data.wait_ms
    rating = data.rating
    rare = late or data.outcome in _RARE_OUTCOMES or (rating is not None and rating.instrument is not None)
    if x is not None:
        ex = (x + SHIFT) - SHIFT
        exx = (x * x + SHIFT) - SHIFT
        negative = x < NEGATIVE_BELOW
        positive = x >= POSITIVE_FROM
    else:
        ex = exx = 0.0
        negative = positive = False
    eu = (u + SHIFT) - SHIFT if u is not None else 0.0
    if wait_ms is not None:
        key = wait_key(wait_ms)
        log_wait = log(wait_ms) if wait_ms > 1 else 0.0
        ew = (log_wait + SHIFT) - SHIFT
        eww = (log_wait * log_wait + SHIFT) - SHIFT
    else:
        key = 0
        ew = eww = 0.0
    for s in slices:
        s.n += 1
        if x is not None:
            s.scored += 1
            s.sum_x += ex
            s.sum_xx += exx
            if positive:
                s.positive += 1
            elif negative:
                s.negative += 1
            else:
                s.neutral += 1
        if u is not None:
            s.gap_n += 1
            s.gap_sum += eu
            if u < 0:
                s.gap_broken += 1
        if wait_ms is not None:
            s.wait_n += 1
            s.wait_log_sum += ew
            s.wait_log_sum2 += eww
            waits = s.waits
            waits[key] = waits.get(key, 0) + 1
            if wait_ms <= tolerable_wait_ms:
                s.wait_satisfied += 1
            elif wait_ms <= 4 * tolerable_wait_ms:
                s.wait_tolerating += 1
        if rare:
            _add_rare(s, data, late)


def _add_rare(s: Sums, data: TouchpointData, late: bool) -> None:
    s.late += late
    s.abandoned += data.outcome == "abandoned"
    s.pending += data.outcome == "pending"
    if data.rating is not None and data.outcome != "pending":
        _add_rating(s, data.rating)


def _add_rating(s: Sums, rating: Rating) -> None:
    """Survey metrics: NPS on 0-10, CSAT as the top two of 1-5, CES 2.0 on 1-7 (high is easy)."""
    share = rating_experience(rating)
    if rating.instrument == "nps":
        answer = 10.0 * share
        s.nps_n += 1
        s.nps_promoters += answer >= 9
        s.nps_detractors += answer <= 6
    elif rating.instrument == "csat":
        s.csat_n += 1
        s.csat_top += 1.0 + 4.0 * share >= 4
    elif rating.instrument == "ces":
        answer = exact(1.0 + 6.0 * share)
        s.ces_n += 1
        s.ces_sum += answer
        s.ces_sum2 += exact(answer * answer)


def merge(into: S, other: S) -> None:
    """Add `other` to `into`, which has sums and nothing else. A wait that was taken back leaves the histogram."""
    for name in type(into).__struct_fields__:
        if name != "waits":
            setattr(into, name, getattr(into, name) + getattr(other, name))
    waits = into.waits
    for key, count in other.waits.items():
        waits[key] = left = waits.get(key, 0) + count
        if not left:
            del waits[key]
