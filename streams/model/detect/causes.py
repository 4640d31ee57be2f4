"""Which segments explain a change of a share or of a mean log wait: it got worse there, or there is more of it.

For one segment name, with w0, w1 the share of events that have a value and r0, r1 their levels, before and now, the
change of the whole is P1 - P0 = sum over values of

    (w0 + w1) / 2 (r1 - r0)  +  (w1 - w0) ((r0 + r1) / 2 - (P0 + P1) / 2)
    rate effect                 mix effect

(Kitagawa, Components of a Difference Between Two Rates, JASA 50, 1955; in economics Oaxaca and Blinder 1973).
Subtracting the mean level changes no sum, since w1 - w0 add up to 0, and makes "more of the average" explain nothing.
"""

from collections import defaultdict
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


def decompose(before: Mapping[str, Sum], now: Mapping[str, Sum], all_before: Sum, all_now: Sum) -> list[Effect]:
    """The effects of the values of one segment name; they add up to the change of the whole.

    Events without the segment are the value "". A value new since before counts as if it had been at the mean level.
    Raises ZeroDivisionError where one of the wholes is empty.
    """
    level_before, level_now = all_before.s / all_before.n, all_now.s / all_now.n
    middle = (level_before + level_now) / 2.0
    found = []
    for value in sorted({*before, *now, ""}):
        old = before.get(value, Sum(0.0, 0.0)) if value else _rest(all_before, before)
        new = now.get(value, Sum(0.0, 0.0)) if value else _rest(all_now, now)
        if old.n <= 0.0 and new.n <= 0.0:
            continue
        r0 = old.s / old.n if old.n > 0.0 else level_before
        r1 = new.s / new.n if new.n > 0.0 else r0
        w0, w1 = old.n / all_before.n, new.n / all_now.n
        size = (w0 + w1) / 2.0
        found.append(Effect(value, size * (r1 - r0), (w1 - w0) * ((r0 + r1) / 2.0 - middle), r0, r1, size, int(new.n)))
    return found


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
    change = all_now.s / all_now.n - all_before.s / all_before.n
    if change <= 0.0:
        return ()
    names: dict[str, tuple[dict[str, Sum], dict[str, Sum]]] = defaultdict(lambda: ({}, {}))
    for position, sums in enumerate((before, now)):
        for (name, value), total in sums.items():
            names[name][position][value] = total
    ranked: list[tuple[float, Cause]] = []
    for name, (old, new) in sorted(names.items()):
        for effect in decompose(old, new, all_before, all_now):
            if not effect.value or effect.n <= 0:
                continue
            explained = (effect.rate + effect.mix) / change
            unsure = _error(effect, all_before, all_now, variance) / change
            if explained >= least and explained - effect.size > _SURE * unsure:
                cause = Cause(
                    name,
                    effect.value,
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


def _rest(whole: Sum, parts: Mapping[str, Sum]) -> Sum:
    """The events of the whole that are in none of the parts."""
    n = whole.n - sum(part.n for value, part in parts.items() if value)
    # Faded sums differ in their last bits.
    if n <= 1e-6 * whole.n:
        return Sum(0.0, 0.0)
    return Sum(n, whole.s - sum(part.s for value, part in parts.items() if value))


def _error(effect: Effect, all_before: Sum, all_now: Sum, variance: float) -> float:
    """Standard error of rate plus mix effect, the past being known far better than the present."""
    rate = effect.size * sqrt(variance / effect.n)
    # Journeys whose patience is over are counted evenly over a piece of time: of a pair it may be one more than of all.
    share = min(effect.n / all_now.n, 1.0)
    off = abs((effect.before + effect.now) / 2.0 - (all_before.s / all_before.n + all_now.s / all_now.n) / 2.0)
    return sqrt(rate * rate + off * off * share * (1.0 - share) / all_now.n)
