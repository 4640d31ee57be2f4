"""The page of commands: each with its arguments and options, from the tree that the command line is parsed with."""

import inspect
from types import NoneType
from typing import Any, Literal, get_args, get_origin

import typer

from command.main import app
from scripts.reference.markdown import WORDS, code, sentence, table
from scripts.reference.markdown import page as whole

_INTRODUCTION = """Settings come from the environment and from `corredor.toml`: [settings](settings.md). Exit codes: 0
done, 1 failed, 2 unusable input, 130 interrupted (Ctrl-C). `corredor --install-completion` completes commands and
options in your shell."""


def page() -> str:
    """All commands, in the order of `corredor --help`."""
    group: Any = typer.main.get_command(app)
    context = group.make_context("corredor", [], resilient_parsing=True)
    overview = [
        (f"[{name}](#corredor-{name})", sentence(inspect.cleandoc(command.help).partition("\n\n")[0]))
        for name, command in group.commands.items()
    ]
    sections = [_section(name, command, context) for name, command in group.commands.items()]
    return whole("Commands", _INTRODUCTION, table(("command", "what it does"), overview), *sections)


def _section(name: str, command: Any, parent: Any) -> str:
    context = type(parent)(command, info_name=name, parent=parent)
    usage = " ".join(("corredor", name, *command.collect_usage_pieces(context)))
    parts = [f"## corredor {name}", f"```\n{usage}\n```", inspect.cleandoc(command.help)]
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    if arguments:
        rows = [(code(one.metavar or one.name), _default(one), one.help or "") for one in arguments]
        parts.append(table(("argument", "default", "what it is"), rows))
    options = [one for one in command.params if one.param_type_name == "option" and "--help" not in one.opts]
    if options:
        named = [(_names(one), _values(one), _default(one), one.help or "") for one in options]
        parts.append(table(("option", "values", "default", "what it is"), named))
    return "\n\n".join(parts)


def _names(option: Any) -> str:
    return ", ".join(map(code, (*sorted(option.opts, key=len, reverse=True), *option.secondary_opts)))


def _values(option: Any) -> str:
    if option.is_flag:
        return ""
    kind = option.type_descriptor.annotation
    while get_args(kind) and get_origin(kind) is not Literal:
        (kind,) = (arm for arm in get_args(kind) if arm is not NoneType)
    if get_origin(kind) is Literal:
        return ", ".join(map(code, get_args(kind)))
    limits = [f"{sign} {limit:g}" for sign, limit in (("≥", option.min), ("≤", option.max)) if limit is not None]
    text = ", ".join((option.metavar or WORDS[kind], *limits))
    return f"{text}; several times" if option.multiple else text


def _default(one: Any) -> str:
    if one.required:
        return "required"
    if one.default is None or one.default is False or one.default == "":
        return ""
    return "on" if one.default is True else code(one.default)
