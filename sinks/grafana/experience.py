"""The dashboard `experience`: how each touchpoint, stage and the whole corridor feel."""

from sinks.grafana import shared
from sinks.grafana.model import (
    ALARM_STEPS,
    SCORE_STEPS,
    Json,
    bars,
    dashboard,
    heading,
    lines,
    number,
    prom,
    rows,
    series,
    table,
)
from sinks.grafana.shared import OF_TENANT, OF_TOUCHPOINTS, TENANT

_CORRIDOR = f'{{{TENANT},scope="corridor",window="$window"}}'
_SHOWN = "window = ${window:sqlstring} AND segment = '' AND " + OF_TENANT

_SCORES = f"""
SELECT $__timeInterval(at) AS time, name, avg(score) AS score
FROM corredor.score_history
WHERE $__timeFilter(at) AND scope = 'touchpoint' AND name IN (${{touchpoint:sqlstring}}) AND {_SHOWN}
GROUP BY time, name
ORDER BY time
"""
_BAND = f"""
SELECT $__timeInterval(at) AS time, avg(score_low) AS low, avg(score) AS score, avg(score_high) AS high
FROM corredor.score_history
WHERE $__timeFilter(at) AND scope = 'corridor' AND {_SHOWN}
GROUP BY time
ORDER BY time
"""
_NOW = f"""
SELECT p.label_en AS touchpoint, p.stage AS stage, s.score AS score, s.score_low AS low, s.score_high AS high,
    p.target_score AS target, s.n AS n, s.negative AS negative, s.gap AS gap, s.apdex AS apdex, s.at AS at
FROM (SELECT * FROM corredor.touchpoint_scores_now WHERE scope = 'touchpoint' AND {_SHOWN}) AS s
INNER JOIN corredor.touchpoints AS p ON p.touchpoint = s.name
ORDER BY score NULLS LAST
"""
_SEGMENTS = f"""
SELECT name AS touchpoint, segment, segment_value, score, score_low AS low, score_high AS high, n
FROM corredor.touchpoint_scores_now
WHERE scope = 'touchpoint' AND name IN (${{touchpoint:sqlstring}}) AND window = ${{window:sqlstring}}
    AND segment != '' AND {OF_TENANT} AND isNotNull(score)
ORDER BY score
LIMIT 50
"""
_SURVEYS = f"""
SELECT $__timeInterval(at) AS time, name, avg(nps) AS nps, avg(csat) AS csat
FROM corredor.scores
WHERE $__timeFilter(at) AND scope = 'touchpoint' AND (nps_n > 0 OR csat_n > 0) AND {_SHOWN}
    AND name IN (${{touchpoint:sqlstring}})
GROUP BY time, name
ORDER BY time
"""
_PROMISES = f"""
SELECT $__timeInterval(hour) AS time, touchpoint, sum(broken) / sum(promises) AS broken
FROM corredor.promise_gap
WHERE $__timeFilter(hour) AND segment = '' AND {OF_TENANT} AND {OF_TOUCHPOINTS}
GROUP BY time, touchpoint
ORDER BY time
"""


def experience() -> Json:
    """Scores now and over time, the splits that explain them, surveys and promises."""
    touchpoints = f'{{{TENANT},scope="touchpoint",name=~"$touchpoint",window="$window"}}'
    return dashboard(
        "corredor-experience",
        "Corredor: experience",
        "How each touchpoint, stage and the whole corridor feel, 0 to 100; without enough events there is no score.",
        [
            number(
                "Corridor",
                prom(f"corredor_score{_CORRIDOR}"),
                steps=SCORE_STEPS,
                base="red",
                about="Score of all contacts in the window that ends now.",
            ),
            number(
                "Negative contacts",
                prom(f"corredor_negative_ratio{_CORRIDOR}"),
                unit="percentunit",
                about="Share with x below 0.4.",
            ),
            number("Scored contacts", prom(f"corredor_score_events{_CORRIDOR}"), about="In the window that ends now."),
            number(
                "Open incidents",
                prom(f"count(corredor_incident_depth{{{TENANT}}}) or vector(0)"),
                steps=ALARM_STEPS,
                base="green",
            ),
            lines("Score of the corridor, with its 95 % interval", series(_BAND)),
            bars(
                "Stages",
                prom(f'corredor_score{{{TENANT},scope="stage",window="$window"}}', "{{name}}"),
                steps=SCORE_STEPS,
                base="red",
            ),
            heading("Touchpoints"),
            lines("Score", series(_SCORES)),
            lines(
                "Share of negative contacts",
                prom(f"corredor_negative_ratio{touchpoints}", "{{name}}"),
                unit="percentunit",
            ),
            table(
                "Touchpoints now",
                rows(_NOW),
                about="The newest score of the window, worst first, and what it should be.",
            ),
            table("Segments now, worst first", rows(_SEGMENTS)),
            heading("Asked and promised"),
            lines(
                "NPS and CSAT", series(_SURVEYS), about="NPS from -100 to 100; CSAT: share of the top two, 0 to 100."
            ),
            lines("Broken promises", series(_PROMISES), unit="percentunit", about="By hour."),
        ],
        variables=[shared.tenant, shared.touchpoint, shared.window],
        annotations=[shared.incidents],
    )
