"""Times of exports: many formats, naive wall-clock times in a named zone, and the two hours a year that need a rule.

- A naive time that happens twice (clocks go back) is the earlier of the two moments, or the later if the mapping says
  `ambiguous: later`.
- A naive time that never happens (clocks go forward) is moved forward by the gap, as PEP 495 does.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sources.mapping_spec import Ambiguous

Parse = Callable[[object], datetime]
_EPOCHS = {"epoch_s": 1.0, "epoch_ms": 0.001}
#: Milliseconds in each unit of time.
UNIT_MS = {"ms": 1.0, "s": 1000.0, "min": 60_000.0, "h": 3_600_000.0, "d": 86_400_000.0}


def zone(name: str | None) -> ZoneInfo | None:
    """The named zone of the IANA database; an unknown name raises ValueError."""
    try:
        return None if name is None else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError(f"`{name}` is no time zone; write an IANA name such as America/Sao_Paulo or UTC") from None


def duration(text: str | None) -> timedelta:
    """`1d`, `-30min` and the like; None is no time at all."""
    if text is None:
        return timedelta()
    number = text.rstrip("msinhd ")
    return timedelta(milliseconds=float(number.replace(" ", "")) * UNIT_MS[text[len(number) :].strip()])


#: Characters of a time, at most: what was read before is remembered.
_LONGEST = 100


@lru_cache(maxsize=256)
def time_parser(formats: tuple[str, ...], timezone: str | None, ambiguous: Ambiguous, add: str | None) -> Parse:
    """A function from a cell (text, datetime, date or epoch number) to a moment in UTC.

    Columns that are written alike share one function and what it has read before.
    The function raises ValueError for what no format fits, and for naive times without a zone.
    """
    naive_zone, fold, shift = zone(timezone), int(ambiguous == "later"), duration(add)

    def place(moment: datetime) -> datetime:
        moment += shift
        if moment.tzinfo is None:
            if naive_zone is None:
                raise ValueError("has no time zone: name one with `timezone` in the mapping")
            moment = moment.replace(tzinfo=naive_zone, fold=fold)
        return moment.astimezone(UTC)

    @lru_cache(maxsize=65_536)
    def parse_text(text: str) -> datetime:
        for form in formats:
            moment = _read(text, form)
            if moment is not None:
                return place(moment)
        raise ValueError(f"fits no format of {', '.join(formats)}")

    def parse(cell: object) -> datetime:
        try:
            if isinstance(cell, str):
                if len(cell) > _LONGEST:
                    raise ValueError(f"is longer than {_LONGEST} characters: no time")
                return parse_text(cell)
            if isinstance(cell, datetime):
                return place(cell)
            if isinstance(cell, date):
                return place(datetime(cell.year, cell.month, cell.day))
            scale = next((_EPOCHS[form] for form in formats if form in _EPOCHS), None)
            if scale is not None and isinstance(cell, int | float):
                return place(_epoch(cell * scale))
        except OverflowError:
            raise ValueError("lies outside the years 1 to 9999") from None
        raise ValueError(f"is {type(cell).__name__}, not a time (name `format: epoch_s` or `epoch_ms` for numbers)")

    return parse


def _read(text: str, form: str) -> datetime | None:
    """`text` in one format, or None where it does not fit."""
    try:
        if form == "iso":
            return datetime.fromisoformat(text.strip())
        if form in _EPOCHS:
            return _epoch(float(text) * _EPOCHS[form])
        return datetime.strptime(text.strip(), form)
    except ValueError:
        return None


def _epoch(seconds: float) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
