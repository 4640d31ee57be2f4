"""Duplicates that a source sends: the same `source` + `id` again, recognised through the journey's recent ids."""

import xxhash

#: A journey remembers this many of its newest ids.
MAX_RECENT = 256


def is_duplicate(recent: list[int], identity: int) -> bool:
    """True if the identity is among a journey's recent ones, oldest first; a new one is remembered there."""
    if identity in recent:
        return True
    recent.append(identity)
    if len(recent) > MAX_RECENT:
        del recent[0]
    return False


def identity(source: str, event_id: str) -> int:
    """64-bit hash of `source` + `id`, the same in every process: by chance equal once in 2^64 / journey length."""
    return xxhash.xxh3_64_intdigest(f"{len(source)}:{source}{event_id}".encode())
