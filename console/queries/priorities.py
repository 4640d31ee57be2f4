"""Where to act first: importance x volume x what the score falls short of its target."""

import msgspec

from console.store import Results

PRIORITIES = """
SELECT touchpoint, toInt64(at) AS at, window_s, arrivals, score, score_low, score_high, target_score, shortfall,
    goal_chance, importance, importance_low, importance_high, priority, priority_low, priority_high
FROM
(
    SELECT *
    FROM corredor.corridor FINAL
    WHERE tenant = {tenant:String} AND kind = 'touchpoint' AND at > toDateTime({at:Int64} - 3600, 'UTC')
    ORDER BY touchpoint, at DESC
    LIMIT 1 BY touchpoint
)
ORDER BY priority DESC NULLS LAST, touchpoint
"""


class Standing(msgspec.Struct, frozen=True):
    """Where a touchpoint stands; the units are those of corredor.touchpoint_standings."""

    touchpoint: str
    at: int
    window_s: int
    arrivals: int
    score: float | None
    score_low: float | None
    score_high: float | None
    target_score: float | None
    shortfall: float | None
    goal_chance: float | None
    importance: float | None
    importance_low: float | None
    importance_high: float | None
    priority: float | None
    priority_low: float | None
    priority_high: float | None


def priorities(results: Results, tenant: str, at: int) -> list[Standing]:
    """The touchpoints by priority, those without one last."""
    return results.read(Standing, PRIORITIES, tenant=tenant, at=at)
