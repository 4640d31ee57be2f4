"""What alerts say, in English and Spanish, as Prometheus templates."""

from typing import NamedTuple

from schemas.incident import Kind, Measured
from schemas.links import runbook
from schemas.objective import Objective
from sinks.prometheus import names
from sinks.prometheus.names import duration


class Text(NamedTuple):
    """A line and a paragraph, in both languages."""

    summary: str
    description: str
    summary_es: str
    description_es: str

    def annotations(self, alert: str, runbooks: str) -> dict[str, str]:
        """As annotations of an alert; `runbooks` is the address below which the pages lie."""
        return {**self._asdict(), "runbook_url": runbook(alert, runbooks)}


class Words(NamedTuple):
    """How one measure of incidents is said."""

    kind: Kind
    what: str
    what_es: str
    #: Whom it hurts.
    hurt: str
    hurt_es: str
    #: What a level is multiplied by before it is shown, and how it is shown.
    factor: float
    form: str


_PERCENT = 'printf "%.3g %%"'
_NUMBER = 'printf "%.3g"'
MEASURES: dict[Measured, Words] = {
    "negative": Words(
        "drop",
        "negative contacts",
        "contactos negativos",
        "contacts hurt beyond what is usual",
        "contactos perjudicados más de lo habitual",
        100,
        _PERCENT,
    ),
    "broken_promise": Words(
        "drop",
        "broken promises",
        "promesas incumplidas",
        "promises broken beyond what is usual",
        "promesas incumplidas más de lo habitual",
        100,
        _PERCENT,
    ),
    "stopped": Words(
        "blockage",
        "journeys that stop here",
        "recorridos que se detienen aquí",
        "journeys stopped beyond what is usual",
        "recorridos detenidos más de lo habitual",
        100,
        _PERCENT,
    ),
    "wait": Words(
        "congestion",
        "typical wait",
        "espera típica",
        "journeys that waited",
        "recorridos que esperaron",
        0.001,
        "humanizeDuration",
    ),
    "pile_up": Words(
        "congestion",
        "arrivals for each departure",
        "llegadas por cada salida",
        "journeys more than usual are waiting here",
        "recorridos más de lo habitual esperan aquí",
        1,
        _NUMBER,
    ),
    "rate": Words(
        "silence",
        "events a minute from this source",
        "eventos por minuto de esta fuente",
        "events are missing",
        "eventos faltan",
        60,
        _NUMBER,
    ),
}

_TENANT = '{{ if ne $labels.tenant "default" }}{{ $labels.tenant }}: {{ end }}'
_PLACE = (
    "{{ $labels.touchpoint }}{{ if $labels.following }} -> {{ $labels.following }}{{ end }}"
    "{{ if $labels.segment }} ({{ $labels.segment }} = {{ $labels.segment_value }}){{ end }}"
)


def _asked(query: str, arguments: str, then: str) -> str:
    """A template that asks Prometheus and shows the first value, or `?` where there is none."""
    return f"{{{{ with printf `{query}` {arguments} | query }}}}{{{{ {then} }}}}{{{{ else }}}}?{{{{ end }}}}"


def _of_incident(metric: str, then: str, factor: float = 1) -> str:
    times = f"{factor:g} * " if factor != 1 else ""
    query = f"{times}max(last_over_time({metric}{{id=%q}}[{names.REMEMBERED}]))"
    return _asked(query, "$labels.id", f". | first | value | {then}")


def _causes(lead: str, of_the_change: str, none: str) -> str:
    """Up to three causes with the share of the change that each explains, the largest first."""
    explained = f"max by (segment, value) (last_over_time({names.CAUSE}{{id=%q}}[{names.REMEMBERED}]))"
    query = f"sort_desc(topk(3, 100 * {explained}))"
    one = '{{ .Labels.segment }} = {{ .Labels.value }} ({{ .Value | printf "%.0f" }} % ' + of_the_change + ")"
    each = "{{ range $i, $cause := . }}{{ if $i }}, {{ end }}{{ with $cause }}" + one + "{{ end }}{{ end }}"
    return f"{{{{ with printf `{query}` $labels.id | query }}}}{lead}{each}.{{{{ else }}}}{none}{{{{ end }}}}"


def incident(words: Words) -> Text:
    """What an open incident of one measure says."""
    before = _of_incident(names.BEFORE, words.form, words.factor)
    now = _of_incident(names.NOW, words.form, words.factor)
    hurt = _of_incident(names.HURT, 'printf "%.0f"')
    since = _of_incident(names.SINCE, "humanizeTimestamp")
    causes = _causes("Causes: ", "of the change", "No segment stands out.")
    causes_es = _causes("Causas: ", "del cambio", "Ningún segmento destaca.")
    return Text(
        f"{_TENANT}{_PLACE}: {words.what} {before} -> {now}",
        f"Since {since}, {words.what}: {before} before, {now} now. {hurt} {words.hurt}. {causes}",
        f"{_TENANT}{_PLACE}: {words.what_es} {before} -> {now}",
        f"Desde {since}, {words.what_es}: {before} antes, {now} ahora. {hurt} {words.hurt_es}. {causes_es}",
    )


def burn(objective: Objective, window: float) -> Text:
    """What an objective's alert says; `window` (seconds) is the one whose share is told."""
    long, over = duration(window), duration(objective.over)
    allowed = f"{100 - objective.target:.6g} %"
    of = {
        "touchpoint": ("at {{ $labels.touchpoint }}", "en {{ $labels.touchpoint }}"),
        "stage": ("of the stage {{ $labels.stage }}", "de la etapa {{ $labels.stage }}"),
        "corridor": ("in the whole corridor", "en todo el corredor"),
        "journey": (
            "in the whole corridor, weighted by importance,",
            "en todo el corredor, ponderados por su importancia,",
        ),
    }[objective.scope]
    mine = "objective=%q,tenant=%q"
    which = "$labels.objective $labels.tenant"
    in_window = f'{mine},window="{long}"'
    share = _asked(f"100 * {names.SHARE}{{{in_window}}}", which, f". | first | value | {_PERCENT}")
    bad = _asked(f"{names.EVIDENCE}{{{in_window}}}", which, '. | first | value | printf "%.0f"')
    left = _asked(f"100 * {names.BUDGET_LEFT}{{{mine}}}", which, f". | first | value | {_PERCENT}")
    lasts = _asked(f"{objective.over:.12g} / %f", "$value", ". | first | value | humanizeDuration")
    return Text(
        f"{_TENANT}{{{{ $labels.objective }}}}: the budget burns {{{{ $value | humanize }}}} times as fast as planned",
        f"Of the contacts {of[0]} {share} were negative in the last {long} ({bad} contacts); the objective allows "
        f"{allowed}. At this speed the budget of {over} lasts {lasts}; left of it: {left}.",
        f"{_TENANT}{{{{ $labels.objective }}}}: el presupuesto se gasta {{{{ $value | humanize }}}} veces más rápido "
        "de lo previsto",
        f"De los contactos {of[1]} {share} fueron negativos en la última ventana de {long} ({bad} contactos); el "
        f"objetivo permite {allowed}. A este ritmo el presupuesto de {over} dura {lasts}; queda de él: {left}.",
    )


CUT_OFF = Text(
    "{{ $labels.touchpoint }} is cut off: its source {{ $labels.source }} is silent",
    "Nobody is told. Alerts of this touchpoint are held back while its source is silent.",
    "{{ $labels.touchpoint }} está incomunicado: su fuente {{ $labels.source }} calla",
    "No se avisa a nadie. Las alertas de este punto de contacto se retienen mientras su fuente calla.",
)

_WHO = "{{ $labels.instance }}{{ if $labels.process }} ({{ $labels.process }}){{ end }}"
HEALTH: dict[str, Text] = {
    "CorredorNoWorker": Text(
        "No worker runs: nothing is scored, nobody would be paged",
        "No worker answers. Events wait in Kafka; nothing is lost as long as Kafka keeps them.",
        "No hay ningún worker en marcha: nada se puntúa, nadie recibiría avisos",
        "Ningún worker responde. Los eventos esperan en Kafka; nada se pierde mientras Kafka los conserve.",
    ),
    "CorredorWorkerDown": Text(
        f"Worker {_WHO} does not answer",
        "The others have taken over its partitions.",
        f"El worker {_WHO} no responde",
        "Los demás se han hecho cargo de sus particiones.",
    ),
    "CorredorCheckpointStuck": Text(
        f"Worker {_WHO} has events to read and has made no checkpoint for {{{{ $value | humanizeDuration }}}}",
        "Scores and incidents stand still. Nothing is lost: what is not acknowledged is read again.",
        f"El worker {_WHO} tiene eventos por leer y ningún punto de control desde hace "
        "{{ $value | humanizeDuration }}",
        "Las puntuaciones y los incidentes están parados. Nada se pierde: lo no confirmado se vuelve a leer.",
    ),
    "CorredorLagGrowing": Text(
        "The workers fall behind on {{ $labels.topic }}: {{ $value | humanize }} records",
        "More comes in than is read, for longer than ten minutes. Scores and alerts come late.",
        "Los workers se retrasan en {{ $labels.topic }}: {{ $value | humanize }} registros",
        "Llega más de lo que se lee desde hace más de diez minutos. Las puntuaciones y los avisos llegan tarde.",
    ),
    "CorredorEventsRejected": Text(
        "{{ $value | humanizePercentage }} of the events are rejected",
        "In the last 15 minutes, by reason: "
        "{{ range printf `sort_desc(sum by (reason) (increase("
        + names.REJECTED
        + "[15m])) > 0)` | query }}{{ .Labels.reason }} {{ .Value | humanize }}; {{ end }}"
        "read the view `rejections` for the events themselves.",
        "Se rechaza el {{ $value | humanizePercentage }} de los eventos",
        "En los últimos 15 minutos, por motivo: "
        "{{ range printf `sort_desc(sum by (reason) (increase("
        + names.REJECTED
        + "[15m])) > 0)` | query }}{{ .Labels.reason }} {{ .Value | humanize }}; {{ end }}"
        "los eventos mismos están en la vista `rejections`.",
    ),
    "CorredorNoSink": Text(
        "No sink runs: nothing new reaches ClickHouse",
        "Scores and alerts go on. Tables stand still; the rows wait in Kafka.",
        "No hay ningún sink en marcha: nada nuevo llega a ClickHouse",
        "Las puntuaciones y los avisos siguen. Las tablas están paradas; las filas esperan en Kafka.",
    ),
    "CorredorSinkStuck": Text(
        f"Sink {_WHO} has rows waiting and writes nothing",
        "Tables stand still; the rows wait in Kafka. Scores and alerts go on.",
        f"El sink {_WHO} tiene filas en espera y no escribe nada",
        "Las tablas están paradas; las filas esperan en Kafka. Las puntuaciones y los avisos siguen.",
    ),
    "CorredorSinkLagGrowing": Text(
        "The sinks fall behind on {{ $labels.topic }}: {{ $value | humanize }} records",
        "More comes in than ClickHouse takes, for longer than ten minutes. What BI shows is old.",
        "Los sinks se retrasan en {{ $labels.topic }}: {{ $value | humanize }} registros",
        "Llega más de lo que ClickHouse acepta desde hace más de diez minutos. Lo que muestra BI es antiguo.",
    ),
    "CorredorWaiting": Text(
        f'{_WHO} waits for {{{{ index $labels "for" }}}} most of the time',
        "For five minutes and longer, {{ $value | humanizePercentage }} of the time. Its log says for what of it.",
        f'{_WHO} espera a {{{{ index $labels "for" }}}} la mayor parte del tiempo',
        "Desde hace cinco minutos o más, el {{ $value | humanizePercentage }} del tiempo. Su registro dice qué espera.",
    ),
}
