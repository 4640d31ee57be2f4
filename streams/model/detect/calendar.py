"""Hours of the week, counted where the customers live."""

from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

#: Time zones differ by multiples of this, seconds.
_QUARTER_S = 900


def hour_of_week(at: int, time_zone: str) -> int:
    """0 (Monday, midnight) to 167 at epoch second `at`, on the clocks of an IANA time zone."""
    return _hour(at // _QUARTER_S, time_zone)


@lru_cache(maxsize=1024)
def _hour(quarter: int, time_zone: str) -> int:
    local = datetime.fromtimestamp(quarter * _QUARTER_S, ZoneInfo(time_zone))
    return local.weekday() * 24 + local.hour
