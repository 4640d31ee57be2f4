"""Duplicates that a source sends: the same `source` + `id` again, recognised through the journey's recent ids."""

import msgspec
import xxhash

#: A journey remembers this many of its newest ids.
MAX_RECENT = 256


class RecentIds(msgspec.Struct, array_like=True, gc=False):
    """What one journey remembers: its newest ids, as hashes, and when its last event arrived (epoch seconds)."""

    seen_at: float = 0.0
    ids: list[int] = []

    def is_duplicate(self, identity: int) -> bool:
        """True if the id is among the recent ones; a new one is remembered."""
        ids = self.ids
        if identity in ids:
            return True
        ids.append(identity)
        if len(ids) > MAX_RECENT:
            del ids[0]
        return False


def identity(source: str, event_id: str) -> int:
    """64-bit hash of `source` + `id`, the same in every process: by chance equal once in 2^64 / journey length."""
    return xxhash.xxh3_64_intdigest(f"{len(source)}:{source}{event_id}".encode())
