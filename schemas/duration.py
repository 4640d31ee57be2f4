"""Lengths of time as people write them: `8s`, `5min`, `2h`, `3d`."""

import re

_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|min|h|d)\s*")
_UNIT_S = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


class Duration(float):
    """A length of time in seconds, written as a number with a unit: ms, s, min, h or d."""

    @classmethod
    def parse(cls, text: object) -> "Duration":
        """Read `8s`, `1.5h` and the like; anything else raises ValueError."""
        match = _DURATION.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise ValueError(f"`{text}` is no duration; write a number and a unit, such as 8s, 5min, 2h or 3d")
        seconds = float(match[1]) * _UNIT_S[match[2]]
        if seconds <= 0:
            raise ValueError(f"`{text}`: a duration must be longer than 0")
        return cls(seconds)

    def __str__(self) -> str:
        """As a map would have it, in the largest unit that gives a whole number; seconds where none does."""
        for unit, seconds in reversed(_UNIT_S.items()):
            if self >= seconds and self % seconds == 0:
                return f"{self / seconds:.0f}{unit}"
        return f"{float(self)!r}s"
