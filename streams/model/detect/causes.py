"""Which segments explain a change of a share or of a mean log wait: it got worse there, or there is more of it.

For one segment name, with w0, w1 the share of events that have a value and r0, r1 their levels, before and now, the
change of the whole is P1 - P0 = sum over values of

    (w0 + w1) / 2 (r1 - r0)  +  (w1 - w0) ((r0 + r1) / 2 - (P0 + P1) / 2)
    rate effect                 mix effect

(Kitagawa, Components of a Difference Between Two Rates, JASA 50, 1955; in economics Oaxaca and Blinder 1973).
Subtracting the mean level changes no sum, since w1 - w0 add up to 0, and makes "more of the average" explain nothing.
"""

from collections.abc import Callable, Mapping
from math import sqrt
from typing import NamedTuple

from schemas.incident import Cause

Pair = tuple[str, str]
#: So many standard errors a value must explain more than its size, to be named.
_SURE = 2.0


class Sum(NamedTuple):
    """n events and the sum s of what they are a mean of: bad events, or log waits."""

    n: float
    s: float


_NOTHING = Sum(0.0, 0.0)


class Effect(NamedTuple):
    """One value's part of a change, in the unit of the level."""

    value: str
    rate: float
    mix: float
    before: float
    now: float
    #: Mean of its shares of all events, before and now.
    size: float
    n: int


class Change:
    """The change of the whole, of which every value has its part. Raises ZeroDivisionError where a whole is empty."""

    __slots__ = ("_all_before", "_all_now", "_level_before", "_middle", "total")

    def __init__(self, all_before: Sum, all_now: Sum) -> None:
        self._all_before, self._all_now = all_before, all_now
        self._level_before, level_now = all_before.s / all_before.n, all_now.s / all_now.n
        self._middle = (self._level_before + level_now) / 2.0
        self.total = level_now - self._level_before

    def effect(self, value: str, old: Sum, new: Sum) -> Effect:
        """The effects of one value; those of all values of a segment name add up to the change of the whole.

        Events without the segment are a value too. One new since before counts as if it had been at the mean level.
        """
        r0 = old.s / old.n if old.n > 0.0 else self._level_before
        r1 = new.s / new.n if new.n > 0.0 else r0
        w0, w1 = old.n / self._all_before.n, new.n / self._all_now.n
        size = (w0 + w1) / 2.0
        return Effect(value, size * (r1 - r0), (w1 - w0) * ((r0 + r1) / 2.0 - self._middle), r0, r1, size, int(new.n))

    def error(self, effect: Effect, variance: float) -> float:
        """Standard error of rate plus mix effect, the past being known far better than the present."""
        n = self._all_now.n
        rate = effect.size * sqrt(variance / effect.n)
        # Journeys whose patience is over are counted evenly over a piece of time: of a pair it may be one more than of
        # all.
        share = min(effect.n / n, 1.0)
        off = abs((effect.before + effect.now) / 2.0 - self._middle)
        return sqrt(rate * rate + off * off * share * (1.0 - share) / n)


def explain(
    before: Mapping[Pair, Sum],
    now: Mapping[Pair, Sum],
    all_before: Sum,
    all_now: Sum,
    *,
    variance: float,
    shown: Callable[[float], float],
    least: float,
    most: int,
) -> tuple[Cause, ...]:
    """The segment values that explain more of the change than their size, the surest and largest first.

    `variance` is that of one event around its level, for the standard error of an effect; `shown` turns a level into
    the incident's unit. A value is named if it explains at least `least` of the change and more than its size by two
    standard errors; at most `most` are. Where everything changed alike, or nothing changed for the worse, none is.
    """
    if all_before.n <= 0.0 or all_now.n <= 0.0:
        return ()
    change = Change(all_before, all_now)
    if change.total <= 0.0:
        return ()
    ranked: list[tuple[float, Cause]] = []
    # A value that is not there now explains nothing.
    for pair, new in now.items():
        if new.n <= 0:
            continue
        effect = change.effect(pair[1], before.get(pair, _NOTHING), new)
        explained = (effect.rate + effect.mix) / change.total
        if explained < least:
            continue
        unsure = change.error(effect, variance) / change.total
        if explained - effect.size > _SURE * unsure:
            cause = Cause(
                *pair,
                explained,
                effect.rate,
                effect.mix,
                shown(effect.before),
                shown(effect.now),
                effect.n,
            )
            ranked.append((explained - effect.size - unsure, cause))
    ranked.sort(key=lambda item: (-item[0], item[1].segment, item[1].value))
    return tuple(cause for _, cause in ranked[:most])
