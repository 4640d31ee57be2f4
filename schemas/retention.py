"""How long topics and tables keep their content: what the setting `retention` may say.

`touchpoint.events=7d,touchpoint_events=400d,incidents=forever`: names of topics (they have a dot) and of ClickHouse
tables, each with a duration. What is not named keeps what it has.
"""

from collections.abc import Mapping
from math import inf

from schemas import topics
from schemas.duration import Duration
from schemas.score import WINDOWS

#: Tables with rows that end, and the column (of type DateTime or DateTime64) their age is counted from.
TABLES: Mapping[str, str] = {
    "touchpoint_events": "received_at",
    "rejected_events": "received_at",
    "experience_slices": "inserted_at",
    "experience_scores": "inserted_at",
    "journeys": "inserted_at",
    "incidents": "inserted_at",
    "corridor": "inserted_at",
}
_HOUR_S, _DAY_S = 3600.0, 86_400.0
#: A sink or worker that was away must find what it has not read yet.
_LEAST_S = _HOUR_S
#: Beyond it ClickHouse's 32-bit times would turn over and rows would go at once.
_MOST_S = 30 * 365 * _DAY_S
_TOPICS: Mapping[str, topics.Topic] = {topic.name: topic for topic in topics.ALL}
_WINDOW_S = float(max(window.length_s for window in WINDOWS))


def parse(value: object) -> dict[str, float]:
    """Seconds by name, infinite for `forever`; the setting's text, or a table of a TOML file. Raises ValueError."""
    if isinstance(value, Mapping):
        pairs = [(str(name), duration) for name, duration in value.items()]
    elif isinstance(value, str):
        pairs = [_pair(part) for part in value.split(",") if part.strip()]
    else:
        raise ValueError("write name=duration pairs, such as touchpoint.events=7d,touchpoint_events=400d")
    found: dict[str, float] = {}
    for name, duration in pairs:
        if name in found:
            raise ValueError(f"{name} is given twice")
        found[name] = _seconds(name, duration)
    return found


def text(kept: Mapping[str, float]) -> str:
    """The setting's text, as `parse` reads it."""
    return ",".join(f"{name}={'forever' if seconds == inf else Duration(seconds)}" for name, seconds in kept.items())


def check_slices(seconds: float, allowed_lateness: float) -> None:
    """`experience.slices` has to hold the longest window, and what may still come late. Raises ValueError."""
    least = _WINDOW_S + allowed_lateness
    if seconds < least:
        raise ValueError(
            f"{topics.SLICES.name}={Duration(seconds)} is too short: scores are read back from it; it must hold the "
            f"longest window ({Duration(_WINDOW_S)}) and the map's allowed lateness ({Duration(allowed_lateness)}); "
            f"give at least {Duration(least)}"
        )


def _pair(part: str) -> tuple[str, str]:
    name, sign, duration = part.partition("=")
    if not sign:
        raise ValueError(f"`{part.strip()}` is no name=duration pair, such as touchpoint_events=400d")
    return name.strip(), duration.strip()


def _seconds(name: str, duration: object) -> float:
    topic = _TOPICS.get(name)
    if topic is None and name not in TABLES:
        raise ValueError(f"there is no topic or table {name}; there are {', '.join([*_kept_topics(), *TABLES])}")
    if topic is not None and "delete" not in topic.cleanup:
        raise ValueError(f"{name} is compacted: it keeps the newest value of each key for as long as that is in use")
    if duration == "forever":
        if topic is not None:
            raise ValueError(f"{name}: a topic ends some time; give a duration such as 7d, `forever` is for tables")
        return inf
    try:
        seconds = float(Duration.parse(duration))
    except ValueError as error:
        raise ValueError(f"{name}: {error}{'' if topic else ', or forever'}") from None
    least = _least(name)
    if seconds < least:
        raise ValueError(f"{name}={duration} is shorter than the pipeline needs; give at least {Duration(least)}")
    if seconds > _MOST_S:
        end = "" if topic else ", or forever"
        raise ValueError(f"{name}={duration} is longer than 30 years; give at most {Duration(_MOST_S)}{end}")
    return seconds


def _least(name: str) -> float:
    if name == topics.SLICES.name:
        return _WINDOW_S
    if name == topics.FORGET.name:
        # A request that nobody finishes must not fall into oblivion itself.
        return 30 * _DAY_S
    return _LEAST_S if name in _TOPICS else _DAY_S


def _kept_topics() -> list[str]:
    return [topic.name for topic in topics.ALL if "delete" in topic.cleanup]
