"""The dashboard `on-call`: what is wrong, since when, who is hurt, and why."""

from sinks.grafana import shared
from sinks.grafana.model import ALARM_STEPS, Json, dashboard, heading, lines, number, prom, rows, table
from sinks.grafana.shared import OF_TENANT, OF_TOUCHPOINTS, TENANT, TOUCHPOINTS
from sinks.prometheus import names

_OPEN = f"""
SELECT severity, kind, measure, touchpoint, following, segment, segment_value, since, before, now, unit, hurt,
    first_cause, explained, id
FROM corredor.open_incidents
WHERE {OF_TENANT}
"""
_CAUSES = f"""
SELECT touchpoint, kind, cause.segment AS segment, cause.value AS value, cause.explained AS explained,
    cause.before AS before, cause.now AS level_now, cause.n AS n
FROM corredor.all_incidents
ARRAY JOIN causes AS cause
WHERE status = 'open' AND {OF_TENANT}
ORDER BY explained DESC
"""
_PAST = f"""
SELECT touchpoint, measure, severity, status, since, until, lasted_s, hurt_customers, recovered_share, median_recovery_s
FROM corredor.incident_recovery
WHERE $__timeFilter(since) AND {OF_TENANT}
ORDER BY since DESC
"""
_WORST = f"""
SELECT time, touchpoint, x, outcome, subject, journey, segment, gap, wait_ms
FROM corredor.events
WHERE $__timeFilter(time) AND band = 'negative' AND {OF_TENANT} AND {OF_TOUCHPOINTS}
ORDER BY time DESC
LIMIT 100
"""


def _count(of: str, title: str, base: str = "green") -> Json:
    return number(title, prom(f"{of} or vector(0)"), steps=ALARM_STEPS, base=base)


def on_call() -> Json:
    """Open incidents and their causes, budgets, and the worst recent contacts."""
    at = f"{TENANT},{TOUCHPOINTS}"
    where = "{{kind}} {{measure}} {{touchpoint}} {{following}} {{segment_value}}"
    contacts = f"sum by (touchpoint) (rate({names.CONTACTS}{{{at}}}[$__rate_interval]))"
    negative = f"sum by (touchpoint) (rate({names.NEGATIVE}{{{at}}}[$__rate_interval]))"
    return dashboard(
        "corredor-on-call",
        "Corredor: on-call",
        "What is wrong, since when, who is hurt, and why.",
        [
            _count(f'count({names.DEPTH}{{{TENANT},severity="page"}})', "Pages"),
            _count(f'count({names.DEPTH}{{{TENANT},severity="ticket"}})', "Tickets"),
            _count(f"sum({names.HURT}{{{TENANT}}})", "Hurt beyond what is usual"),
            _count(f"sum({names.CUT_OFF}{{{TENANT}}})", "Touchpoints with a silent source"),
            table("Open incidents", rows(_OPEN), about="Those that page first."),
            table("What explains them", rows(_CAUSES), about="Segment values by their share of the change."),
            lines(
                "Depth",
                prom(f"{names.DEPTH}{{{at}}}", where),
                about="Shares: points worse than usual; waits and pile-ups: ratio to the usual.",
            ),
            lines(
                "Now, and before",
                prom(f"{names.NOW}{{{at}}}", f"now {where}"),
                prom(f"{names.BEFORE}{{{at}}}", f"before {where}"),
            ),
            heading("Objectives"),
            lines(
                "Budget left",
                prom(f"{names.BUDGET_LEFT}{{{TENANT}}}", "{{objective}}"),
                unit="percentunit",
                about="Over the time of each objective; below 0 it is used up.",
            ),
            lines(
                "Burn rate, last hour",
                prom(f'{names.BURN_RATE}{{{TENANT},window="1h"}}', "{{objective}}"),
                about="1 uses the budget up exactly at the end of the objective's time.",
            ),
            lines("Contacts per second", prom(contacts, "{{touchpoint}}"), unit="reqps", stacked=True),
            lines("Share of negative contacts", prom(f"{negative} / {contacts}", "{{touchpoint}}"), unit="percentunit"),
            heading("Look closer"),
            table("Newest negative contacts", rows(_WORST), about="Customers are pseudonymous."),
            table("Drops in the time shown", rows(_PAST), about="How long, how many were hurt, how many came back."),
        ],
        variables=[shared.tenant, shared.touchpoint],
        annotations=[shared.incidents],
        span="now-3h",
    )
