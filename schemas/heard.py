"""Which sources have been heard of: what silence is told by."""

from msgspec import Struct, json


class Heard(Struct, frozen=True, tag_field="kind", tag="heard"):
    """One message of `experience.slices`: absolute, the newest `version` of a tenant and origin wins.

    It travels with the slices once in ten seconds of event time, and is no row of any table.
    """

    tenant: str
    #: The input partition that it is counted from (`topic/partition`).
    origin: str
    #: The offset of the last event counted.
    version: int
    #: By source and touchpoint of the map (any other: empty): accepted events so far. It begins again at 0 for a source
    #: that was silent for a day.
    sources: dict[str, dict[str, int]]

    @property
    def key(self) -> bytes:
        """The identity as a JSON list: the message key. It is shorter than any other, so that they never collide."""
        return json.encode(("heard", self.tenant, self.origin))
