"""Adding one event to slices, and merging slices: exact, whatever the order."""

from collections.abc import Iterable
from math import log

from schemas.event import Rating, TouchpointData
from schemas.slice import BUCKET_S, Sums
from streams.model.exact import exact
from streams.model.experience import Experience

#: Ratio between the bounds of a wait histogram's keys: a value read from it is off by at most 2 %.
WAIT_RATIO = 1.02 / 0.98
_LOG_RATIO = log(WAIT_RATIO)


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
    """Count one event in each of `slices`."""
    x = experience.x
    if x is not None:
        ex = exact(x)
        exx = exact(x * x)
        band = experience.band
        for s in slices:
            s.n += 1
            s.scored += 1
            s.sum_x += ex
            s.sum_xx += exx
            if band == "positive":
                s.positive += 1
            elif band == "negative":
                s.negative += 1
            else:
                s.neutral += 1
    else:
        for s in slices:
            s.n += 1
    if experience.gap is not None:
        u = exact(experience.gap)
        for s in slices:
            s.gap_n += 1
            s.gap_sum += u
            if experience.gap < 0:
                s.gap_broken += 1
    if data.wait_ms is not None:
        _add_wait(slices, data.wait_ms, tolerable_wait_ms)
    if data.rating is not None and data.rating.instrument is not None:
        _add_rating(slices, data.rating)
    if data.outcome == "abandoned":
        for s in slices:
            s.abandoned += 1
    elif data.outcome == "pending":
        for s in slices:
            s.pending += 1
    if late:
        for s in slices:
            s.late += 1


def _add_wait(slices: Iterable[Sums], wait_ms: int, tolerable_wait_ms: float) -> None:
    log_wait = log(max(wait_ms, 1))
    exact_log = exact(log_wait)
    exact_square = exact(log_wait * log_wait)
    key = wait_key(wait_ms)
    for s in slices:
        s.wait_n += 1
        s.wait_log_sum += exact_log
        s.wait_log_sum2 += exact_square
        s.waits[key] = s.waits.get(key, 0) + 1
        if wait_ms <= tolerable_wait_ms:
            s.wait_satisfied += 1
        elif wait_ms <= 4 * tolerable_wait_ms:
            s.wait_tolerating += 1


def _add_rating(slices: Iterable[Sums], rating: Rating) -> None:
    """Survey metrics: NPS on 0-10, CSAT as the top two of 1-5, CES 2.0 on 1-7 (high is easy)."""
    share = (rating.value - rating.min) / (rating.max - rating.min)
    if rating.better == "lower":
        share = 1.0 - share
    if rating.instrument == "nps":
        answer = 10.0 * share
        for s in slices:
            s.nps_n += 1
            if answer >= 9:
                s.nps_promoters += 1
            elif answer <= 6:
                s.nps_detractors += 1
    elif rating.instrument == "csat":
        for s in slices:
            s.csat_n += 1
            if 1.0 + 4.0 * share >= 4:
                s.csat_top += 1
    elif rating.instrument == "ces":
        answer = exact(1.0 + 6.0 * share)
        square = exact(answer * answer)
        for s in slices:
            s.ces_n += 1
            s.ces_sum += answer
            s.ces_sum2 += square


_ADDITIVE = tuple(name for name in Sums.__struct_fields__ if name != "waits")


def merge(into: Sums, other: Sums) -> None:
    """Add `other` to `into`."""
    for name in _ADDITIVE:
        setattr(into, name, getattr(into, name) + getattr(other, name))
    for key, count in other.waits.items():
        into.waits[key] = into.waits.get(key, 0) + count
