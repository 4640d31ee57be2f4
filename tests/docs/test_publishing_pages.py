"""What the pages of docs/publishing show is right by the contract, and leads somewhere."""

import re
from typing import Any
from xml.etree import ElementTree

import pytest

from schemas.rejection import Reason
from schemas.topics import EVENTS
from sources.privacy import Pseudonymiser
from streams.model.decode import decode
from streams.runtime.local import kafka_version
from tests.builders import Record
from tests.docs.guides import FOLDER, RUN, blocks

PAGES = sorted(file.name for file in FOLDER.glob("*.md"))
_LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)")


def events(page: str) -> list[str]:
    """Each JSON text of the page: a whole block, or its lines where it is NDJSON."""
    shown = [block for block in blocks(page) if block.language == "json"]
    return [text for block in shown for text in (block.text.splitlines() if "ndjson" in block.title else [block.text])]


def test_every_json_event_shown_is_valid() -> None:
    shown = [text for page in PAGES for text in events(page)]
    assert len(shown) >= 4
    for text in shown:
        decode(Record(0, 0, None, text.encode()))


def test_the_readme_names_every_reason_of_a_rejection() -> None:
    text = (FOLDER / "README.md").read_text()
    assert [reason for reason in Reason if f"`{reason.value}`" not in text] == []


@pytest.mark.parametrize("customer", ["104233", "cliente-ñ", ""])
def test_the_pseudonym_shown_is_the_one_that_our_own_programs_make(customer: str) -> None:
    (shown,) = (block.text for block in blocks("README.md") if block.title == "pseudonym.py")
    names: dict[str, Any] = {}
    exec(shown, names)
    key = b"0123456789abcdef"
    assert names["pseudonym"](key, customer) == Pseudonymiser(key, []).token(customer)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_pages_and_headings_that_are_there(page: str) -> None:
    for target, heading in _LINK.findall((FOLDER / page).read_text()):
        if target.startswith("https://"):
            continue
        file = (FOLDER / target if target else FOLDER / page).resolve()
        assert file.is_file(), target
        if heading:
            titles = [line.lstrip("# ").lower() for line in file.read_text().splitlines() if line.startswith("#")]
            assert heading in {re.sub(r"[^\w -]", "", title).replace(" ", "-") for title in titles}, heading


@pytest.mark.parametrize("page", [page for page in PAGES if page != "README.md"])
def test_each_page_has_programs_and_says_how_to_run_them(page: str) -> None:
    titles = [block.title for block in blocks(page)]
    assert titles.count(RUN) == 1
    assert any(title.rpartition("/")[2].lower().startswith("publish.") for title in titles)
    assert page == "curl.md" or any(EVENTS.name in block.text for block in blocks(page))


def test_the_java_page_takes_the_client_of_the_kafka_it_is_tested_with() -> None:
    (pom,) = (block.text for block in blocks("java.md") if block.title == "pom.xml")
    found = {
        node.findtext("{*}artifactId"): node.findtext("{*}version")
        for node in ElementTree.fromstring(pom).iterfind(".//{*}dependency")
    }
    assert found["kafka-clients"] == kafka_version()
