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


class Score(Struct, frozen=True, gc=False):
    """The score of one scope over the window that ends at `at` (epoch seconds, exclusive). Newest `version` wins.

    There is a row for each step of the window in which the scope had events. `score`, its interval and all shares are
    None (unknown) below the map's minimum n; n is always given. `score` lies in [0, 100], shares in [0, 1], `nps` in
    [-100, 100], `csat` in [0, 100], `ces` in [1, 7], `gap` in tolerances, `apdex` in [0, 1]. `_low` and `_high` bound
    the 95 % interval.
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
    scored: int
    score: float | None
    score_low: float | None
    score_high: float | None
    negative: float | None
    negative_low: float | None
    negative_high: float | None
    neutral: float | None
    neutral_low: float | None
    neutral_high: float | None
    positive: float | None
    positive_low: float | None
    positive_high: float | None
    gap: float | None
    gap_broken: float | None
    gap_n: int
    nps: float | None
    nps_low: float | None
    nps_high: float | None
    nps_n: int
    csat: float | None
    csat_low: float | None
    csat_high: float | None
    csat_n: int
    ces: float | None
    ces_low: float | None
    ces_high: float | None
    ces_n: int
    apdex: float | None
    wait_n: int
