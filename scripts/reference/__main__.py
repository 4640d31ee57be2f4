"""Writes `docs/reference/`: settings, event, map, topics, tables, metrics and commands, each from its one source.

`python -m scripts.reference` writes the pages; `--check` compares and fails where a page is out of date.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from schemas import written
from scripts.reference import commands, fields, metrics, settings, tables, topics

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "reference"
#: Page: what writes it.
PAGES: dict[str, Callable[[], str]] = {
    "settings.md": settings.page,
    "event.md": fields.event_page,
    "map.md": fields.map_page,
    "topics.md": topics.page,
    "tables.md": tables.page,
    "metrics.md": metrics.page,
    "commands.md": commands.page,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or compare the pages; the exit code."""
    return written.main(
        FOLDER,
        {name: page() for name, page in PAGES.items()},
        "python -m scripts.reference",
        "Write the reference pages from the program itself.",
        all_of="*.md",
        arguments=arguments,
    )


if __name__ == "__main__":
    sys.exit(main())
