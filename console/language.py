"""What people read: texts in English and Spanish, numbers, times and durations as each language writes them."""

import tomllib
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Literal, get_args
from zoneinfo import ZoneInfo

from babel.core import Locale
from babel.dates import format_datetime
from babel.numbers import format_decimal, format_percent
from markupsafe import Markup

from schemas.corridor import CorridorMap

Language = Literal["en", "es"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
_FOLDER = Path(__file__).parent / "texts"
#: Up to which length (seconds) a unit is used, its length, its name in both languages.
_UNITS = (
    (0.95, 0.001, "ms"),
    (59.5, 1.0, "s"),
    (3570.0, 60.0, "min"),
    (84600.0, 3600.0, "h"),
    (float("inf"), 86400.0, "d"),
)


@cache
def texts(language: Language) -> dict[str, str]:
    """All texts of a language, by `section.name`."""
    sections = tomllib.loads((_FOLDER / f"{language}.toml").read_text("utf-8"))
    return {f"{section}.{name}": text for section, named in sections.items() for name, text in named.items()}


def chosen(cookie: str | None, accept: str) -> Language:
    """The language of a reader: what was chosen before, else the first that the browser accepts, else English."""
    if cookie in LANGUAGES:
        return cookie
    wanted = []
    for part in accept.split(","):
        name, _, quality = part.partition(";q=")
        try:
            weight = float(quality) if quality else 1.0
        except ValueError:
            weight = 0.0
        wanted.append((-weight, name.strip().partition("-")[0].lower()))
    for weight, name in sorted(wanted, key=lambda one: one[0]):
        if name in LANGUAGES and weight < 0:
            return name
    return "en"


class Speech:
    """Says things in one language. Times are those of the zone where the customers live."""

    def __init__(self, language: Language, chart: CorridorMap) -> None:
        self.language = language
        self.zone = chart.detection.time_zone
        self._texts = texts(language)
        self._locale = Locale(language)
        self._zone = ZoneInfo(self.zone)
        self._labels = {one.name: one.label.es if language == "es" else one.label.en for one in chart.touchpoints}
        self._segments = {one.name: one.label.es if language == "es" else one.label.en for one in chart.segments}

    def __call__(self, key: str, **values: object) -> str:
        """The text of a key, with `{name}` filled in. Raises KeyError for one that does not exist."""
        return self._texts[key].format(**values) if values else self._texts[key]

    def has(self, key: str) -> bool:
        """Whether there is such a text."""
        return key in self._texts

    def place(self, name: str) -> str:
        """The label of a touchpoint; its name where the map does not have it."""
        return self._labels.get(name, name)

    def segment(self, name: str) -> str:
        """The label of a segment."""
        return self._segments.get(name, name)

    def number(self, value: float | None, digits: int = 0) -> str:
        """A number with so many decimals; a dash for none."""
        if value is None:
            return "–"
        pattern = "#,##0." + "0" * digits if digits else "#,##0"
        return format_decimal(value, pattern, self._locale)

    def percent(self, share: float | None, digits: int = 0) -> str:
        """A share of 0 to 1 as per cent; a dash for none."""
        if share is None:
            return "–"
        pattern = "#,##0" + ("." + "0" * digits if digits else "") + " %"
        return format_percent(share, pattern, self._locale)

    def between(self, low: float | None, high: float | None, digits: int = 0) -> str:
        """An interval, `81 to 86`; empty for none."""
        if low is None or high is None:
            return ""
        return self("unit.between", low=self.number(low, digits), high=self.number(high, digits))

    def seconds(self, length: float | None) -> str:
        """A duration with two or three digits: `350 ms`, `1.2 s`, `21 s`, `3.5 min`, `2.1 h`, `12 d`."""
        if length is None:
            return "–"
        _, unit_s, unit = next(row for row in _UNITS if length < row[0])
        value = length / unit_s
        return f"{self.number(value, 1 if value < 9.95 and unit != 'ms' else 0)} {unit}"

    def ms(self, length: float | None) -> str:
        """A duration that is given in milliseconds."""
        return self.seconds(None if length is None else length / 1000)

    def level(self, value: float, unit: str) -> str:
        """The level of an incident in its unit."""
        match unit:
            case "share":
                return self.percent(value, 1)
            case "ms":
                return self.ms(value)
            case "per_s":
                return f"{self.number(value, 2)}/s"
            case _:
                return self.number(value, 2)

    def clock(self, at: float) -> str:
        """Time of day."""
        return self._written(at, "HH:mm:ss")

    def moment(self, at: float) -> Markup:
        """Date and time as HTML, machine-readable too."""
        iso = datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
        return Markup('<time datetime="{}">{}</time>').format(iso, self._written(at, "d MMM HH:mm:ss"))

    def tick(self, at: float, span_s: float) -> str:
        """A moment on the axis of a chart that covers so many seconds."""
        return self._written(at, "HH:mm:ss" if span_s < 600 else "HH:mm" if span_s < 36 * 3600 else "d MMM")

    def _written(self, at: float, pattern: str) -> str:
        return format_datetime(datetime.fromtimestamp(at, UTC), pattern, tzinfo=self._zone, locale=self._locale)
