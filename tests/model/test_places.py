"""Where an event counts: the map's answers where the event is silent, and the segment pairs."""

import itertools
from typing import Any

import pytest

from schemas import topics
from schemas.event import TouchpointData
from schemas.slice import Cell
from streams.model import places as places_module
from streams.model.ingest import Ingest
from streams.model.places import Places
from tests.builders import corridor, event, record


@pytest.fixture
def places() -> Places:
    return Places(corridor())


def data(touchpoint: str = "web.checkout", **fields: Any) -> TouchpointData:
    return TouchpointData(touchpoint, "success", **fields)


def test_channel_stage_and_contact_come_from_the_map(places: Places) -> None:
    place = places.find("brand", data("survey.answer"))
    assert place.cell == Cell("brand", "survey.answer", "survey", "after", "buyer", "indirect", "", "")
    assert place.mapped


def test_what_the_event_says_goes_before_the_map(places: Places) -> None:
    place = places.find("brand", data(channel="app", stage="before", contact="indirect", actor="supplier"))
    assert place.cell == Cell("brand", "web.checkout", "app", "before", "supplier", "indirect", "", "")


def test_an_unmapped_touchpoint_is_unknown_where_nobody_says(places: Places) -> None:
    place = places.find("brand", data("new.kiosk"))
    assert place.cell == Cell("brand", "new.kiosk", "unknown", "unknown", "buyer", "direct", "", "")
    assert (place.channel, place.stage, place.mapped) == (None, None, False)
    said = places.find("brand", data("new.kiosk", channel="store", stage="during"))
    assert said.cell[2:4] == ("store", "during") and not said.mapped


def test_equal_cells_share_a_slot_and_different_ones_do_not(places: Places) -> None:
    silent = places.find("a", data())
    explicit = places.find("a", data(channel="web", stage="during", contact="direct"))
    other = places.find("b", data())
    assert silent.cell == explicit.cell and silent.slot == explicit.slot
    assert other.slot != silent.slot
    assert places.slot(silent.cell._replace(segment="region", segment_value="north")) == silent.slot


@pytest.mark.parametrize(
    ("segment", "pairs"),
    [
        ({"region": "north"}, [("region", "north")]),
        ({"region": "west"}, [("region", "other")]),
        ({"region": "other"}, [("region", "other")]),
        ({"carrier": "anyone"}, [("carrier", "anyone")]),
        ({"carrier": "swift", "region": "south"}, [("carrier", "swift"), ("region", "south")]),
        ({"colour": "red"}, []),
        ({"region": "", "carrier": ""}, []),
        ({}, []),
    ],
)
def test_segment_pairs_are_those_the_map_names(
    places: Places, segment: dict[str, str], pairs: list[tuple[str, str]]
) -> None:
    assert sorted(places.pairs(segment)) == pairs


def test_cells_that_differ_in_anything_but_the_segment_have_slots_of_their_own(places: Places) -> None:
    # Also where names run into each other.
    words = ("", "a", "ab", "b", "a\0b")
    cells = [Cell(*fields, "", "") for fields in itertools.product(words[:3], words, *[words[:2]] * 4)]
    assert len({places.slot(cell) for cell in cells}) == len(cells)


def test_a_cell_keeps_its_slot_whatever_was_asked_before() -> None:
    cell = Cell("brand", "web.checkout", "web", "during", "buyer", "direct", "", "")
    other = Places(corridor())
    other.slot(cell._replace(touchpoint="first"))
    assert Places(corridor()).slot(cell) == other.slot(cell) == other.find("brand", data()).slot


def test_no_number_of_names_makes_places_grow_beyond_their_bound(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places_module, "MOST_PLACES", 50)
    before = places.find("brand", data())
    for n in range(1000):
        places.find(f"tenant-{n}", data(f"unknown-{n}"))
        assert len(places._found) <= 50
    assert vars(places).keys() == vars(Places(corridor())).keys()
    after = places.find("brand", data())
    assert after is not before
    assert after[:-2] == before[:-2] and after.mapped == before.mapped


def _slices(most: int, monkeypatch: pytest.MonkeyPatch) -> dict[bytes, bytes]:
    monkeypatch.setattr(places_module, "MOST_PLACES", most)
    state = Ingest(0, corridor(), lambda _: 0)
    found: dict[bytes, bytes] = {}
    for batch in range(10):
        for n in range(20):
            name = "web.checkout" if n % 3 else f"unknown-{n * 7 % 11}"
            changed = event(id=f"{batch}-{n}", data={"touchpoint": name, "segment": {"region": "north"}})
            state.apply(topics.EVENTS.name, [record(batch * 20 + n, changed)])
        found.update({key: value for _, key, value in state.snapshot().slices if b'"kind":"touchpoint"' in value})
    return found


def test_letting_places_go_changes_no_slice_of_an_open_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = _slices(10_000, monkeypatch)
    assert _slices(1, monkeypatch) == kept
    assert len(kept) == 2 * 8, "one part of each cell, whole and of the region"
