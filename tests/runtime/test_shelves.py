"""Both shelves hold what was put there, like a dictionary; RocksDB's is its own, and empty when it is opened."""

import builtins
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.errors import StopProcess, UsageError
from streams.model.shelf import Shelf
from streams.runtime import rocks_shelf
from streams.runtime.rocks_shelf import RocksShelf, open_shelf
from streams.runtime.settings import Settings

NAMES = st.sampled_from([b"j1", b"j2", b"j3", b"j\x00", b"k"])
CHANGES = st.lists(st.tuples(NAMES, st.none() | st.binary(max_size=4), st.booleans()), max_size=30)
KINDS = ("memory", "rocksdb")


@pytest.fixture(params=KINDS)
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, state_store=request.param)


@pytest.fixture
def shelf(config: Settings) -> Iterator[Shelf]:
    opened = open_shelf(config, "topic", 3)
    yield opened
    opened.close()


def check(shelf: Shelf, changes: list[tuple[bytes, bytes | None, bool]]) -> None:
    expected: dict[bytes, bytes] = {}
    for name, _ in list(shelf.items()):
        shelf.discard(name)
    for name, value, look in changes:
        if value is None:
            shelf.discard(name)
            expected.pop(name, None)
        else:
            shelf[name] = expected[name] = value
        assert shelf.get(name) == value
        if look:
            found = list(shelf.items())
            assert dict(found) == expected and len(found) == len(expected)
    for name in (b"j1", b"j2", b"j3", b"j\x00", b"k", b"never"):
        assert shelf.get(name) == expected.get(name)
    assert dict(shelf.items()) == expected


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=CHANGES, at_once=st.integers(1, 4))
def test_a_shelf_holds_what_a_dictionary_would(
    shelf: Shelf, changes: list[tuple[bytes, bytes | None, bool]], at_once: int
) -> None:
    with mock.patch.object(rocks_shelf, "_AT_ONCE", at_once):
        check(shelf, changes)


def test_values_may_be_replaced_while_all_are_gone_through(shelf: Shelf) -> None:
    for n in range(100):
        shelf[b"%d" % n] = b"old"
    for name, value in shelf.items():
        shelf[name] = value + name
    assert dict(shelf.items()) == {b"%d" % n: b"old%d" % n for n in range(100)}


def test_more_than_is_collected_at_once_is_there(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rocks_shelf, "_AT_ONCE", 100)
    for n in range(1050):
        shelf[b"%d" % n] = b"%d" % -n
    assert {shelf.get(b"%d" % n) for n in range(1050)} == {b"%d" % -n for n in range(1050)}


def test_a_shelf_is_empty_when_it_is_opened_again(config: Settings) -> None:
    for _ in range(2):
        opened = open_shelf(config, "topic", 3)
        assert list(opened.items()) == []
        opened[b"name"] = b"value"
        list(opened.items())
        opened.close()


def test_what_a_killed_process_left_is_gone_when_the_partition_is_taken_over(tmp_path: Path) -> None:
    left = tmp_path / "topic-3.0"
    left.mkdir()
    (left / "CURRENT").write_text("nonsense")
    opened = RocksShelf(tmp_path / "topic-3")
    assert opened.folder == left and list(opened.items()) == []
    opened.close()
    assert not left.exists()


def test_two_shelves_of_one_partition_do_not_meet(config: Settings) -> None:
    first, second = (open_shelf(config, "topic", 3) for _ in range(2))
    first[b"name"] = b"first"
    second[b"name"] = b"second"
    assert (dict(first.items()), dict(second.items())) == ({b"name": b"first"}, {b"name": b"second"})
    first.close()
    assert second.get(b"name") == b"second"
    second.close()


def test_without_the_package_it_is_said_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *rest: Any) -> Any:
        if name == "rocksdict":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(UsageError, match=r"pip install 'corredor\[rocksdb\]'"):
        open_shelf(Settings(data_dir=tmp_path, state_store="rocksdb"), "topic", 0)
    open_shelf(Settings(data_dir=tmp_path), "topic", 0).close()


def test_a_folder_that_cannot_be_used_stops_the_process(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(StopProcess, match="state folder"):
        open_shelf(Settings(data_dir=tmp_path, state_store="rocksdb"), "topic", 0)
