"""A rolling-window score: one message of `experience.scores`, one row of `experience_scores`."""

from typing import Literal

from msgspec import Struct

Scope = Literal["touchpoint", "channel", "stage", "corridor"]
WindowName = Literal["5m", "1h", "24h"]


class Window(Struct, frozen=True):
    """A window of `length_s` seconds whose end moves in steps of `hop_s` seconds."""

    name: WindowName
    length_s: int
    hop_s: int


WINDOWS = (Window("5m", 300, 10), Window("1h", 3600, 60), Window("24h", 86400, 600))


class Score(Struct, frozen=True, gc=False, omit_defaults=True):
    """The score of one scope over the window that ends at `at` (epoch seconds, exclusive). Newest `version` wins.

    There is a row for each step of the window in which the scope had events; of a segment pair only where at least one
    metric is known. `score`, its interval and all shares are
    None (unknown) below the map's minimum n; n is always given. `score` lies in [0, 100], shares in [0, 1], `nps` in
    [-100, 100], `csat` in [0, 100], `ces` in [1, 7], `gap` in tolerances, `apdex` in [0, 1]. `_low` and `_high` bound
    the 95 % interval. A field that is absent from the message is None or 0.
    """

    tenant: str
    scope: Scope
    #: The touchpoint, channel or stage; empty for the whole corridor.
    name: str
    segment: str
    segment_value: str
    window: WindowName
    at: int
    version: int
    n: int
    scored: int = 0
    score: float | None = None
    score_low: float | None = None
    score_high: float | None = None
    negative: float | None = None
    negative_low: float | None = None
    negative_high: float | None = None
    neutral: float | None = None
    neutral_low: float | None = None
    neutral_high: float | None = None
    positive: float | None = None
    positive_low: float | None = None
    positive_high: float | None = None
    gap: float | None = None
    gap_broken: float | None = None
    gap_n: int = 0
    nps: float | None = None
    nps_low: float | None = None
    nps_high: float | None = None
    nps_n: int = 0
    csat: float | None = None
    csat_low: float | None = None
    csat_high: float | None = None
    csat_n: int = 0
    ces: float | None = None
    ces_low: float | None = None
    ces_high: float | None = None
    ces_n: int = 0
    apdex: float | None = None
    wait_n: int = 0
