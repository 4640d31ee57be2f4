"""The knobs of all detectors, with the values they have when nobody turns them."""

from msgspec import Struct

DAY_S = 86_400.0


class Tuning(Struct, frozen=True, kw_only=True):
    """Settings of a detector. Times in seconds, shares and weights in [0, 1].

    The one knob is `false_alarm_s`: the mean time between false incidents of one place, all its segments together. A
    corridor of k places has k times as many; to hold the knob for the whole corridor, give each place k times the time
    (the delay grows by about ln k / ln gamma only).
    """

    false_alarm_s: float = 30 * DAY_S
    #: Odds ratios of negative or stalled shares that the CUSUM lines are designed for, the second being the design
    #: shift. Neighbours lie about a factor of two apart in log odds: between them a line loses at most a tenth of its
    #: speed.
    share_ratios: tuple[float, ...] = (1.6, 3.0, 8.0)
    #: Ratios of waits that the lines are designed for. Waits three times as long lie near the middle one.
    wait_ratios: tuple[float, ...] = (1.5, 2.5, 6.0)
    #: Parts of the allowed false alarms that the lines may use up.
    line_weights: tuple[float, ...] = (0.25, 0.5, 0.25)
    #: An incident needs so many bad events, or so many waits, since the change began.
    min_bad: int = 4
    min_waits: int = 3
    #: A pile-up needs the work in progress to have grown by so many journeys.
    min_growth: int = 20
    #: Shares below this count as this: nobody is paged because 1 in 10,000 became 1 in 1,000.
    min_share: float = 0.005
    #: Events before any line arms, in the weighted past.
    min_events: int = 200
    #: Memory of the level and of the hour-of-week rhythm.
    level_memory_s: float = 14 * DAY_S
    rhythm_memory_s: float = 56 * DAY_S
    #: Variance of the log hour-of-week factor that is assumed before the data say otherwise (0.05: 22 % up or down).
    rhythm_variance: float = 0.05
    #: How long events wait until they train the baseline, and the length of the pieces in which they do. While the
    #: baseline is younger than four times this, a quarter of its age (at least one piece).
    learn_delay_s: float = 6 * 3600.0
    chunk_s: int = 300
    #: IANA time zone in which the hours of the week are counted, so that a daylight-saving change moves with people.
    time_zone: str = "UTC"
    #: Odds that a recovery is real before an incident closes, and how long it must have lasted.
    recovery_odds: float = 1000.0
    recovery_hold_s: int = 60
    #: The recovery test tells the usual level from one worse by this ratio (or by that of the alarm, if smaller).
    recovery_ratio: float = 2.0
    #: An open incident is told again after so long, or at once when its severity rises.
    update_s: int = 60
    #: From these depths on it pages: points of a share, ratio of waits or of arrivals per departure.
    page_points: float = 0.05
    page_ratio: float = 2.0
    #: A silence shorter than this is none.
    min_silence_s: int = 60
    #: At most so many causes are named, each explaining at least this share of the change.
    max_causes: int = 5
    min_explained: float = 0.1
