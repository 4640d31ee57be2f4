"""The corridor as an absorbing Markov chain: the chance to reach a goal, and what each touchpoint is worth for it.

**Pursuits.** A pursuit of a goal begins with a journey's first contact, or where a journey goes on after an end or a
stall (a `resumed` transition a -> b begins one at b). It is over at the first of `@goal`, `@abandoned`, `@stalled`. So
every contact has exactly one fate, and every counted transition is used once: n - resumed of a -> b are moves, resumed
ones are starts, ends are ends. `@gone` only follows `@stalled` and says nothing new.

**Formulas.** With Q the chances to move between touchpoints, r those to reach a goal next, s where pursuits start:
N = (I - Q)^-1 is the expected number of visits (Kemeny and Snell, Finite Markov Chains, 1960, theorem 3.2.4), h = N r
the chance to reach a goal from a touchpoint (3.3.7), P = s h that of a pursuit, f_k = (s N)_k / N_kk the chance that a
pursuit ever comes to k (3.2.7's proof). A touchpoint is removed by losing whoever comes to it, so the goals that are
left are those reached without it: P_k = P - f_k h_k, and the removal effect 1 - P_k / P = f_k h_k / P (Anderl et al.,
Mapping the Customer Journey, International Journal of Research in Marketing 33, 2016).

**Intervals.** Each row of counts is a sample of fates; its Bayesian bootstrap posterior is Dirichlet(counts) (Rubin,
The Bayesian Bootstrap, Annals of Statistics 9, 1981). All rows are drawn and the chain is solved for each draw. What
never happened has no chance in any draw.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.transition import ABANDONED, GOAL, GONE, STALLED, START

Floats = NDArray[np.float64]
#: (from, to) -> how many, and how many of them resumed a journey that had ended or stalled.
Counts = Mapping[tuple[str, str], tuple[int, int]]

_ENDS = frozenset((GOAL, ABANDONED, STALLED))
#: One move in so many is lost: a matrix of very unequal counts can still be inverted.
_LOST = 1e-12


class Chain(NamedTuple):
    """Counts of fates. Rows and columns in the order of `touchpoints`; all counts >= 0."""

    touchpoints: tuple[str, ...]
    starts: Floats
    moves: Floats
    goals: Floats
    #: Abandoned or stalled.
    losses: Floats


class Worth(NamedTuple):
    """Chances in [0, 1], one row for each draw: `goal_chance` from each touchpoint, and its `removal` effect.

    NaN is unknown: the goal chance of a touchpoint that nothing was seen to follow, the removal effects of a chain
    whose pursuits reach no goal.
    """

    goal_chance: Floats
    removal: Floats


def chain(counts: Counts) -> Chain:
    """The chain of counted transitions. A count below 0 (a correction seen without what it corrects) is taken as 0."""
    ends = {name for pair in counts for name in pair}
    touchpoints = tuple(sorted(ends - _ENDS - {START, GONE}))
    index = {name: place for place, name in enumerate(touchpoints)}
    size = len(touchpoints)
    starts, goals, losses = np.zeros(size), np.zeros(size), np.zeros(size)
    moves = np.zeros((size, size))
    for (origin, following), (n, resumed) in counts.items():
        if following in index:
            starts[index[following]] += max(n if origin == START else resumed, 0)
            if origin != START:
                moves[index[origin], index[following]] += max(n - resumed, 0)
        elif following in _ENDS and origin in index:
            ended = goals if following == GOAL else losses
            ended[index[origin]] += max(n, 0)
    return Chain(touchpoints, starts, moves, goals, losses)


def estimate(given: Chain) -> Worth:
    """What the counts themselves say: one row."""
    return _solve(given, given.starts[None], given.moves[None], given.goals[None], given.losses[None])


def draw(given: Chain, generator: np.random.Generator, draws: int) -> Worth:
    """`draws` rows, each from a chain drawn from the posterior of the counts."""
    parts = (given.starts, given.moves, given.goals, given.losses)
    return _solve(given, *(_gamma(counts, generator, draws) for counts in parts))


def _gamma(counts: Floats, generator: np.random.Generator, draws: int) -> Floats:
    """Gamma(count) variables: those of a row, divided by their sum, are a Dirichlet draw. A count of 0 stays 0."""
    drawn = np.zeros((draws, *counts.shape))
    positive = counts > 0
    drawn[:, positive] = generator.standard_gamma(counts[positive], (draws, int(positive.sum())))
    return drawn


def _solve(given: Chain, starts: Floats, moves: Floats, goals: Floats, losses: Floats) -> Worth:
    """The worth of the touchpoints of `given` with these weights of fates, which need not sum to 1."""
    draws, size = starts.shape
    known = (given.moves.sum(axis=1) + given.goals + given.losses) > 0
    goal_chance = np.where(known, 0.0, np.nan) * np.ones((draws, 1))
    removal = np.full((draws, size), np.nan)
    # Only touchpoints from which a goal can be reached matter, and without the others (I - Q) has an inverse.
    able = _able(given)
    if not able.any():
        return Worth(goal_chance, removal)
    # A repeat leads nowhere else: without them the chances are the same, and better to compute with.
    moves = moves * (1.0 - np.eye(size))
    total = moves.sum(axis=2) + goals + losses
    q = moves[:, able][:, :, able] / total[:, able, None]
    r = goals[:, able] / total[:, able]
    visits = np.linalg.inv(np.eye(int(able.sum())) - (1.0 - _LOST) * q)
    chance = np.clip((visits @ r[:, :, None])[:, :, 0], 0.0, 1.0)
    goal_chance[:, able] = chance
    if given.starts[able].any():
        came = (starts[:, None, able] @ visits)[:, 0] / np.diagonal(visits, axis1=1, axis2=2)
        reached = (starts[:, able] * chance).sum(axis=1)
        removal[:] = 0.0
        removal[:, able] = np.clip(came * chance / reached[:, None], 0.0, 1.0)
    return Worth(goal_chance, removal)


def _able(given: Chain) -> NDArray[np.bool_]:
    """Touchpoints from which a goal can be reached."""
    able = given.goals > 0
    ways = given.moves > 0
    while True:
        more = able | ways[:, able].any(axis=1)
        if (more == able).all():
            return more
        able = more
