"""A transition slice: how often, and after what wait, journeys went from one touchpoint to the next in 10 seconds.

The transitions are those of a directly-follows graph (van der Aalst, Process Mining, 2016): two contacts of a journey
that follow each other make one, counted in the bucket of the later contact. Journeys come from `START`, and end or
halt at one of the nodes whose names begin with `@`; those transitions have no wait.

Work in progress at a touchpoint a = sum(x -> a).n - sum(a -> b).n + sum(a -> b).resumed - (a -> @goal).n
- (a -> @abandoned).n - (a -> @stalled).n, b being real touchpoints. (`@gone` comes after `@stalled`: it takes no more
work away.)
"""

from msgspec import Struct, json

#: Where a journey comes from at its first contact.
START = ""
#: A contact at a goal touchpoint with outcome success or partial. In the bucket of the contact.
GOAL = "@goal"
#: A contact with outcome abandoned. In the bucket of the contact.
ABANDONED = "@abandoned"
#: Silence longer than the patience of the touchpoint. In the bucket of contact + patience.
STALLED = "@stalled"
#: Silence longer than twice the patience: abandoned. In the bucket of contact + 2 x patience.
GONE = "@gone"


class TransitionSums(Struct, gc=False):
    """The summed part of a transition slice. Every field adds under merging; `waits` adds key by key.

    A contact that arrives between two others takes their transition back. The count and what takes it back may lie in
    different parts of a slice: in one part any of these numbers may be negative, over all parts none is.

    `waits` has the keys of `schemas.slice.Sums`: key i counts waits w (milliseconds) with g^(i-1) < w <= g^i,
    g = 1.02/0.98, key -1 counts waits of 0; a quantile read from it is off by at most 2 %.
    """

    #: Transitions.
    n: int = 0
    #: Those of them that left a touchpoint where the journey had ended or stalled.
    resumed: int = 0
    #: Waits between the two contacts: how many, their sum in milliseconds (each rounded to the nearest).
    wait_n: int = 0
    wait_ms_sum: int = 0
    #: Sums of ln(max(wait, 1 ms)) and of its square, each summand a multiple of 2^-32.
    wait_log_sum: float = 0.0
    wait_log_sum2: float = 0.0
    waits: dict[int, int] = {}


class TransitionSlice(TransitionSums, gc=False, kw_only=True, omit_defaults=True, tag_field="kind", tag="transition"):
    """One message of `experience.slices`: absolute, never a delta. A sum that is absent from the message is 0.

    Identity: all fields from `tenant` to `part`. `bucket` is its start in epoch seconds, `origin` says where it was
    counted (`topic/partition`), `part` is a number that no earlier slice of the same place and bucket had. The newest
    `version` of an identity wins; the parts of one transition, segment and bucket add up.
    """

    tenant: str
    #: Where the journeys came from; `START` for their first contact.
    touchpoint: str
    #: Where they went: a touchpoint, or one of the nodes `GOAL`, `ABANDONED`, `STALLED`, `GONE`.
    following: str
    #: Both empty for the slice over all segments.
    segment: str
    segment_value: str
    bucket: int
    origin: str
    part: int
    version: int

    @property
    def key(self) -> bytes:
        """The identity as a JSON list: the message key. It is shorter than a `Slice`'s, so the two never collide."""
        return json.encode(
            (
                self.tenant,
                self.touchpoint,
                self.following,
                self.segment,
                self.segment_value,
                self.bucket,
                self.origin,
                self.part,
            )
        )
