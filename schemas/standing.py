"""The corridor now: where each touchpoint stands and which ways customers take. Messages of `experience.corridor`.

Both are computed from settled 10-second buckets, so late events inside the allowed lateness are in them. Times are
epoch seconds of event time. `_low` and `_high` bound the 95 % interval, with `low <= value <= high`. A value that is
not known is None (absent), never 0. Numbers other than counts and sums are rounded to six decimals.
"""

from typing import Literal

from msgspec import Struct, json

#: `new`: taken now, never in the days before, though so many left its touchpoint then that it could not have been
#: missed. `vanished`: the other way round. Empty: neither.
Drift = Literal["", "new", "vanished"]


class Standing(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True, tag_field="kind", tag="touchpoint"):
    """One touchpoint of one tenant, over the `window_s` seconds that end at `at`. Newest `version` of an `at` wins.

    Of a tenant all touchpoints of the last 8 days (9 at most) are told at once; one with an older `at` is over.
    """

    tenant: str
    touchpoint: str
    #: End of the window, exclusive.
    at: int
    version: int
    #: The hour of `at` so far and the 23 hours before it: 82,800 < window_s <= 86,400.
    window_s: int
    #: Contacts of journeys here in the window: the volume.
    arrivals: int
    #: Events with a score in the window; 100 x their mean x, in [0, 100], None below the map's minimum n.
    scored: int = 0
    score: float | None = None
    score_low: float | None = None
    score_high: float | None = None
    #: The map's target score, in [0, 100]; shortfall = max(0, target - score), in points.
    target_score: float
    shortfall: float | None = None
    shortfall_low: float | None = None
    shortfall_high: float | None = None
    #: Chance, in [0, 1], that a journey that is here reaches a goal before it is abandoned or stalls (absorption
    #: probability of a Markov chain; Kemeny and Snell, Finite Markov Chains, 1960, theorem 3.3.7). None if nothing
    #: was seen to follow a contact here in the window.
    goal_chance: float | None = None
    goal_chance_low: float | None = None
    goal_chance_high: float | None = None
    #: Removal effect, in [0, 1]: 1 - P(goal | this touchpoint removed) / P(goal) (Anderl, Becker, von Wangenheim,
    #: Schumann, Mapping the Customer Journey, International Journal of Research in Marketing 33, 2016). None if no
    #: journey reaches a goal, or none came here.
    importance: float | None = None
    importance_low: float | None = None
    importance_high: float | None = None
    #: importance x arrivals x shortfall: points lost at moments that matter. The view `moments_of_truth` adds money.
    priority: float | None = None
    priority_low: float | None = None
    priority_high: float | None = None

    @property
    def key(self) -> bytes:
        """Kind, tenant and touchpoint as a JSON list: the message key, so that compaction keeps the newest."""
        return json.encode(("touchpoint", self.tenant, self.touchpoint))


class Way(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True, tag_field="kind", tag="transition"):
    """One transition of one tenant between two touchpoints, over the `window_s` seconds that end at `at`.

    Of a tenant all ways of the last 8 days and all declared ones are told at its first `at` of every hour, and
    in between those whose `drift` changes. `declared` and `drift` are told apart: a new way may be declared or not.
    """

    tenant: str
    #: Where it comes from and where it leads: names of touchpoints, never ends.
    touchpoint: str
    following: str
    #: End of the window, exclusive.
    at: int
    version: int
    #: The hour of `at` so far and the 23 hours before it: 82,800 < window_s <= 86,400.
    window_s: int
    #: Whether the corridor map has it; true for all where the map declares none.
    declared: bool
    drift: Drift = ""
    #: How often it was taken in the window.
    n: int = 0
    #: All that followed a contact at `touchpoint` in the window: ways and ends (`@gone` follows `@stalled`: not again).
    departures: int = 0
    #: n / departures, in [0, 1], with its Wilson interval (Brown, Cai, DasGupta 2001).
    share: float | None = None
    share_low: float | None = None
    share_high: float | None = None
    #: The same share over the 7 to 8 days before the window.
    usual_share: float | None = None
    #: Start of the first and of the last bucket in which it was taken; None: not in living memory. After 8 to 9 days
    #: without it a way is forgotten, and seen first again.
    first_seen: int | None = None
    last_seen: int | None = None

    @property
    def key(self) -> bytes:
        """Kind, tenant, touchpoint and following as a JSON list: the message key."""
        return json.encode(("transition", self.tenant, self.touchpoint, self.following))
