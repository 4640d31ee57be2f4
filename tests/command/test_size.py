"""`corredor size`: what it prints, in both forms, and that the documented plans are what it prints."""

import re
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from bench.sized import answer, filled
from command.main import app
from command.size import _bytes
from schemas.errors import StopProcess, UsageError

PAGE = Path(__file__).resolve().parents[2] / "docs" / "sizing.md"
USUAL = ["size", "--events-per-second", "1000", "--journeys", "100000"]


def test_the_plans_of_the_page_are_what_the_command_prints() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text.count("<!-- size:") >= 3
    assert filled(text) == text, "run `python -m bench.sized`"


def test_a_plan_that_is_out_of_date_would_be_noticed() -> None:
    text = PAGE.read_text(encoding="utf-8")
    old = re.sub(r"\*\*(\d+) partitions\*\*", lambda found: f"**{int(found[1]) + 1} partitions**", text, count=1)
    assert old != text
    assert filled(old) == text


def test_every_option_has_a_row_on_the_page() -> None:
    printed = CliRunner().invoke(app, ["size", "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"}).stdout
    options = set(re.findall(r"--[a-z][a-z-]+", printed)) - {"--help"}
    assert {"--events-per-second", "--installations", "--json"} <= options
    text = PAGE.read_text(encoding="utf-8")
    assert not [option for option in options if option not in text]


def test_json_has_the_plan_in_plain_units_and_where_it_comes_from() -> None:
    done = CliRunner().invoke(app, [*USUAL, "--json"])
    plan = msgspec.json.decode(done.stdout)
    assert plan["load"]["events_per_second"] == 1000
    assert plan["cores"] == sum(plan[role]["processes"] for role in ("worker", "sink", "collector"))
    assert {one["name"] for one in plan["topics"]} >= {"touchpoint.events", "corredor.state.ingest"}
    assert plan["measured"]["machine"]["cpu"]


def test_text_says_what_it_was_measured_on() -> None:
    assert re.search(
        r"By `python -m bench\.costs --write`, \d{4}-\d\d-\d\d, on ", CliRunner().invoke(app, USUAL).stdout
    )


def test_nonsense_is_refused_with_the_option_and_its_range() -> None:
    done = CliRunner().invoke(app, ["size", "--events-per-second", "-5", "--journeys", "1"])
    assert isinstance(done.exception, UsageError)
    assert str(done.exception) == "--events-per-second -5: it has to lie between 0.001 and 100,000,000"


def test_options_that_cannot_be_stop_the_page() -> None:
    with pytest.raises(StopProcess, match="--journeys"):
        answer("--events-per-second 1 --journeys -1")


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (99_960, "100 kB"),
        (999_600, "1.00 MB"),
        (12_345_678, "12.3 MB"),
        (7e21, "7000 EB"),
    ],
)
def test_bytes_have_three_digits_and_a_unit(count: float, said: str) -> None:
    assert _bytes(count) == said


def test_the_last_plan_of_the_page_is_one_that_works() -> None:
    assert "Too much" not in PAGE.read_text(encoding="utf-8").rpartition("<!-- size:")[2]
