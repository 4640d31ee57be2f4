"""`corredor backtest` end to end over a small log in which payments fail for ten minutes."""

import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from command import backtest_chart
from command.backtest import command
from command.backtest_view import length
from schemas.errors import UsageError
from tests.builders import event

app = typer.Typer()
app.command()(command)

#: 2026-11-16T00:00:00Z, a Monday.
MONDAY = 1_794_787_200
HOURS = 3
BROKEN = (MONDAY + 7200, MONDAY + 7800)
MAP = """
corridor: shop
label: {en: Shop, es: Tienda}
defaults: {patience: 5min}
segments:
  - {name: carrier, label: {en: Carrier, es: Transporte}}
touchpoints:
  - {name: web.pay, label: {en: Payment, es: Pago}, channel: web, stage: during}
  - {name: parcel, label: {en: Parcel, es: Paquete}, channel: delivery, stage: after, goal: true, importance: 3}
"""
OBJECTIVES = """
objectives:
  - name: payments
    scope: touchpoint
    of: web.pay
    target: 95
    tiers:
      - {burn_rate: 4, long: 15min, short: 2min, severity: page}
      - {burn_rate: 2, long: 30min, short: 5min, severity: page}
      - {burn_rate: 1, long: 2h, short: 30min, severity: ticket}
  - {name: afterwards, scope: stage, of: after, target: 95}
  - {name: journeys, scope: journey, target: 95}
"""


def events(hours: float = HOURS) -> Iterator[dict[str, Any]]:
    """A journey every 3 s; in ten minutes seven of ten payments over `acme` fail, and some journeys end there."""
    chance = random.Random(7)
    for number in range(int(hours * 1200)):
        at = MONDAY + number * 3 + chance.random()
        carrier = chance.choice(("acme", "swift"))
        bad = chance.random() < (0.7 if BROKEN[0] <= at < BROKEN[1] and carrier == "acme" else 0.02)
        who = {"subject": f"c{number % 400}", "source": "shop"}
        about = {"journey": f"j{number}", "segment": {"carrier": carrier}}
        failed = "failure" if bad else "success"
        yield event(at, id=f"{number}a", **who, data={**about, "touchpoint": "web.pay", "outcome": failed})
        if chance.random() < 0.9:
            after = at + chance.expovariate(1 / 30)
            yield event(after, id=f"{number}b", **who, data={**about, "touchpoint": "parcel"})


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the log and two maps."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "map.yaml").write_text(MAP + OBJECTIVES)
    (folder / "plain.yaml").write_text(MAP)
    (folder / "log.ndjson").write_text("".join(json.dumps(one) + "\n" for one in events()))
    return folder


def run(*arguments: object, width: int = 150) -> str:
    result = CliRunner().invoke(app, [str(one) for one in arguments], env={"COLUMNS": str(width)})
    if result.exception is not None:
        raise result.exception
    return result.stdout


def past_of(shop: Path, *arguments: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        run("-m", shop / "map.yaml", "--from", shop / "log.ndjson", "--json", *arguments)
    )
    return found


@pytest.fixture(scope="module")
def past(shop: Path) -> dict[str, Any]:
    return past_of(shop)


def test_the_fault_is_found_by_both_detectors(past: dict[str, Any]) -> None:
    (drop,) = (one for one in past["incidents"] if one["kind"] == "drop")
    assert (drop["touchpoint"], drop["severity"], drop["measure"]) == ("web.pay", "page", "negative")
    assert [(cause["segment"], cause["value"]) for cause in drop["causes"]] == [("carrier", "acme")]
    assert BROKEN[0] < drop["detected_at"] < BROKEN[0] + 120
    alerts = [one for one in past["alerts"] if one["objective"] == "payments"]
    assert {one["burn_rate"] for one in alerts} >= {4.0, 2.0}
    assert all(BROKEN[0] < one["since"] < BROKEN[1] + 60 for one in alerts)
    assert past["objectives"][0]["pages"] == 1, "tiers that fire together are one page"


def test_the_numbers_of_an_objective_are_those_of_the_log(past: dict[str, Any]) -> None:
    payments, afterwards, journeys = past["objectives"]
    outcomes = [one["data"]["outcome"] for one in events() if one["data"]["touchpoint"] == "web.pay"]
    negative = outcomes.count("failure")
    assert (payments["contacts"], payments["negative"]) == (len(outcomes), negative)
    assert payments["share"] == pytest.approx(negative / len(outcomes))
    assert payments["budget_spent"] == pytest.approx(negative / len(outcomes) / 0.05)
    assert payments["most_spent"] is None, "three hours have no thirty days"
    assert (afterwards["negative"], afterwards["alert_s"], afterwards["pages"]) == (0, 0, 0)
    parcels = afterwards["contacts"]
    assert journeys["share"] == pytest.approx(negative / (len(outcomes) + 3 * parcels))
    assert past["contacts"] == len(outcomes) + parcels


def test_pages_and_tickets_are_the_sums_of_both_detectors(past: dict[str, Any]) -> None:
    for severity in ("page", "ticket"):
        incidents = sum(one["severity"] == severity for one in past["incidents"])
        told = sum(one[f"{severity}s"] for one in past["objectives"])
        assert past[f"{severity}s"] == incidents + told
    assert past["pages_per_week"] == pytest.approx(past["pages"] / past["weeks"])


def test_a_period_counts_only_what_is_in_it_and_learns_from_what_is_before(shop: Path, past: dict[str, Any]) -> None:
    calm = past_of(shop, "--until", "2026-11-16T02:00")
    assert (calm["pages"], calm["tickets"], calm["until"]) == (0, 0, BROKEN[0])
    later = past_of(shop, "--since", "2026-11-16T01:00Z", "--until", "2026-11-17")
    assert later["since"] == MONDAY + 3600
    assert later["incidents"] == past["incidents"]
    assert later["objectives"][0]["contacts"] < past["objectives"][0]["contacts"]


def test_a_log_in_another_order_gzipped_and_with_duplicates_is_the_same_past(
    shop: Path, past: dict[str, Any], tmp_path: Path
) -> None:
    lines = (shop / "log.ndjson").read_bytes().splitlines()
    shuffled = [*lines, *lines[100:200]]
    random.Random(1).shuffle(shuffled)
    with gzip.open(tmp_path / "log.ndjson.gz", "wb") as file:
        file.write(b"\n".join([*shuffled, b"{no event}"]))
    found = json.loads(run("-m", shop / "map.yaml", "--from", tmp_path, "--json"))
    assert {**found, "source": ""} == {**past, "source": ""}


def test_the_tables_say_it_in_words(shop: Path) -> None:
    shown = run("-m", shop / "map.yaml", "--from", shop / "log.ndjson", "--list")
    assert "payments" in shown and "budget" in shown
    assert "drop, negative" in shown and "carrier = acme" in shown
    assert "payments: burns faster than" in shown
    assert " in 3 h" in shown.splitlines()[-1]


def test_a_map_without_objectives_shows_incidents_and_how_to_add_one(shop: Path) -> None:
    shown = run("-m", shop / "plain.yaml", "--from", shop / "log.ndjson")
    assert "objectives:" in shown and "scope: corridor" in shown
    assert "drop, negative" in shown


@pytest.mark.parametrize("map_", ["map", "plain"])
def test_the_chart_is_written_in_the_format_of_its_name(shop: Path, tmp_path: Path, map_: str) -> None:
    pytest.importorskip("matplotlib")
    run(
        *("-m", shop / f"{map_}.yaml", "--from", shop / "log.ndjson", "--until", "2026-11-16T02:30"),
        *("--chart", tmp_path / "chart.html"),
    )
    page = (tmp_path / "chart.html").read_text()
    assert page.startswith("<!doctype html>") and "<svg" in page and "drop web.pay" in page
    assert ("payments: target 95 %" in page) == (map_ == "map")


@pytest.mark.parametrize(("suffix", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("html", b"<!doctype html>")])
def test_a_chart_of_nothing_but_good_contacts_can_be_drawn(tmp_path: Path, suffix: str, start: bytes) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "map.yaml").write_text(MAP + OBJECTIVES)
    (tmp_path / "log.ndjson").write_text("".join(json.dumps(one) + "\n" for one in events(0.01)))
    for _ in range(2):
        run("-m", tmp_path / "map.yaml", "--from", tmp_path / "log.ndjson", "--chart", tmp_path / f"chart.{suffix}")
    assert (tmp_path / f"chart.{suffix}").read_bytes().startswith(start)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--from", "nowhere.ndjson"], "there is no file or folder nowhere.ndjson"),
        (["--from", "{shop}/map.yaml"], "no event log .* --mapping"),
        (
            ["--from", "{shop}/log.ndjson", "--since", "2027-01-01"],
            "nothing happened .* 2026-11-16 00:00 to 2026-11-16",
        ),
        (["--from", "{shop}/log.ndjson", "--since", "soon"], "--since soon: write a date"),
        (["--from", "{shop}/log.ndjson", "--since", "2026-11-17", "--until", "2026-11-16"], "is not after --since"),
        (["--from", "{shop}/log.ndjson", "--clickhouse", "chdb:///x"], "give one of them"),
        (["--mapping", "olist"], "--mapping says how files"),
        (["--from", "{shop}/log.ndjson", "--chart", "chart.pdf"], ".png, .svg, .html"),
        (["--from", "{shop}/log.ndjson", "--chart", "/no/such/folder/chart.png"], "there is no folder"),
        (["--clickhouse", "chdb:///no/such/folder"], "no ClickHouse folder"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_do(shop: Path, arguments: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        run("-m", shop / "map.yaml", *(one.format(shop=shop) for one in arguments))


def test_a_file_without_events_is_refused(shop: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.ndjson").write_text("{}\n\n{}\n")
    with pytest.raises(UsageError, match="no event in 2 rows"):
        run("-m", shop / "map.yaml", "--from", tmp_path / "empty.ndjson")


def test_without_matplotlib_a_chart_is_refused_before_the_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(UsageError, match=r"corredor\[charts\]"):
        backtest_chart.check(tmp_path / "chart.png")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0"), (10, "10 s"), (70, "1 min 10 s"), (3600, "1 h"), (93_600, "1 d 2 h"), (30 * 86_400, "30 d")],
)
def test_lengths_of_time_are_readable(seconds: int, said: str) -> None:
    assert length(seconds) == said


@pytest.mark.shared
@pytest.mark.slow
def test_the_second_week_of_march_2016_shows_in_the_service_desks_log(shared_data: Path, tmp_path: Path) -> None:
    text = run(
        *("-m", Path(__file__).parents[2] / "schemas" / "maps" / "support.yaml", "--mapping", "support"),
        *("--from", shared_data / "support", "--until", "2016-03-26", "--json"),
    )
    found = json.loads(text)
    (broken,) = (one for one in found["incidents"] if one["measure"] == "broken_promise")
    assert broken["touchpoint"] == "ticket.closed" and broken["severity"] == "page"
    # Opened from 7 to 13 March; tickets close days after they are opened.
    assert 1_457_740_800 <= broken["since"] < 1_457_827_200, "12 March"
    assert broken["before"] < 0.1 and broken["now"] > 0.8
    assert (broken["causes"][0]["segment"], broken["causes"][0]["value"]) == ("priority", "3")
