"""Both languages say everything, and each is written as it should be."""

import re
import string
from pathlib import Path
from typing import get_args

import pytest

import console
from console.language import LANGUAGES, Speech, chosen, texts
from schemas import incident
from schemas.event import Channel, Outcome, Stage
from schemas.loader import load_map
from streams.runtime.settings import DEFAULT_MAP

FOLDER = Path(console.__file__).parent
CHART = load_map(DEFAULT_MAP)
#: Sections whose keys are values of a closed set.
CLOSED = {
    "kind": get_args(incident.Kind),
    "severity": get_args(incident.Severity),
    "status": get_args(incident.Status),
    "measure": get_args(incident.Measured),
    "channel": (*get_args(Channel), "unknown"),
    "outcome": get_args(Outcome),
    "stage": (*get_args(Stage), "unknown", "none"),
}


def _places(text: str) -> set[str | None]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def test_both_languages_have_the_same_texts_with_the_same_places() -> None:
    english, spanish = texts("en"), texts("es")
    assert english.keys() == spanish.keys()
    assert [key for key in english if _places(english[key]) != _places(spanish[key])] == []
    assert [key for language in LANGUAGES for key, text in texts(language).items() if not text.strip()] == []


def test_every_text_that_a_page_asks_for_is_there() -> None:
    sources = [file.read_text() for kind in ("*.html", "*.py") for file in FOLDER.rglob(kind)]
    asked = {
        key for text in sources for key in re.findall(r'\b(?:t|say|speech|self)\("([a-z_]+\.[a-z0-9_]*[a-z0-9])"', text)
    }
    assert len(asked) > 100
    assert asked - texts("en").keys() == set()


@pytest.mark.parametrize("section", CLOSED)
def test_every_value_of_a_closed_set_has_a_text(section: str) -> None:
    assert {f"{section}.{value}" for value in CLOSED[section]} <= texts("en").keys()


@pytest.mark.parametrize(
    ("cookie", "accept", "language"),
    [
        (None, "", "en"),
        (None, "es-AR,es;q=0.9,en;q=0.8", "es"),
        (None, "de-DE,de;q=0.9,en;q=0.5,es;q=0.7", "es"),
        (None, "en;q=0.2,es;q=0", "en"),
        (None, "es;q=oops", "en"),
        ("en", "es", "en"),
        ("fr", "es", "es"),
    ],
)
def test_the_language_is_the_chosen_one_else_the_first_accepted(cookie: str | None, accept: str, language: str) -> None:
    assert chosen(cookie, accept) == language


def test_numbers_are_written_as_the_language_writes_them() -> None:
    english, spanish = Speech("en", CHART), Speech("es", CHART)
    assert (english.number(12345.678, 1), spanish.number(12345.678, 1)) == ("12,345.7", "12.345,7")
    assert (english.percent(0.1234, 1), spanish.percent(0.1234, 1)) == ("12.3 %", "12,3 %")
    assert english.number(None) == "–"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.35, "350 ms"), (1.234, "1.2 s"), (21, "21 s"), (210, "3.5 min"), (7500, "2.1 h"), (1e6, "12 d"), (None, "–")],
)
def test_durations_have_two_or_three_digits(seconds: float | None, said: str) -> None:
    assert Speech("en", CHART).seconds(seconds) == said
