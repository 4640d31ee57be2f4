"""The dashboard `corridor`: where customers go, wait, pile up and leave, and where to act first."""

from sinks.grafana import shared
from sinks.grafana.model import Json, dashboard, graph, heading, lines, rows, series, table
from sinks.grafana.shared import OF_TENANT, OF_TOUCHPOINTS

_WALKED = f"""$__timeFilter(bucket) AND segment = '' AND {OF_TENANT}"""
_BETWEEN = "touchpoint != '' AND NOT startsWith(following, '@')"
_NODES = f"""
SELECT t.id AS id, any(if(p.label_en = '', t.id, p.label_en)) AS title, round(any(s.score), 1) AS mainstat,
    any(p.stage) AS secondarystat
FROM
(
    SELECT DISTINCT arrayJoin([toString(touchpoint), toString(following)]) AS id
    FROM corredor.transitions
    WHERE {_WALKED} AND {_BETWEEN}
) AS t
LEFT JOIN corredor.touchpoints AS p ON p.touchpoint = t.id
LEFT JOIN
(
    SELECT name, score FROM corredor.touchpoint_scores_now
    WHERE scope = 'touchpoint' AND window = ${{window:sqlstring}} AND segment = '' AND {OF_TENANT}
) AS s ON s.name = t.id
GROUP BY id
"""
_EDGES = f"""
SELECT concat(touchpoint, ' > ', following) AS id, touchpoint AS source, following AS target, sum(n) AS mainstat,
    concat(toString(round(sum(wait_ms_sum) / greatest(sum(wait_n), 1) / 1000, 1)), ' s') AS secondarystat
FROM corredor.transitions
WHERE {_WALKED} AND {_BETWEEN}
GROUP BY touchpoint, following
"""
_TRANSITIONS = f"""
SELECT t.touchpoint AS touchpoint, t.following AS following, t.n AS n, t.resumed AS resumed,
    t.n / sumIf(t.n, t.following != '@gone') OVER (PARTITION BY t.touchpoint) AS share, t.wait_mean_s AS wait_mean_s
FROM
(
    SELECT touchpoint, following, sum(f.n) AS n, sum(f.resumed) AS resumed,
        sum(f.wait_ms_sum) / nullIf(sum(f.wait_n), 0) / 1000 AS wait_mean_s
    FROM corredor.transitions AS f
    WHERE {_WALKED} AND {OF_TOUCHPOINTS}
    GROUP BY touchpoint, following
) AS t
ORDER BY n DESC
"""
_ARRIVALS = f"""
SELECT $__timeInterval(bucket) AS time, following, sum(n) AS arrivals
FROM corredor.transitions
WHERE {_WALKED} AND following IN (${{touchpoint:sqlstring}})
GROUP BY time, following
ORDER BY time
"""
_ENDS = f"""
SELECT $__timeInterval(bucket) AS time, following, sum(n) AS journeys
FROM corredor.transitions
WHERE {_WALKED} AND following IN ('@goal', '@abandoned', '@stalled') AND {OF_TOUCHPOINTS}
GROUP BY time, following
ORDER BY time
"""
_WAITS = f"""
SELECT $__timeInterval(bucket) AS time, concat(touchpoint, ' > ', following) AS way,
    quantileExactWeighted(0.95)(wait_ms, n) / 1000 AS p95
FROM corredor.transition_waits
WHERE {_WALKED} AND {OF_TOUCHPOINTS}
GROUP BY time, way
ORDER BY time
"""
_PRIORITIES = f"""
SELECT touchpoint, priority, priority_low AS low, priority_high AS high, importance, arrivals, score, target_score,
    goal_chance, currency, priority_money / 100 AS money, bridging
FROM corredor.moments_of_truth
WHERE {OF_TENANT}
"""
_IMPORTANCE = f"""
SELECT at AS time, touchpoint, importance
FROM corredor.corridor FINAL
WHERE $__timeFilter(at) AND kind = 'touchpoint' AND {OF_TENANT} AND {OF_TOUCHPOINTS}
ORDER BY time
"""
_DRIFT = f"""
SELECT touchpoint, following, status, n, share, usual_share, first_seen, last_seen
FROM corredor.corridor_drift
WHERE {OF_TENANT}
"""


def corridor() -> Json:
    """The corridor as a graph, its transitions, waits and ends, priorities and drift."""
    return dashboard(
        "corredor-corridor",
        "Corredor: corridor",
        "Where customers go, wait, pile up and leave, and where to act first.",
        [
            graph(
                "The corridor",
                rows(_NODES),
                rows(_EDGES),
                about="Touchpoints with their score; ways with their volume and mean wait, in the time shown.",
            ),
            table("Ways", rows(_TRANSITIONS), about="Of the touchpoints chosen, ends included.", height=10),
            heading("Flow"),
            lines("Arrivals", series(_ARRIVALS), stacked=True),
            lines("Ends", series(_ENDS), about="Goals, customers who left, journeys that stalled."),
            lines("Wait between contacts, 95th percentile", series(_WAITS), unit="s"),
            lines(
                "Importance",
                series(_IMPORTANCE),
                unit="percentunit",
                about="Removal effect: the share of goals that would be lost without the touchpoint.",
            ),
            heading("Where to act"),
            table(
                "Priorities",
                rows(_PRIORITIES),
                about="Importance x volume x points below the target; money in major units of the currency.",
            ),
            table("Off the map", rows(_DRIFT), about="New, vanished and undeclared ways."),
        ],
        variables=[shared.tenant, shared.touchpoint, shared.window],
        annotations=[shared.incidents],
        refresh="30s",
    )
