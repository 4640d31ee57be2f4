"""Every name the rules use, in one place: metrics they read, series they record, labels, and the shape of a rule."""

import json
from collections.abc import Mapping
from typing import Any

# What a worker counts: scored contacts, and the negative ones among them.
CONTACTS = "corredor_contacts_total"
NEGATIVE = "corredor_negative_contacts_total"
IMPORTANCE = "corredor_touchpoint_importance"

# Open incidents, one series each.
DEPTH = "corredor_incident_depth"
BEFORE = "corredor_incident_before"
NOW = "corredor_incident_now"
HURT = "corredor_incident_hurt"
SINCE = "corredor_incident_since_timestamp_seconds"
CAUSE = "corredor_incident_cause_ratio"
CUT_OFF = "corredor_cut_off"

# The pipeline.
PROCESS_UP = "corredor_process_up"
EVENTS = "corredor_events_total"
REJECTED = "corredor_rejected_events_total"
LAG = "corredor_lag_records"
LAST_CHECKPOINT = "corredor_last_checkpoint_timestamp_seconds"
SINK_LAG = "corredor_sink_lag_records"
SINK_LAST_WRITE = "corredor_sink_last_write_timestamp_seconds"
WAITING = "corredor_waiting_seconds_total"
WORKER_JOB, SINK_JOB = "corredor-worker", "corredor-sink"

# What the rules record. Labels: objective, scope, tenant, window; touchpoint or stage where the objective is about one.
WEIGHT = "corredor:touchpoint_importance:max"
CONTACTS_5M = "corredor:objective_contacts:increase5m"
NEGATIVE_5M = "corredor:objective_negative:increase5m"
EVIDENCE_5M = "corredor:objective_evidence:increase5m"
SHARE = "corredor:objective_negative:ratio"
BURN_RATE = "corredor:objective_burn_rate:ratio"
EVIDENCE = "corredor:objective_evidence:increase"
BUDGET_LEFT = "corredor:objective_budget_left:ratio"
TARGET = "corredor:objective_target:ratio"

#: For routes: what an alert is about.
EXPERIENCE: dict[str, str] = {"corredor": "experience"}
PIPELINE: dict[str, str] = {"corredor": "pipeline"}
#: How long a gauge of an incident is remembered: a worker that starts again must not end its alerts.
REMEMBERED = "1m"

Rule = dict[str, Any]
Group = dict[str, Any]


def selector(labels: Mapping[str, str]) -> str:
    """Labels as PromQL selects them: `{a="b"}`, or nothing where there are none."""
    # A JSON string is a PromQL string: both escape quotes, backslashes and control signs alike.
    pairs = ",".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in labels.items())
    return f"{{{pairs}}}" if pairs else ""


def duration(seconds: float) -> str:
    """A length of time as PromQL writes it, in the largest unit that fits: 5m, 1h, 3d; milliseconds at the smallest."""
    milliseconds = round(seconds * 1000)
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms"


def literal(text: str) -> str:
    """A text as a template that gives just this text: labels of alerts are templates."""
    return text.replace("{{", '{{ "{{" }}')


def record(name: str, expr: str, labels: Mapping[str, str] | None = None) -> Rule:
    """A recording rule."""
    return {"record": name, "expr": expr, **({"labels": dict(labels)} if labels else {})}
