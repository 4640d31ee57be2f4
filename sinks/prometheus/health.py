"""The pipeline's own health as alerts: is it there, does it keep up, does it store, is what comes in right?

A silent source has no rule here: how long it may be silent depends on its rate at that hour of the week, which the
detectors know. It is an incident (`CorredorSilence`).
"""

from sinks.prometheus import names, texts
from sinks.prometheus.names import Group, Rule

#: More records than this behind, and still more than ten minutes ago: it does not keep up.
BEHIND_RECORDS = 1000
#: No checkpoint, or nothing written, for this long while there is work: stuck. Seconds.
STUCK_S = 60
#: This share of events rejected, and at least so many of them.
REJECTED_SHARE, REJECTED_LEAST = 0.05, 20
#: This share of the time spent waiting for another part.
WAITING_SHARE = 0.9

_PROCESS = "instance, process"


def health_group(runbooks: str) -> Group:
    """Rules for workers and sinks, scraped each by itself or all through `corredor run`."""
    rules = [
        _alert("CorredorNoWorker", _none(names.WORKER_JOB, "worker-.*"), "1m", "page", runbooks),
        _alert("CorredorWorkerDown", _worker_down(), "2m", "ticket", runbooks),
        _alert("CorredorCheckpointStuck", _checkpoint_stuck(), "2m", "page", runbooks),
        _alert("CorredorLagGrowing", _growing(names.LAG), "5m", "ticket", runbooks),
        _alert("CorredorEventsRejected", _rejected(), "5m", "ticket", runbooks),
        _alert("CorredorNoSink", _none(names.SINK_JOB, "sink"), "2m", "ticket", runbooks),
        _alert("CorredorSinkStuck", _sink_stuck(), "2m", "ticket", runbooks),
        _alert("CorredorSinkLagGrowing", _growing(names.SINK_LAG), "5m", "ticket", runbooks),
        _alert("CorredorWaiting", _waiting(), "5m", "ticket", runbooks),
    ]
    return {"name": "corredor-pipeline", "interval": "15s", "rules": rules}


def _alert(name: str, expr: str, lasting: str, severity: str, runbooks: str) -> Rule:
    return {
        "alert": name,
        "expr": expr,
        "for": lasting,
        "labels": {"severity": severity, **names.PIPELINE},
        "annotations": texts.HEALTH[name].annotations(name, runbooks),
    }


def _none(job: str, process: str) -> str:
    """Nobody answers: no target of its own is up, nor a child of a `corredor run`, which is scraped as a whole."""
    child = f'max({names.PROCESS_UP}{{process=~"{process}"}})'
    return f'(absent(up{{job="{job}"}} == 1) unless on () {child} == 1)\nor\n{child} == 0'


def _worker_down() -> str:
    return f'up{{job="{names.WORKER_JOB}"}} == 0\nor\n{names.PROCESS_UP}{{process=~"worker-.*"}} == 0'


def _checkpoint_stuck() -> str:
    """Idle workers make no checkpoint, so there must be something to read."""
    age = f"time() - max by ({_PROCESS}) ({names.LAST_CHECKPOINT}) > {STUCK_S}"
    return f"{age}\nand\nsum by ({_PROCESS}) ({names.LAG}) > 0"


def _growing(lag: str) -> str:
    return f"sum by (topic) ({lag}) > {BEHIND_RECORDS}\nand\nsum by (topic) ({lag}) > sum by (topic) ({lag} offset 10m)"


def _rejected() -> str:
    rejected = f'sum(increase({names.EVENTS}{{state="rejected"}}[15m]))'
    return f"{rejected} / sum(increase({names.EVENTS}[15m])) > {REJECTED_SHARE}\nand\n{rejected} >= {REJECTED_LEAST}"


def _sink_stuck() -> str:
    """One that has never written anything is as stuck as one that no longer does."""
    lag = f"sum by ({_PROCESS}) ({names.SINK_LAG})"
    last = f"(max by ({_PROCESS}) ({names.SINK_LAST_WRITE}) or 0 * {lag})"
    return f"time() - {last} > {STUCK_S}\nand\n{lag} > 0"


def _waiting() -> str:
    waited = f'rate({names.WAITING}{{for=~"kafka|clickhouse"}}[5m])'
    return f"max by (for, {_PROCESS}) ({waited}) > {WAITING_SHARE}"
