"""Simulated stays at one touchpoint of a corridor, with faults, as the settled buckets that the detectors are fed.

Journeys come at 50 a second, go on with chance 90 % after a wait that is log-normal (median 60 s, sd of the log 0.8),
or stall after a patience of 20 minutes. Each has a carrier and a device. A fault meets the journeys of one carrier
that come after it began: waits three times as long, or 60 % going on.
"""

from collections.abc import Iterator
from math import log
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.slice import BUCKET_S
from streams.model.detect.causes import Pair
from streams.model.detect.watch import ALL, Counts

Floats = NDArray[np.float64]
Numbers = NDArray[np.float64] | NDArray[np.int64]

PER_SECOND = 50.0
GOES_ON = 0.9
MEDIAN_S = 60.0
SIGMA = 0.8
PATIENCE_S = 1200
CARRIERS = {"swift": 0.4, "norte": 0.3, "urbano": 0.2, "postal": 0.1}
DEVICES = {"desktop": 0.35, "mobile": 0.5, "tablet": 0.15}
FAULTY = "norte"
MU = log(MEDIAN_S * 1000.0)


class Bucket(NamedTuple):
    """What a bucket holds of each pair, ALL among them."""

    start: int
    waits: dict[Pair, Counts]
    #: Came, stopped.
    ends: dict[Pair, tuple[int, int]]
    #: Came, left.
    flow: dict[Pair, tuple[int, int]]


def usual(start: int, seconds: int, random: np.random.Generator) -> Iterator[Bucket]:
    """Usual traffic drawn from its distribution, for the detectors to learn from.

    A minute at a time, which is quick; the last hour in buckets, so that those with patience left come as in a run.
    """
    shares = np.outer(list(CARRIERS.values()), list(DEVICES.values()))
    fine = start + seconds - 3600
    for at in (*range(start, fine, 60), *range(fine, start + seconds, BUCKET_S)):
        mean = PER_SECOND * (60 if at < fine else BUCKET_S) * shares
        came, went, stopped = random.poisson(mean), random.poisson(mean * GOES_ON), random.poisson(mean * (1 - GOES_ON))
        normal = random.normal(size=shares.shape) * np.sqrt(went) * SIGMA
        total = went * MU + normal
        around = random.chisquare(np.maximum(went - 1, 1)) * SIGMA**2 * (went > 1)
        square = around + np.divide(total**2, went, out=np.zeros_like(total), where=went > 0)
        yield _bucket(at, came, went + stopped, went, stopped, total, square)


def journeys(
    start: int, seconds: int, fault_at: int, wait_factor: float, goes_on: float, random: np.random.Generator
) -> Iterator[Bucket]:
    """Buckets from `start` on, journey by journey. Those of `FAULTY` that come from `fault_at` on meet the fault."""
    begin = start - 2 * PATIENCE_S
    n = random.poisson(PER_SECOND * (start + seconds - begin))
    came = np.sort(random.uniform(begin, start + seconds, n))
    carrier = random.choice(len(CARRIERS), n, p=list(CARRIERS.values()))
    device = random.choice(len(DEVICES), n, p=list(DEVICES.values()))
    hit = (came >= fault_at) & (carrier == list(CARRIERS).index(FAULTY))
    logs = random.normal(MU, SIGMA, n) + np.where(hit, log(wait_factor), 0.0)
    wait = np.exp(logs) / 1000.0
    goes = random.random(n) < np.where(hit, goes_on, GOES_ON)
    stops = ~goes | (wait > PATIENCE_S)
    count = seconds // BUCKET_S

    def grid(at: Floats, chosen: NDArray[np.bool_], weights: Floats | None = None) -> Floats:
        """Sums by bucket, carrier and device of the journeys chosen, at the times given."""
        inside = chosen & (at >= start) & (at < start + count * BUCKET_S)
        place = (((at[inside] - start) // BUCKET_S).astype(np.int64) * len(CARRIERS) + carrier[inside]) * len(DEVICES)
        sums = np.bincount(
            place + device[inside],
            None if weights is None else weights[inside],
            count * len(CARRIERS) * len(DEVICES),
        )
        return sums.astype(np.float64).reshape(count, len(CARRIERS), len(DEVICES))

    everyone = np.ones(n, np.bool_)
    arrivals, went = grid(came, everyone), grid(came + wait, goes)
    resumed = grid(came + wait, goes & stops)
    total, square = grid(came + wait, goes, logs), grid(came + wait, goes, logs**2)
    stopped = grid(came + PATIENCE_S, stops)
    for index in range(count):
        at = start + index * BUCKET_S
        left = went[index] + stopped[index] - resumed[index]
        yield _bucket(at, arrivals[index], left, went[index], stopped[index], total[index], square[index])


def _bucket(
    start: int, came: Numbers, left: Numbers, went: Numbers, stopped: Numbers, total: Floats, square: Floats
) -> Bucket:
    waits: dict[Pair, Counts] = {}
    ends: dict[Pair, tuple[int, int]] = {}
    flow: dict[Pair, tuple[int, int]] = {}
    for pair, part in _PARTS:
        n, stop = int(went[part].sum()), int(stopped[part].sum())
        waits[pair] = Counts(n, float(total[part].sum()), float(square[part].sum()))
        ends[pair] = (int(came[part].sum()), stop)
        flow[pair] = (int(came[part].sum()), int(left[part].sum()))
    return Bucket(start, waits, ends, flow)


_PARTS: list[tuple[Pair, tuple[slice | int, slice | int]]] = [
    (ALL, (slice(None), slice(None))),
    *((("carrier", name), (index, slice(None))) for index, name in enumerate(CARRIERS)),
    *((("device", name), (slice(None), index)) for index, name in enumerate(DEVICES)),
]
