"""What several dashboards have in common: the variables tenant, touchpoint and window, and the marks of incidents."""

from schemas.score import WINDOWS
from sinks.grafana.model import choice, marks, options

#: In SQL: the tenant chosen, and the touchpoints chosen.
OF_TENANT = "tenant = ${tenant:sqlstring}"
OF_TOUCHPOINTS = "touchpoint IN (${touchpoint:sqlstring})"
#: In PromQL, as labels.
TENANT = 'tenant="$tenant"'
TOUCHPOINTS = 'touchpoint=~"$touchpoint"'

tenant = choice("tenant", "Tenant", "SELECT DISTINCT tenant FROM corredor.corridor ORDER BY tenant", first="default")
touchpoint = choice("touchpoint", "Touchpoint", "SELECT touchpoint FROM corredor.touchpoints", several=True)
window = options("window", "Window", [one.name for one in WINDOWS], "1h")
incidents = marks(
    "Incidents",
    "SELECT since AS time, if(status = 'resolved', ended_at, updated_at) AS timeEnd, "
    "concat(kind, ' at ', touchpoint) AS title, concat(severity, ', ', measure, ', hurt: ', toString(hurt)) AS text, "
    "kind AS tags "
    f"FROM corredor.all_incidents WHERE $__timeFilter(since) AND {OF_TENANT} ORDER BY time",
)
