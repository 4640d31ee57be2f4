"""Open incidents as alerts, and the helper that silences what a cut-off source feeds."""

from collections.abc import Iterator

from schemas.links import ALERTS
from sinks.prometheus import names, texts
from sinks.prometheus.names import Group, Rule

#: Of the labels of an incident those that an alert keeps; instance and job would change with the worker.
_KEPT = "id, tenant, kind, measure, touchpoint, following, segment, segment_value, severity"


def incident_group(runbooks: str) -> Group:
    """One rule for each thing that can get worse. Kind and severity are labels of the gauges and so of the alerts.

    The detectors have weighed the evidence already: there is no `for`.
    """
    return {"name": "corredor-incidents", "interval": "5s", "rules": [*_incidents(runbooks), _cut_off(runbooks)]}


def _incidents(runbooks: str) -> Iterator[Rule]:
    for measure, words in texts.MEASURES.items():
        alert = ALERTS[words.kind]
        open_now = f'last_over_time({names.DEPTH}{{kind="{words.kind}",measure="{measure}"}}[{names.REMEMBERED}])'
        yield {
            "alert": alert,
            "expr": f"max by ({_KEPT}) ({open_now})",
            "labels": {"measure": measure, **names.EXPERIENCE},
            "annotations": texts.incident(words).annotations(alert, runbooks),
        }


def _cut_off(runbooks: str) -> Rule:
    """Nobody is told of it: it inhibits the alerts of the touchpoints that a silent source feeds."""
    silent = f"max by (tenant, touchpoint, source) (last_over_time({names.CUT_OFF}[{names.REMEMBERED}]))"
    return {
        "alert": "CorredorCutOff",
        "expr": f"{silent} == 1",
        "labels": {"severity": "none", **names.EXPERIENCE},
        "annotations": texts.CUT_OFF.annotations("CorredorCutOff", runbooks),
    }
