"""The corridor of one tenant now: importance, priority and drift, a function of the settled buckets and the minute."""

from collections import Counter
from collections.abc import Mapping
from math import isnan

import numpy as np
import xxhash

from schemas.corridor import CorridorMap
from schemas.standing import Drift, Standing, Way
from schemas.transition import GONE, START
from streams.model.corridor_chain import Floats, chain, draw, estimate
from streams.model.corridor_counts import (
    DAY_S,
    HOUR_S,
    OTHER,
    CorridorCounts,
    CorridorState,
    Scores,
    Taken,
    usual_start,
    window_start,
)
from streams.model.intervals import Estimate, Z, experience, share

#: Draws from the posterior of the chain and of the scores, for the intervals.
DRAWS = 200
_BOUNDS = (0.025, 0.975)
#: So many transitions must have been expected where there are none: by chance that happens once in e^7 = 1,100 times.
SURE = 7.0
_DECIMALS = 6
_SHORTEST_USUAL_S = DAY_S

_Ways = Mapping[tuple[str, str], Taken]


class CorridorNow:
    """Importance, priority and drift of one tenant; `state` is where another `CorridorNow` of it left off."""

    def __init__(self, tenant: str, corridor: CorridorMap, state: CorridorState | None = None) -> None:
        self._tenant = tenant
        self._default_target = corridor.defaults.target_score
        self._targets = {t.name: t.target_score for t in corridor.touchpoints if t.target_score is not None}
        self._minimum_n = max(1, corridor.defaults.minimum_n)
        self._declared = frozenset((way.origin, way.to) for way in corridor.transitions)
        self._counts = CorridorCounts([t.name for t in corridor.touchpoints], state or CorridorState())

    @property
    def state(self) -> CorridorState:
        """All that is kept; it changes with `feed` and `tell`."""
        return self._counts.state

    def feed(self, start: int, touchpoints: Mapping[str, Scores], transitions: Mapping[tuple[str, str], Taken]) -> None:
        """Take in the settled 10-second bucket that starts at `start` (epoch seconds), over all segments.

        Each bucket once, in time order; empty ones may be left out. By touchpoint: events with a score, sum of x, sum
        of x squared. By transition (from, to): how many, and how many of them resumed a journey.
        """
        self._counts.feed(start, touchpoints, transitions)

    def tell(self, now: int, version: int) -> list[Standing | Way]:
        """What there is to say at the event time `now` (epoch seconds), a whole minute, no bucket after it being fed.

        Every touchpoint; and every way if nothing was told in this hour before, else those whose drift has changed or
        that were never told. Nothing once the tenant has been silent for 8 days.
        """
        hour = (now - 1) // HOUR_S * HOUR_S
        self._counts.roll(hour)
        if not self._counts.touchpoints:
            return []
        taken = self._counts.window()
        return [*self._standings(now, version, taken), *self._ways(now, hour, version, taken)]

    def _standings(self, now: int, version: int, taken: _Ways) -> list[Standing]:
        names = self._counts.touchpoints
        sums = self._counts.scores()
        arrivals: Counter[str] = Counter()
        for (_, following), (n, _) in taken.items():
            arrivals[following] += n
        generator = np.random.default_rng((xxhash.xxh3_64_intdigest(self._tenant.encode()), now // 60))
        graph = chain(taken)
        # The last column is for touchpoints that the chain does not know: nothing is known of them.
        column = [graph.touchpoints.index(name) if name in graph.touchpoints else -1 for name in names]
        known, drawn = estimate(graph), draw(graph, generator, DRAWS)
        chance, removal = (_with_unknown(part)[0, column] for part in known)
        chances, removals = (_with_unknown(part)[:, column] for part in drawn)
        normals = generator.standard_normal((DRAWS, len(names)))
        standings = []
        for place, name in enumerate(names):
            n, total, squares = sums.get(name, (0, 0.0, 0.0))
            target = self._targets.get(name, self._default_target)
            score = experience(n, total, squares) if n >= self._minimum_n else None
            shortfall = priority = None
            if score is not None:
                shortfall = Estimate(*(max(0.0, target - value) for value in (score.value, score.high, score.low)))
                lost = np.maximum(0.0, target - _likely(score, normals[:, place]))
                volume = arrivals[name]
                priority = _interval(removal[place] * volume * shortfall.value, removals[:, place] * volume * lost)
            standings.append(
                Standing(
                    tenant=self._tenant,
                    touchpoint=name,
                    at=now,
                    version=version,
                    window_s=_window_s(now),
                    arrivals=arrivals[name],
                    scored=n,
                    target_score=target,
                    **_fields("score", score),
                    **_fields("shortfall", shortfall),
                    **_fields("goal_chance", _interval(chance[place], chances[:, place])),
                    **_fields("importance", _interval(removal[place], removals[:, place])),
                    **_fields("priority", priority),
                )
            )
        return standings

    def _ways(self, now: int, hour: int, version: int, taken: _Ways) -> list[Way]:
        state = self.state
        usual = self._counts.usual()
        left, usually_left = _departures(taken), _departures(usual)
        long_enough = window_start(hour) - max(state.since, usual_start(hour)) >= _SHORTEST_USUAL_S
        everything = hour > state.told_hour
        state.told_hour = max(hour, state.told_hour)
        seen = {(one.touchpoint, one.following): one for one in state.ways.values()}
        ways = []
        for touchpoint, following in sorted(seen.keys() | self._declared):
            if touchpoint in (START, OTHER) or following.startswith("@"):
                continue
            n, before = (part.get((touchpoint, following), (0, 0))[0] for part in (taken, usual))
            now_of, before_of = left[touchpoint], usually_left[touchpoint]
            drift = _drift(n, now_of, before, before_of) if long_enough else ""
            known = seen.get((touchpoint, following))
            if not everything and (known is None or known.told == drift):
                continue
            if known is not None:
                known.told = drift
            usual_share = share(before_of, before)
            ways.append(
                Way(
                    tenant=self._tenant,
                    touchpoint=touchpoint,
                    following=following,
                    at=now,
                    version=version,
                    window_s=_window_s(now),
                    declared=not self._declared or (touchpoint, following) in self._declared,
                    drift=drift,
                    n=n,
                    departures=now_of,
                    **_fields("share", share(now_of, n)),
                    usual_share=None if usual_share is None else round(usual_share.value, _DECIMALS),
                    first_seen=None if known is None else known.first,
                    last_seen=None if known is None else known.last,
                )
            )
        return ways


def _window_s(now: int) -> int:
    return now - window_start((now - 1) // HOUR_S * HOUR_S)


def _departures(taken: _Ways) -> Counter[str]:
    """All that followed a contact, by its touchpoint; `@gone` follows `@stalled` and not the contact."""
    departures: Counter[str] = Counter()
    for (origin, following), (n, _) in taken.items():
        if following != GONE:
            departures[origin] += n
    return departures


def _drift(n: int, of: int, before: int, before_of: int) -> Drift:
    """Whether n of `of` departures now, `before` of `before_of` in the days before, mean that a way is new or gone.

    It is, if at the low end of its share (Wilson) more than `SURE` were to be expected where there are none.
    """
    now_share, usual_share = share(of, n), share(before_of, before)
    if n > 0 and before == 0 and now_share is not None and now_share.low * before_of >= SURE:
        return "new"
    if n == 0 and before > 0 and usual_share is not None and usual_share.low * of >= SURE:
        return "vanished"
    return ""


def _with_unknown(part: Floats) -> Floats:
    return np.pad(part, ((0, 0), (0, 1)), constant_values=np.nan)


def _likely(score: Estimate, normals: Floats) -> Floats:
    """Scores as likely as the interval of `score` says, in [0, 100]; the wider half is the one that was not clipped."""
    half = max(score.value - score.low, score.high - score.value)
    return np.clip(score.value + half / Z * normals, 0.0, 100.0)


def _interval(value: float, draws: Floats) -> Estimate | None:
    """`value` with the middle 95 % of the draws, widened to hold it; None if it is unknown."""
    if isnan(value):
        return None
    low, high = np.quantile(draws, _BOUNDS)
    return Estimate(float(value), min(float(low), float(value)), max(float(high), float(value)))


def _fields(name: str, known: Estimate | None) -> dict[str, float | None]:
    """The three fields of a message that hold an estimate."""
    names = (name, f"{name}_low", f"{name}_high")
    values = (None, None, None) if known is None else tuple(round(value, _DECIMALS) for value in known)
    return dict(zip(names, values, strict=True))
