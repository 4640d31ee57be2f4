"""Files that are made from what the program knows, and that are committed: written, or compared."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from schemas.errors import UsageError


def write(folder: Path, files: dict[str, str], option: str = "--out") -> None:
    """Write the texts below the folder, by name. Raises UsageError where that cannot be; `option` named the folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{option} {folder}: {error.filename} cannot be written: {error.strerror}") from None


def stale(folder: Path, files: dict[str, str], command: str, all_of: str = "") -> list[str]:
    """What differs, one sentence a file; `command` writes it. Nothing else may be there that `all_of` matches."""
    found = {path.name for path in folder.glob(all_of)} if all_of else set()
    sentences = [f"{folder / name}: nothing writes this file; remove it" for name in sorted(found - files.keys())]
    for name, text in files.items():
        file = folder / name
        try:
            if file.read_text(encoding="utf-8") != text:
                sentences.append(f"{file}: differs; write it anew with {command}")
        except FileNotFoundError:
            sentences.append(f"{file}: missing; write it with {command}")
        except (OSError, UnicodeDecodeError) as error:
            sentences.append(f"{file}: cannot be read ({error})")
    return sentences


def main(
    folder: Path,
    files: dict[str, str],
    command: str,
    description: str | None,
    all_of: str = "",
    arguments: Sequence[str] | None = None,
) -> int:
    """A script that writes the files, or compares them with `--check`; returns its exit code."""
    parser = argparse.ArgumentParser(prog=command, description=description)
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 where a file is out of date")
    parser.add_argument("--folder", type=Path, default=folder, help="where the files are (default: %(default)s)")
    options = parser.parse_args(arguments)
    if not options.check:
        try:
            write(options.folder, files, "--folder")
        except UsageError as error:
            sys.stderr.write(f"{error}\n")
            return 2
        return 0
    sentences = stale(options.folder, files, f"`{command}`", all_of)
    sys.stderr.writelines(f"{sentence}\n" for sentence in sentences)
    return 1 if sentences else 0
