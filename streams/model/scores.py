"""From the merged sums of a window to its score: every number of `schemas.score.Score`, by DOMAIN's formulas."""

from collections.abc import Callable
from typing import NamedTuple

from schemas.score import Scope, Score, Window
from schemas.slice import Sums
from streams.model.intervals import Estimate, ces, csat, experience, nps, share


class ScopeKey(NamedTuple):
    """What a score is about. `segment` and `segment_value` are empty for the score over all segments."""

    tenant: str
    scope: Scope
    #: The touchpoint, channel or stage; empty for the whole corridor.
    name: str
    segment: str
    segment_value: str


_Parts = tuple[float | None, float | None, float | None]
_UNKNOWN: _Parts = (None, None, None)


def score(scope_key: ScopeKey, window: Window, at: int, version: int, sums: Sums, minimum_n: int) -> Score:
    """The score of `scope_key` over the `window` that ends at `at` (epoch seconds, exclusive).

    Each metric is unknown (None) while its own n is below `minimum_n` (at least 1): score and shares by the scored
    events, gap by the promises, NPS, CSAT and CES by their answers, Apdex by the waits. The n are always given.
    Score = 100 mean(x). Gap = mean of u, with the share of broken promises, P(u < 0). Apdex = (satisfied +
    tolerating / 2) / n (Apdex Alliance, Application Performance Index Technical Specification 1.1, 2007).
    """
    least = max(1, minimum_n)
    n = sums.scored
    # By position, in the order of the fields: by name would cost twice the time.
    return Score(
        *scope_key,
        window.name,
        at,
        version,
        sums.n,
        n,
        *_known(least, experience, n, sums.sum_x, sums.sum_xx),
        *_known(least, share, n, sums.negative),
        *_known(least, share, n, sums.neutral),
        *_known(least, share, n, sums.positive),
        sums.gap_sum / sums.gap_n if sums.gap_n >= least else None,
        sums.gap_broken / sums.gap_n if sums.gap_n >= least else None,
        sums.gap_n,
        *_known(least, nps, sums.nps_n, sums.nps_promoters, sums.nps_detractors),
        sums.nps_n,
        *_known(least, csat, sums.csat_n, sums.csat_top),
        sums.csat_n,
        *_known(least, ces, sums.ces_n, sums.ces_sum, sums.ces_sum2),
        sums.ces_n,
        (sums.wait_satisfied + sums.wait_tolerating / 2) / sums.wait_n if sums.wait_n >= least else None,
        sums.wait_n,
    )


def _known(least: int, metric: Callable[..., Estimate | None], n: int, *amounts: float) -> _Parts:
    return (metric(n, *amounts) if n >= least else None) or _UNKNOWN
