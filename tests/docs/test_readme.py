"""The README in Spanish is the README: the same sections, commands, links, settings and numbers."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ENGLISH, SPANISH = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.es.md"))
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")
#: The first block is a picture: its words are translated, the names in it are not.
_NAME = re.compile(r"[a-z]+\.[a-z]+|/metrics|ClickHouse|Prometheus|ingest|score|detect|sink")


def blocks(text: str) -> list[tuple[str, str]]:
    """Language and text of each block, without comments."""
    return [
        (language, "".join(f"{re.sub(r'(^| +)# .*', '', line).rstrip()}\n" for line in block.splitlines()))
        for language, block in _BLOCK.findall(text)
    ]


def prose(text: str) -> str:
    """All that stands outside the blocks."""
    return _BLOCK.sub("", text)


def test_each_leads_to_the_other() -> None:
    assert "[Español](README.es.md)" in ENGLISH
    assert "[English](README.md)" in SPANISH


def test_commands_and_examples_are_the_same() -> None:
    (_, english), *english_blocks = blocks(ENGLISH)
    (_, spanish), *spanish_blocks = blocks(SPANISH)
    assert len(english_blocks) > 5
    assert spanish_blocks == english_blocks
    assert _NAME.findall(spanish) == _NAME.findall(english)


def test_links_lead_to_the_same_places_in_the_same_order() -> None:
    english, spanish = _LINK.findall(prose(ENGLISH)), _LINK.findall(prose(SPANISH))
    assert len(english) > 20
    assert spanish[1:] == english[1:]


def test_links_lead_to_files_that_are_there() -> None:
    for target in (*_LINK.findall(ENGLISH), *_LINK.findall(SPANISH)):
        assert (ROOT / target.partition("#")[0]).exists(), target


def test_what_stands_as_code_in_the_text_is_the_same() -> None:
    assert sorted(_CODE.findall(prose(SPANISH))) == sorted(_CODE.findall(prose(ENGLISH)))


def test_sections_and_tables_are_as_long() -> None:
    for mark in (r"^## ", r"^\| ", r"^- "):
        assert len(re.findall(mark, SPANISH, re.MULTILINE)) == len(re.findall(mark, ENGLISH, re.MULTILINE)), mark
