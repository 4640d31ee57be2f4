"""Where an event counts: the map's answers where the event is silent, and the segment pairs."""

from typing import Any

import pytest

from schemas.event import TouchpointData
from schemas.slice import Cell
from streams.model.places import Places
from tests.builders import corridor


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
