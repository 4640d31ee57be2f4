"""A YAML 1.2 file as plain values that know where they stand, so that every message can name line and column.

What YAML offers and a configuration does not need is refused with a message: tags of one's own, keys that are no text,
duplicate keys, several documents, infinities. Aliases are read, but may not blow the document up.
"""

import math
import re
from pathlib import Path
from typing import Any

from msgspec import Struct
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

#: The largest file that is read, in bytes.
MAX_FILE_BYTES = 4 * 1024 * 1024
#: The most values a document may hold once its aliases are written out.
MAX_VALUES = 1_000_000
#: The deepest nesting.
MAX_DEPTH = 32

_TAG = "tag:yaml.org,2002:"
_BRACKETS = re.compile(r"[\[\]{}]")
_BASES = {"0x": 16, "0o": 8, "0b": 2}
_TEXT_TAGS = {f"{_TAG}str", f"{_TAG}timestamp"}
_HINTS = {
    "mapping values are not allowed here": "put text that holds `: ` in quotes, or correct the indentation",
    "that cannot start any token": "indent with spaces, and put text that starts with a special sign in quotes",
    "undefined alias": "define the anchor (`&name`) above its use, or put text that starts with `*` in quotes",
    "expected a single document": "keep one document in the file: remove the `---` lines between documents",
}


class Problem(Struct, frozen=True, order=True):
    """What is wrong with a file, where (line and column count from 1), and what to do."""

    file: str
    line: int
    column: int
    what: str
    fix: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.what}; {self.fix}"


class Node(Struct, eq=False):
    """A value and its place. `value` is a scalar, a list of nodes, or a dict of nodes by key.

    `size` counts the values below it, itself included. `broken`: a problem has been reported already, ask no more.
    """

    value: Any
    line: int
    column: int
    size: int = 1
    broken: bool = False
    #: Where each key of a mapping stands: line, column.
    keys: dict[str, tuple[int, int]] = {}

    def plain(self) -> Any:
        """The value without places: dicts, lists and scalars."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value]
        return self.value


def read_document(path: Path) -> tuple[Node | None, list[Problem]]:
    """Read a YAML file. The node is None where there is nothing to go on with; nothing is raised."""
    file = str(path)
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        return None, [Problem(file, 1, 1, "there is no such file", "check the path")]
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return None, [Problem(file, 1, 1, f"the file cannot be read ({reason})", "name a readable file")]
    if len(data) > MAX_FILE_BYTES:
        fix = "a map names touchpoints, not customers or events: leave data out of it"
        return None, [Problem(file, 1, 1, f"the file is larger than {MAX_FILE_BYTES // 2**20} MiB", fix)]
    return parse_document(data, file)


def parse_document(data: bytes, file: str) -> tuple[Node | None, list[Problem]]:
    """As `read_document`, from bytes; `file` is the name that problems carry."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, column = _place(data[: error.start].decode("utf-8-sig", "replace"))
        return None, [
            Problem(file, line, column, f"byte {data[error.start]:#04x} is no UTF-8", "save the file as UTF-8")
        ]
    if _runs_away(text):
        return None, [_too_deep(file, 1, 1)]
    yaml = YAML(typ="safe", pure=True)
    yaml.composer.warn_double_anchors = False
    try:
        root = yaml.compose(text)
    except YAMLError as error:
        return None, [_syntax_problem(error, text, file)]
    except RecursionError:
        return None, [_too_deep(file, 1, 1)]
    # ruamel.yaml 0.19 lets these out of its scanner, for example OverflowError for "\UFFFFFFFF".
    except (ArithmeticError, LookupError, ValueError, AttributeError, TypeError, AssertionError) as error:
        fix = "correct escapes such as \\x41 and lines that start with %"
        return None, [Problem(file, 1, 1, f"YAML cannot be read ({type(error).__name__}: {error})", fix)]
    if root is None:
        return None, [Problem(file, 1, 1, "the file is empty", "write the map, or start from schemas/maps/retail.yaml")]
    builder = _Builder(file)
    node = builder.build(root, 0)
    if node.size > MAX_VALUES:
        what = f"aliases make this document larger than {MAX_VALUES:,} values"
        builder.problems.append(Problem(file, node.line, node.column, what, "write out what is meant without aliases"))
        return None, builder.problems
    return node, builder.problems


def shown(value: object) -> str:
    """A value as a message shows it: short, in backquotes."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "empty"
    text = "true" if value is True else "false" if value is False else str(value)
    if not text.isprintable():
        text = repr(text)[1:-1]
    return f"`{text}`" if len(text) <= 60 else f"`{text[:60]}...`"


class _Builder:
    """Turns ruamel's nodes into ours. A node that several aliases share is built once."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self._done: dict[int, Node] = {}
        self._open: set[int] = set()

    def build(self, source: Any, depth: int) -> Node:
        """The node of `source`; what is wrong goes to `problems`."""
        identity = id(source)
        if identity in self._done:
            return self._done[identity]
        node = Node(None, source.start_mark.line + 1, source.start_mark.column + 1)
        if identity in self._open:
            return self._fault(node, "this alias stands inside what it names", "write it out without the alias")
        if depth > MAX_DEPTH:
            node.broken = True
            self.problems.append(_too_deep(self.file, node.line, node.column))
            return node
        self._open.add(identity)
        if isinstance(source, MappingNode) and source.tag == f"{_TAG}map":
            self._mapping(source, node, depth)
        elif isinstance(source, SequenceNode) and source.tag == f"{_TAG}seq":
            node.value = [self.build(child, depth + 1) for child in source.value]
            node.size += sum(child.size for child in node.value)
        elif isinstance(source, ScalarNode):
            self._scalar(source, node)
        else:
            self._fault(node, f"the tag {shown(str(source.tag))} has no meaning here", "remove it")
        self._open.discard(identity)
        self._done[identity] = node
        return node

    def _mapping(self, source: MappingNode, node: Node, depth: int) -> None:
        children: dict[str, Node] = {}
        node.keys = {}
        for key_source, child_source in source.value:
            key = self.build(key_source, depth + 1)
            child = self.build(child_source, depth + 1)
            if key.broken:
                continue
            if not isinstance(key.value, str):
                self._fault(key, "this key is no text", "write the key as a word, or in quotes")
            elif key.value in children:
                line = node.keys[key.value][0]
                self._fault(key, f"duplicate key {shown(key.value)} (first in line {line})", "remove one of them")
            else:
                children[key.value] = child
                node.keys[key.value] = (key.line, key.column)
                node.size += child.size
        node.value = children

    def _scalar(self, source: ScalarNode, node: Node) -> None:
        text = source.value
        if source.tag in _TEXT_TAGS:
            node.value = text
            if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
                self._fault(node, f"{shown(text)} holds half a character", "write the character itself, not \\ud800")
        elif source.tag == f"{_TAG}null":
            node.value = None
        elif source.tag == f"{_TAG}bool" and text.lower() in ("true", "false"):
            node.value = text.lower() == "true"
        elif source.tag == f"{_TAG}int":
            node.value = _read_int(text)
            if node.value is None:
                self._fault(node, f"{shown(text)} is no number that can be held", "write a smaller number, or quotes")
        elif source.tag == f"{_TAG}float":
            node.value = _read_float(text)
            if node.value is None:
                self._fault(node, f"{shown(text)} is no finite number", "write a finite number, or quotes around text")
        else:
            self._fault(
                node, f"{shown(text)} with the tag {shown(str(source.tag))} has no meaning here", "remove the tag"
            )

    def _fault(self, node: Node, what: str, fix: str) -> Node:
        node.broken = True
        self.problems.append(Problem(self.file, node.line, node.column, what, fix))
        return node


def _runs_away(text: str) -> bool:
    """Whether brackets pile up by the thousand: ruamel.yaml takes quadratic time for them (20,000: 8 seconds)."""
    depth = 0
    for match in _BRACKETS.finditer(text):
        depth = depth + 1 if match[0] in "[{" else max(depth - 1, 0)
        if depth > 1000:
            return True
    return False


def _too_deep(file: str, line: int, column: int) -> Problem:
    return Problem(file, line, column, f"nested deeper than {MAX_DEPTH} levels", "close brackets, or flatten it")


def _syntax_problem(error: YAMLError, text: str, file: str) -> Problem:
    if isinstance(error, MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
        said = " ".join(str(part) for part in (error.context, error.problem) if part)
    else:
        line, column = _place(text[: getattr(error, "position", 0)])
        said = str(error).partition("\n")[0]
    fix = next((hint for sign, hint in _HINTS.items() if sign in said), "correct indentation, quotes or brackets here")
    return Problem(file, line, column, f"YAML syntax: {said}", fix)


def _place(before: str) -> tuple[int, int]:
    """Line and column of what follows `before`."""
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


def _read_int(text: str) -> int | None:
    """The whole number that `text` writes (`12`, `-1_000`, `0x1F`, `0o17`); None if it is none, or beyond 64 bits."""
    digits = text.replace("_", "").lower()
    sign = -1 if digits.startswith("-") else 1
    digits = digits.lstrip("+-")
    base = _BASES.get(digits[:2], 10)
    if len(digits) > 80:
        return None
    try:
        number = sign * int(digits[2:] if base != 10 else digits, base)
    except ValueError:
        return None
    return number if -(2**63) <= number < 2**63 else None


def _read_float(text: str) -> float | None:
    """The finite number that `text` writes; None for `.inf`, `.nan` and what is beyond a double."""
    try:
        number = float(text.replace("_", ""))
    except ValueError:
        return None
    return number if math.isfinite(number) else None
