"""Recent ids: what came twice is seen, and the memory of a journey stays small."""

import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from streams.model.duplicates import MAX_RECENT, identity, is_duplicate

names = st.text(min_size=1, max_size=12)


def test_the_same_id_again_is_a_duplicate() -> None:
    recent: list[int] = []
    assert [is_duplicate(recent, n) for n in (1, 2, 1, 2, 3)] == [False, False, True, True, False]


def test_only_the_newest_ids_are_remembered() -> None:
    recent: list[int] = []
    for n in range(MAX_RECENT + 1):
        assert not is_duplicate(recent, n)
    assert len(recent) == MAX_RECENT
    assert is_duplicate(recent, MAX_RECENT) and is_duplicate(recent, 1)
    assert not is_duplicate(recent, 0)


@given(names, names, names, names)
def test_source_and_id_together_make_the_identity(source: str, event_id: str, other: str, other_id: str) -> None:
    same = (source, event_id) == (other, other_id)
    assert (identity(source, event_id) == identity(other, other_id)) is same


def test_source_and_id_cannot_run_into_each_other() -> None:
    assert identity("ab", "c") != identity("a", "bc")
    assert identity("1:a", "b") != identity("1", ":ab")


def test_every_process_computes_the_same_identity() -> None:
    code = "from streams.model.duplicates import identity; print(identity('shop', 'ñ-1'))"
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert int(there.stdout) == identity("shop", "ñ-1") < 2**64
