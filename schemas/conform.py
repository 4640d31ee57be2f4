"""Holds a document against a msgspec type and names every misfit, each with its place.

`msgspec.convert` stops at its first error and knows no lines; this walks the same types and goes on.
"""

import difflib
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

from schemas.document import Node, Problem, shown

DecHook = Callable[[type, Any], Any]


class Conform:
    """Compares nodes of `file` with types. `dec_hook` is what `msgspec.convert` would be given.

    `scalars` says in words how to write a type that only `dec_hook` can read.
    """

    def __init__(self, file: str, dec_hook: DecHook, scalars: dict[type, str]) -> None:
        self.file = file
        self._dec_hook = dec_hook
        self._scalars = scalars

    def problem(self, node: Node, what: str, fix: str) -> Problem:
        """A problem at the place of `node`."""
        return Problem(self.file, node.line, node.column, what, fix)

    def misfits(self, node: Node, kind: Any, where: str) -> Iterator[Problem]:
        """Every place where `node` does not fit the type `kind`; `where` is its name in messages."""
        if node.broken:
            return
        base = _bare(kind)
        if get_origin(base) in (Union, types.UnionType):
            if node.value is not None:
                (base,) = (arm for arm in get_args(base) if arm is not types.NoneType)
                yield from self.misfits(node, base, where)
        elif isinstance(base, type) and issubclass(base, Struct):
            yield from self._struct(node, base, where)
        elif get_origin(base) is tuple:
            yield from self._list(node, kind, get_args(base)[0], where)
        elif get_origin(base) is dict:
            yield from self._dict(node, get_args(base)[0], get_args(base)[1], where)
        else:
            yield from self._scalar(node, kind, where)

    def _struct(self, node: Node, kind: type[Struct], where: str) -> Iterator[Problem]:
        if not isinstance(node.value, dict):
            yield self.problem(node, f"{where} is {shown(node.value)}", "write a mapping: `key: value` lines")
            return
        fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
        yield from self._unknown_keys(node, fields, where)
        for name, field in fields.items():
            if name in node.value:
                yield from self.misfits(node.value[name], field.type, f"{where}.{name}" if where != "the map" else name)
            elif field.required:
                yield self.problem(node, f"{where} has no `{name}`", f"add `{name}:`, {wanted(field.type)}")

    def _list(self, node: Node, kind: Any, item: Any, where: str) -> Iterator[Problem]:
        if not isinstance(node.value, list):
            yield self.problem(node, f"{where} is {shown(node.value)}", "write a list: lines that start with `- `")
            return
        for meta in _metas(kind):
            if len(node.value) < (meta.min_length or 0):
                yield self.problem(node, f"{where} is empty", "write at least one item")
            if meta.max_length is not None and len(node.value) > meta.max_length:
                what = f"{where} has {len(node.value)} items"
                yield self.problem(node, what, f"keep at most {meta.max_length}")
        for index, child in enumerate(node.value):
            yield from self.misfits(child, item, f"{where}[{index}]")

    def _dict(self, node: Node, key: Any, item: Any, where: str) -> Iterator[Problem]:
        if not isinstance(node.value, dict):
            yield self.problem(node, f"{where} is {shown(node.value)}", "write a mapping: `key: value` lines")
            return
        if get_origin(key) is Literal:
            yield from self._unknown_keys(node, get_args(key), where)
        for name, child in node.value.items():
            yield from self.misfits(child, item, f"{where}.{name}")

    def _scalar(self, node: Node, kind: Any, where: str) -> Iterator[Problem]:
        try:
            msgspec.convert(node.value, kind, dec_hook=self._dec_hook)
        except msgspec.ValidationError:
            base = _bare(kind)
            fix = f"write {self._scalars.get(base) or wanted(kind)}"
            if isinstance(node.value, str) and get_origin(base) is Literal:
                fix = suggestion(node.value, get_args(base)) + fix
            elif wanted(kind).startswith("text") and isinstance(node.value, bool | int | float):
                fix = "write text: put it in quotes"
            yield self.problem(node, f"{where} is {shown(node.value)}", fix)

    def _unknown_keys(self, node: Node, known: Iterable[str], where: str) -> Iterator[Problem]:
        for name, (line, column) in node.keys.items():
            if name not in known:
                fix = suggestion(name, known) + "use one of " + ", ".join(known)
                yield Problem(self.file, line, column, f"{where} has the unknown key {shown(name)}", fix)


def suggestion(name: str, known: Iterable[str]) -> str:
    """`did you mean ...? ` with the closest of `known`, or nothing."""
    close = difflib.get_close_matches(name[:128], known, n=1)
    return f"did you mean `{close[0]}`? " if close else ""


def wanted(kind: Any) -> str:
    """In words, what a value of a type looks like."""
    metas = _metas(kind)
    base = _bare(kind)
    if get_origin(base) is Literal:
        return "one of " + ", ".join(str(choice) for choice in get_args(base))
    if get_origin(base) is tuple:
        return "a list"
    if base is bool:
        return "true or false"
    if base is str:
        return "text" + "".join(
            f" of {meta.min_length or 0} to {meta.max_length} characters"
            for meta in metas
            if meta.max_length is not None
        )
    if base in (int, float):
        limits = [
            f"{sign} {limit:g}"
            for meta in metas
            for sign, limit in ((">", meta.gt), (">=", meta.ge), ("<", meta.lt), ("<=", meta.le))
            if limit is not None
        ]
        return ("a whole number" if base is int else "a number") + (" " + " and ".join(limits) if limits else "")
    return "a mapping: `key: value` lines"


def _bare(kind: Any) -> Any:
    """A type without its annotations."""
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _metas(kind: Any) -> list[Meta]:
    return [part for part in get_args(kind)[1:] if isinstance(part, Meta)] if get_origin(kind) is Annotated else []
