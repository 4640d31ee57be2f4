"""The experience x of one event in [0, 1]: the weighted mean of the components that are present.

| component | value |
| --- | --- |
| outcome | success 1, partial 0.5, failure 0, abandoned 0, pending absent |
| promise | u = (expected - actual) / tolerance, sign turned when `better` is higher; then `PromiseCurve` |
| rating | (value - min) / (max - min), turned when `better` is lower |
| sentiment | (s + 1) / 2 |
| effort | e^(-((attempts - 1)+ + transfers) / 3) |
| wait | e^(-ln 2 (wait / tolerable wait)): a half at the tolerable wait |

An absent component takes no part. A pending event has no x and no gap. The README shows the same
formulas to users.
"""

from math import exp, log
from typing import NamedTuple

from schemas.corridor import CorridorMap, PromiseCurve, Touchpoint
from schemas.event import Expectation, Rating, TouchpointData
from schemas.scored import Band

NEGATIVE_BELOW = 0.4
POSITIVE_FROM = 0.7
#: u is held within plus and minus this many tolerances, so that one absurd promise cannot own a mean.
U_LIMIT = 1000.0
_OUTCOME = {"success": 1.0, "partial": 0.5, "failure": 0.0, "abandoned": 0.0, "pending": None}


class Experience(NamedTuple):
    """x, its components (None: absent), and the gap u of the promise."""

    x: float | None
    band: Band
    outcome: float | None
    promise: float | None
    rating: float | None
    sentiment: float | None
    effort: float | None
    wait: float | None
    gap: float | None


def gap(expectation: Expectation, default_tolerance: float) -> float:
    """u: by how many tolerances the delivery beat the promise (negative: fell short), in [-1000, 1000]."""
    u = (expectation.expected - expectation.actual) / (expectation.tolerance or default_tolerance)
    if expectation.better == "higher":
        u = -u
    return min(max(u, -U_LIMIT), U_LIMIT)


def promise_experience(u: float, curve: PromiseCurve) -> float:
    """Experience of a promise kept by u tolerances."""
    if u >= 0:
        return curve.kept + (1.0 - curve.kept) * (1.0 - exp(-u / curve.gain))
    return curve.kept * exp(u / curve.loss)


def rating_experience(rating: Rating) -> float:
    """A rating's place on its scale, 1 the best."""
    share = (rating.value - rating.min) / (rating.max - rating.min)
    return 1.0 - share if rating.better == "lower" else share


def band(x: float | None) -> Band:
    """Negative below 0.4, positive from 0.7, neutral between; unknown without x."""
    if x is None:
        return "unknown"
    if x >= POSITIVE_FROM:
        return "positive"
    return "negative" if x < NEGATIVE_BELOW else "neutral"


class Scorer:
    """Scores the events of one touchpoint; built once from the map, so that the record loop looks nothing up."""

    __slots__ = ("_curve", "_decay", "_tolerance", "_weights", "tolerable_wait_ms")

    def __init__(self, corridor: CorridorMap, touchpoint: Touchpoint | None) -> None:
        defaults = corridor.defaults
        weights = corridor.weights(touchpoint)
        self._weights = tuple(weights[name] for name in ("outcome", "promise", "rating", "sentiment", "effort", "wait"))
        promise = (touchpoint and touchpoint.promise) or defaults.promise
        self._curve = promise.curve
        self._tolerance = promise.tolerance
        #: The wait at which the wait component is a half, milliseconds.
        self.tolerable_wait_ms = 1000.0 * float((touchpoint and touchpoint.tolerable_wait) or defaults.tolerable_wait)
        self._decay = -log(2.0) / self.tolerable_wait_ms

    def __call__(self, data: TouchpointData) -> Experience:
        """x and its components for one event's data."""
        w_outcome, w_promise, w_rating, w_sentiment, w_effort, w_wait = self._weights
        total = weight = 0.0
        promise = rating = sentiment = effort = wait = u = None

        outcome = _OUTCOME[data.outcome]
        if outcome is not None:
            total = w_outcome * outcome
            weight = w_outcome
        if (expectation := data.expectation) is not None:
            u = gap(expectation, self._tolerance)
            promise = promise_experience(u, self._curve)
            total += w_promise * promise
            weight += w_promise
        if data.rating is not None:
            rating = rating_experience(data.rating)
            total += w_rating * rating
            weight += w_rating
        if data.sentiment is not None:
            sentiment = (data.sentiment + 1.0) / 2.0
            total += w_sentiment * sentiment
            weight += w_sentiment
        attempts = data.attempts
        transfers = data.transfers
        if attempts is not None or transfers is not None:
            again = attempts - 1 if attempts is not None and attempts > 1 else 0
            effort = exp(-(again + (transfers or 0)) / 3.0)
            total += w_effort * effort
            weight += w_effort
        if data.wait_ms is not None:
            wait = exp(self._decay * data.wait_ms)
            total += w_wait * wait
            weight += w_wait

        if outcome is None:
            return Experience(None, "unknown", None, promise, rating, sentiment, effort, wait, None)
        if weight == 0.0:
            return Experience(None, "unknown", outcome, promise, rating, sentiment, effort, wait, u)
        x = total / weight
        return Experience(x, band(x), outcome, promise, rating, sentiment, effort, wait, u)
