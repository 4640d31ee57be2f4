"""The corridor put together from counts, and drawn."""

import io
from typing import Any

import pytest
from rich.console import Console

from command.corridor_view import MAX_PLACES, MAX_WAYS, bar, duration, render_corridor
from command.corridor_words import WORDS, Language
from console.corridor import Corridor, Flow, OpenIncident, Place, derive
from console.figures import Figures, ScoreNow
from schemas.corridor import CorridorMap, Defaults, Label, Touchpoint, Transition
from schemas.incident import Incident

MAP = CorridorMap(
    "test",
    Label("corridor", "corredor"),
    (
        Touchpoint("survey", Label("Survey", "Encuesta"), "survey", "after"),
        Touchpoint("shop", Label("Shop window", "Escaparate"), "web", "before"),
        Touchpoint("pay", Label("Payment", "Pago"), "web", "during"),
        Touchpoint("home", Label("Hand-over to the customer at home", "Entrega en casa"), "delivery", "during"),
    ),
    Defaults(minimum_n=10),
    (),
    (Transition("shop", "pay"), Transition("pay", "home"), Transition("home", "survey")),
)


def flow(origin: str, following: str, n: int, **changes: Any) -> Flow:
    """A transition that happened in the last five minutes, unless the changes say otherwise."""
    resumed = changes.get("resumed", 0)
    recent = {"period_n": n, "recent_n": n, "period_resumed": resumed, "recent_resumed": resumed}
    return Flow(origin, following, n, **({"resumed": 0} | recent | changes))


FLOWS = [
    flow("", "shop", 400),
    flow("shop", "pay", 300, wait_ms_sum=300_000, median_ms=900.0, p95_ms=2_000.0),
    flow("shop", "@abandoned", 60),
    flow("pay", "home", 100, wait_ms_sum=6_000_000, median_ms=60_000.0, p95_ms=300_000.0),
    flow("home", "@goal", 90),
    flow("home", "@stalled", 5),
    flow("home", "survey", 50, resumed=50, wait_ms_sum=50_000, median_ms=1_000.0, p95_ms=1_000.0),
]


def figures(**scores: ScoreNow) -> Figures:
    return Figures(scores={("default", "touchpoint", name): {"5m": now} for name, now in scores.items()})


def incident(**changes: Any) -> OpenIncident:
    fields = {"kind": "drop", "severity": "page", "touchpoint": "pay", "following": "", "segment": ""}
    return OpenIncident(**(fields | {"segment_value": "", "since": 0, "hurt": 12} | changes))


def places(corridor: Corridor) -> dict[str, Place]:
    return {place.touchpoint: place for place in corridor.places}


def drawn(corridor: Corridor, width: int = 80, language: Language = "en") -> str:
    out = io.StringIO()
    Console(file=out, width=width).print(render_corridor(corridor, MAP, language, width))
    return out.getvalue()


def line(text: str, name: str) -> str:
    """The row of a touchpoint: names of transitions are not indented."""
    (found,) = [line for line in text.splitlines() if line.startswith(f" {name}")]
    return found


def test_places_stand_by_stage_and_those_of_no_map_last() -> None:
    corridor = derive(MAP, Figures(), [*FLOWS, flow("shop", "kiosk", 1)])
    assert [(place.touchpoint, place.stage) for place in corridor.places] == [
        ("shop", "before"),
        ("pay", "during"),
        ("home", "during"),
        ("survey", "after"),
        ("kiosk", ""),
    ]


def test_work_in_progress_is_arrivals_less_departures_and_ends() -> None:
    found = places(derive(MAP, Figures(), FLOWS))
    assert {name: place.in_progress for name, place in found.items()} == {
        "shop": 40,
        "pay": 200,
        "home": 5,
        "survey": 50,
    }
    assert {name: place.arrivals for name, place in found.items()} == {
        "shop": 400,
        "pay": 300,
        "home": 100,
        "survey": 50,
    }


def test_the_change_counts_the_last_five_minutes_only() -> None:
    found = places(derive(MAP, Figures(), [flow("", "shop", 90, recent_n=20), flow("shop", "pay", 30, recent_n=25)]))
    assert (found["shop"].in_progress, found["shop"].change) == (60, -5)


def test_the_share_going_on_leaves_out_the_resumed_and_is_unknown_below_the_minimum() -> None:
    found = places(derive(MAP, Figures(), FLOWS))
    assert found["shop"].going_on == 300 / 360
    assert found["home"].going_on == 90 / 95
    assert found["survey"].going_on is None
    few = places(derive(MAP, Figures(), [flow("shop", "pay", 9)]))
    assert few["shop"].going_on is None


def test_work_in_progress_grows_where_more_stay_than_elsewhere() -> None:
    """A survey leads nowhere: that customers stay there says nothing."""
    found = places(derive(MAP, Figures(), FLOWS))
    assert [name for name, place in found.items() if place.grows] == ["pay"]
    evenly = [flow("", "shop", 100), flow("shop", "pay", 70), flow("pay", "home", 50), flow("home", "@goal", 35)]
    assert not any(place.grows for place in places(derive(MAP, Figures(), evenly)).values())


def test_few_arrivals_prove_no_growth() -> None:
    found = derive(MAP, Figures(), [flow("", "pay", 9), flow("", "shop", 500), flow("shop", "@abandoned", 500)])
    assert not any(place.grows for place in found.places)


def test_a_transition_is_long_where_it_holds_a_fifth_of_all_waiting() -> None:
    ways = derive(MAP, Figures(), FLOWS).ways
    assert [(way.touchpoint, way.following, way.n, way.long) for way in ways] == [
        ("shop", "pay", 300, False),
        ("pay", "home", 100, True),
        ("home", "survey", 50, False),
    ]
    assert sum(way.waiting_share for way in ways) == pytest.approx(1)


def test_incidents_that_page_come_first_then_the_oldest() -> None:
    found = [incident(severity="ticket", since=1), incident(since=3), incident(since=2)]
    shown = derive(MAP, Figures(), [], found).incidents
    assert [(one.severity, one.since) for one in shown] == [("page", 2), ("page", 3), ("ticket", 1)]


def test_a_touchpoint_shows_score_interval_work_and_share_in_80_columns() -> None:
    now = figures(shop=ScoreNow(400, 91.26, 90.4, 92.4), pay=ScoreNow(4))
    text = drawn(derive(MAP, now, FLOWS))
    assert line(text, "Shop window").split() == ["Shop", "window", "91.3", "90-92", "40", "+40", "83", "%"]
    assert line(text, "Payment").split() == ["Payment", "unknown", "200", "+200", "▲", "100", "%"]
    assert "▲ more stay here than elsewhere" in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_transition_shows_count_bar_and_waits() -> None:
    lines = drawn(derive(MAP, Figures(), FLOWS)).splitlines()
    rows = [line.split() for line in lines if "█" in line]
    assert rows[0] == ["Shop", "window", "Payment", "300", "████████", "900", "ms", "2.0", "s"]
    assert rows[1][0] == "Payment"
    assert rows[1][-7:] == ["100", "██▋", "1.0", "min", "5.0", "min", "◆"]


def test_incidents_are_marked_where_they_are_and_listed() -> None:
    found = [
        incident(kind="drop", segment="device", segment_value="mobile"),
        incident(kind="congestion", severity="ticket", following="home", since=60, first_cause="carrier=norte"),
    ]
    text = drawn(derive(MAP, Figures(), FLOWS, found))
    assert line(text, "Payment").rstrip().endswith("● drop ● congestion")
    assert (
        next(line for line in text.splitlines() if line.startswith("Payment") and "█" in line).rstrip().endswith("◆●")
    )
    assert "● page drop  Payment (device=mobile)  since 01-01 00:00  12 hurt" in text
    assert "● ticket congestion  Payment → Hand-over to the customer at home  carrier=norte" in text.replace("\n", " ")
    assert max(map(len, text.splitlines())) <= 80


def test_the_map_speaks_spanish() -> None:
    text = drawn(derive(MAP, Figures(), FLOWS, [incident(kind="blockage")]), language="es")
    assert "Escaparate" in text
    assert "durante" in text
    assert "● urgente bloqueo  Pago" in text
    assert WORDS["en"].keys() == WORDS["es"].keys()


def test_every_kind_and_severity_has_its_word() -> None:
    kinds = ("drop", "congestion", "blockage", "silence", "page", "ticket")
    assert set(OpenIncident.__struct_fields__) - {"first_cause"} <= set(Incident.__struct_fields__)
    assert all(kind in WORDS["es"] for kind in kinds)


def test_of_many_touchpoints_the_busiest_are_shown_in_their_order() -> None:
    flows = [flow("", f"kiosk-{number:02}", number) for number in range(1, 41)]
    text = drawn(derive(MAP, Figures(), flows))
    shown = [word for word in text.split() if word.startswith("kiosk")]
    assert shown == [f"kiosk-{number:02}" for number in range(41 - MAX_PLACES, 41)]
    assert "14 touchpoints with fewer contacts are left out" in text


def test_of_many_transitions_the_most_used_are_shown_and_the_marked() -> None:
    flows = [flow("shop", f"kiosk-{number:02}", 100 - number, wait_ms_sum=1) for number in range(20)]
    flows.append(flow("pay", "home", 10, wait_ms_sum=100, median_ms=1.0, p95_ms=1.0))
    corridor = derive(MAP, Figures(), flows)
    text = drawn(corridor)
    assert sum("█" in line or "▉" in line for line in text.splitlines()) >= MAX_WAYS
    assert any("◆" in line and line.startswith("Payment") for line in text.splitlines())
    assert f"{len(corridor.ways) - MAX_WAYS - 1} transitions with fewer journeys are left out" in text


def test_before_the_first_event_the_map_is_there_and_empty() -> None:
    text = drawn(derive(MAP, Figures(), []))
    assert "Shop window" in text
    assert "no transitions yet" in text


def test_a_wide_terminal_has_the_transitions_beside_the_touchpoints() -> None:
    corridor = derive(MAP, Figures(), FLOWS)
    wide, narrow = drawn(corridor, 180), drawn(corridor, 80)
    assert len(wide.splitlines()) < len(narrow.splitlines())
    assert any(line.startswith(" Shop window") and "Survey" in line for line in wide.splitlines())
    assert max(map(len, wide.splitlines())) <= 180


def test_figures_are_never_cut_in_80_columns() -> None:
    big = {"wait_ms_sum": 1, "median_ms": 59.4 * 60e3, "p95_ms": 23.4 * 3600e3, "period_n": 123_456, "recent_n": 54_321}
    flows = [flow("shop", "pay", 9_876_543, **big), flow("pay", "home", 9_000_000, **big), *FLOWS]
    now = figures(pay=ScoreNow(1e6, 100.0, 99.9, 100.0))
    kinds = [incident(kind="congestion")]
    for language in ("en", "es"):
        text = drawn(derive(MAP, now, flows, kinds), language=language)  # type: ignore[arg-type]
        assert "100.0 100-100" in text
        assert "123,456" in text
        assert "59 min    23 h" in text
        assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "0 ms"),
        (349.6, "350 ms"),
        (992.9, "1.0 s"),
        (9_949, "9.9 s"),
        (9_950, "10 s"),
        (59_499, "59 s"),
        (60_000, "1.0 min"),
        (3_600_000, "1.0 h"),
        (86_400_000, "1.0 d"),
        (86_400_000 * 12, "12 d"),
    ],
)
def test_a_duration_has_few_digits(ms: float, text: str) -> None:
    assert duration(ms) == text


@pytest.mark.parametrize(("share", "text"), [(0, ""), (1, "████████"), (0.5, "████"), (0.0001, "▏"), (0.17, "█▍")])
def test_a_bar_is_as_long_as_its_share(share: float, text: str) -> None:
    assert bar(share) == text
