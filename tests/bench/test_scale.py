"""Tiny runs of the scale and cost benches: events are counted once, and constants come out of what they went into."""

import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import cost_plots, scale
from bench.cost_plots import Line
from bench.costs import CURVES, SHARED
from bench.costs_fit import Point, Sharing, cpu_costs, said, sharing
from bench.costs_parts import checkpoints, partitions, shared
from bench.group_run import GroupRun, Log, run
from bench.ingest import best_cluster
from bench.scale import SHAPES, check, measure, median
from bench.sized import filled
from bench.vary import VALUES, Variation, encoded, raw, varied, write_map
from command.measured import Cpu, Slices
from command.sizing import occupied
from schemas import topics
from schemas.corridor import CorridorMap
from schemas.errors import StopProcess
from schemas.event import TouchpointEvent
from schemas.loader import load_map
from streams.runtime.local import LocalKafka
from streams.runtime.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
SLICES = Slices(touched=2.0, places=9.0, skew=0.75, late=2.0)


@pytest.fixture(scope="module")
def events() -> list[TouchpointEvent]:
    return raw(900)


@pytest.fixture(scope="module")
def corridor(tmp_path_factory: pytest.TempPathFactory) -> CorridorMap:
    file = tmp_path_factory.mktemp("maps") / "map.yaml"
    write_map(Variation(), file)
    return load_map(file)


@pytest.fixture
def local() -> None:
    if best_cluster() != "local":
        pytest.skip("needs Java, and the jars of Apache Kafka")


@pytest.mark.slow
@pytest.mark.usefixtures("local")
def test_two_workers_on_two_partitions_count_what_one_does() -> None:
    said: list[str] = []
    text, values = measure(600, 1, said.append, ((1, 1), (2, 2)), 1.0, ((1, 1), (2, 2)), 1.0)
    assert "equal those of all others to the last bit" in text
    assert "corredor.state.ingest, kB/s" in text
    assert '"cpu_s_per_million_predicted"' in values
    assert any("2 partitions, 2 workers" in line for line in said)


@pytest.mark.slow
@pytest.mark.usefixtures("local")
def test_an_event_that_is_missing_stops_the_bench(events: list[TouchpointEvent], tmp_path: Path) -> None:
    feed = varied(Variation(), events[:200], time.time() - 10).feed
    feed.distinct[next(iter(feed.distinct))] += 1
    with LocalKafka(tmp_path) as kafka, pytest.raises(StopProcess, match="counted 200 events, and 201 were published"):
        run(Settings(data_dir=tmp_path), kafka, feed, 1, 1, 0)


def a_run(cpu_s: float, shape: tuple[int, int] = (1, 1)) -> GroupRun:
    logs = {topics.SLICES.name: Log(50, 5000)}
    return GroupRun(*shape, 100, 2.0, (cpu_s,), 1, {}, logs)


def test_the_median_is_of_the_runs_of_that_shape() -> None:
    found = [a_run(3.0), a_run(1.0), a_run(2.0), a_run(9.0, (4, 4))]
    assert median(found, (1, 1)).cpu_per_million == 20_000
    assert found[0].rate == 50
    assert found[0].slices_per_event == 0.5


def test_slices_that_differ_stop_the_bench(events: list[TouchpointEvent]) -> None:
    other = a_run(1.0, (4, 4))
    other.slices = {(None, 0): None}  # type: ignore[dict-item]
    with pytest.raises(StopProcess, match="the slices of 4 workers on 4 partitions differ"):
        check([a_run(1.0), other])


def test_every_shape_has_a_partition_for_each_worker_and_the_first_is_the_smallest() -> None:
    assert SHAPES[0] == (1, 1)
    assert all(workers <= count for count, workers in SHAPES)
    assert len(load_map(Settings().map).touchpoints) == scale.TOUCHPOINTS


@given(
    st.builds(
        Variation,
        copies=st.integers(1, 5),
        segments=st.none() | st.integers(0, 8),
        contacts=st.floats(1, 20),
        late=st.floats(0, 1),
    )
)
def test_varied_events_are_as_asked(events: list[TouchpointEvent], variation: Variation) -> None:
    made = [event for _, event, _ in encoded(variation, events[:300], 1e9, 100.0)]
    assert len({(event.source, event.id) for event in made}) == 300
    assert {len(event.data.segment or {}) for event in made} == {variation.segments} or variation.segments is None
    lengths = Counter((event.subject, event.data.journey) for event in made)
    assert len(lengths) == max(round(300 / variation.contacts), 1)
    assert max(lengths.values()) - min(lengths.values()) <= 1
    late = sum(event.time != event.recordedtime for event in made)
    assert (late == 0) == (variation.late == 0) or variation.late < 0.05


def test_the_map_names_every_touchpoint_and_segment_of_varied_events(
    events: list[TouchpointEvent], tmp_path: Path
) -> None:
    variation = Variation(copies=4, segments=8)
    count = write_map(variation, tmp_path / "map.yaml")
    corridor = load_map(tmp_path / "map.yaml")
    made = [event for _, event, _ in encoded(variation, events, 1e9, 100.0)]
    assert count == len(corridor.touchpoints) == 4 * 23
    assert {event.data.touchpoint for event in made} <= {each.name for each in corridor.touchpoints}
    assert {name for event in made for name in event.data.segment or ()} <= {each.name for each in corridor.segments}


def test_fewer_checkpoints_and_partitions_share_more_slices(
    events: list[TouchpointEvent], corridor: CorridorMap
) -> None:
    usual = Variation(late=0.0)
    few, many, all_alone = (shared(usual, events, corridor, every) for every in (300, 30, 1))
    assert few < many < all_alone
    made = [each for _, each in checkpoints(partitions(corridor, 4), usual, events, 300, 10_000.0)]
    assert len(made) == 3
    assert sum(len(one.slices) for each in made for one in each) > few * len(events)


def points(cpu: Cpu) -> list[Point]:
    """As if every curve had been measured, without noise."""
    found = []
    for number, variation in enumerate((Variation(), *(one for curve in CURVES for one in curve.variations))):
        segments = 2.0 if variation.segments is None else variation.segments
        point = Point(variation, 23 * variation.copies, segments, 0.0, 1.0 + number % 5, 400.0, rate=5000.0)
        found.append(replace(point, cpu=said(point, cpu, SLICES)))
    return found


@settings(max_examples=20)
@given(*[st.floats(0, 200) for _ in range(5)], st.floats(0, 50))
def test_the_costs_that_points_were_made_of_come_out_again(
    event: float, pair: float, journey: float, late: float, piece: float, place: float
) -> None:
    cpu = Cpu(event, pair, journey, late, piece, 0.0, place, 0.0, 0.0, 0.0, idle=10_000.0)
    found = cpu_costs(points(cpu), SLICES, {"place": place, "idle": cpu.idle, "merge": piece / 2})
    assert found == pytest.approx([event, pair, journey, late, piece], abs=1e-4)


def test_no_cost_comes_out_below_nothing() -> None:
    cheaper = [replace(one, cpu=100.0 - 5.0 * one.segments) for one in points(Cpu(*[0.0] * 11))]
    found = cpu_costs(cheaper, SLICES, {"place": 0.0, "idle": 0.0, "merge": 0.0})
    assert min(found) == 0.0 == found[1]
    assert found[0] > 0


def test_sharing_that_was_made_by_the_formula_is_found_again() -> None:
    def of(variation: Variation, every: int) -> Sharing:
        touchpoints, changes = 23 * variation.copies, every * SLICES.touched * 3.0
        places = touchpoints * (1 + 2.0 * VALUES) * SLICES.places
        slices = changes if every == 1 else occupied(places, changes, SLICES.skew)
        late = variation.late * SLICES.late * 3.0
        return Sharing(variation, touchpoints, 2.0, every, slices / every + late)

    found = sharing([of(*each) for each in SHARED])
    assert found.touched == pytest.approx(SLICES.touched)
    assert found.late == pytest.approx(SLICES.late)
    assert found.places == pytest.approx(SLICES.places, rel=0.25)
    assert found.skew == pytest.approx(SLICES.skew, abs=0.051)


def luminance(colour: str) -> float:
    """WCAG 2's relative luminance."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("paper", [1, 2])
@pytest.mark.parametrize("colour", [cost_plots.INK, cost_plots.FIRST, cost_plots.SECOND])
def test_ink_and_lines_stand_out_on_light_and_on_dark_paper(paper: int, colour: str) -> None:
    ink, ground = (luminance(cost_plots.COLOURS[one][paper]) for one in (colour, cost_plots.PAPER))
    assert (max(ink, ground) + 0.05) / (min(ink, ground) + 0.05) >= 4.5


def test_a_plot_is_svg_with_both_papers_and_the_same_each_time(tmp_path: Path) -> None:
    lines = [Line("measured", [1.0, 2.0], [3.0, 4.0]), Line("fitted", [1.0, 2.0], [3.0, 3.5], dashed=True)]
    for name in ("a", "b"):
        cost_plots.draw(tmp_path / f"{name}.svg", "A title", ("x", "y"), lines, log=True)
    text = (tmp_path / "a.svg").read_text()
    assert text == (tmp_path / "b.svg").read_text()
    assert ElementTree.fromstring(text).tag.endswith("svg")
    assert "prefers-color-scheme:dark" in text
    assert not [colour for colour in cost_plots.COLOURS if colour in text]
    assert "A title" in text


def test_the_pages_have_their_markers_and_plots() -> None:
    page = (ROOT / "docs" / "performance.md").read_text()
    for name in ("scale", "costs"):
        assert page.count(f"<!-- bench:{name} -->") == page.count(f"<!-- /bench:{name} -->") == 1
    for name in (*(curve.name for curve in CURVES), "sharing"):
        assert f"plots/{name}.svg" in page
        assert (ROOT / "docs" / "plots" / f"{name}.svg").is_file()


def test_only_what_stands_between_the_markers_is_written_anew() -> None:
    text = "before\n<!-- size: --events-per-second 10 --journeys 1000 -->\nold\n<!-- /size -->\nafter\n"
    new = filled(text)
    assert new.startswith("before\n<!-- size: --events-per-second 10 --journeys 1000 -->\n10 events/s")
    assert new.endswith("\n<!-- /size -->\nafter\n")
    assert "old" not in new
    assert filled(new) == new
