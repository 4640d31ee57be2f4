"""When customers come: the hours of a day and the days of a week."""

#: Arrivals by hour of the day (UTC), from midnight: a quiet night, a lunch peak, an evening peak.
_HOURS = (
    0.28, 0.16, 0.10, 0.08, 0.09, 0.18, 0.40, 0.68, 0.95, 1.15, 1.28, 1.36,
    1.45, 1.38, 1.24, 1.20, 1.25, 1.38, 1.55, 1.72, 1.80, 1.66, 1.12, 0.62,
)  # fmt: skip
#: Arrivals by day of the week, from Monday.
_DAYS = (1.02, 0.96, 0.95, 0.97, 1.08, 1.12, 0.90)
_HOUR_MEAN = sum(_HOURS) / len(_HOURS)
_DAY_MEAN = sum(_DAYS) / len(_DAYS)
_BY_HOUR = tuple(value / _HOUR_MEAN for value in _HOURS)
_BY_DAY = tuple(value / _DAY_MEAN for value in _DAYS)
#: No moment is busier than this many times the mean.
BUSIEST = max(_BY_HOUR) * max(_BY_DAY)


def load(at: float) -> float:
    """How busy it is at `at` (epoch seconds, UTC) against the weekly mean of 1; straight lines between the hours."""
    hours = at / 3600.0
    whole = int(hours // 1)
    part = hours - whole
    hour = whole % 24
    # 1 January 1970 was a Thursday, day 3 from Monday.
    day = (whole // 24 + 3) % 7
    return (_BY_HOUR[hour] * (1.0 - part) + _BY_HOUR[(hour + 1) % 24] * part) * _BY_DAY[day]
