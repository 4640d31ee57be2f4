"""What the query interface lets through: one plain read, and no setting that reads or writes outside the database.

The engine's `readonly = 1` refuses writes, changes of settings and table functions that reach outside. What it lets
through all the same is refused here, by looking at the query as the engine parses it, before it runs:

- INTO OUTFILE, and several statements at once: by the engine's own classification;
- functions that read files, run Python or call a model over the network, also where APPLY names them;
- SETTINGS inside a subquery, which would lift the limits of a query;
- settings sent beside the query that hold expressions, name files, or change the language the query is written in.
"""

import re
from typing import Any

READONLY = 164
_SYNTAX = 62
_UNKNOWN_SETTING = 115
#: A parser error of the engine without a code of its own.
_STD_EXCEPTION = 1002
_CODE = re.compile(r"Code: (\d+)")
_NAME = re.compile(r"\w+")
_OUTSIDE = r"(file|python|ai\w+)"
_CALL = re.compile(rf"^ *Function {_OUTSIDE} ", re.MULTILINE | re.IGNORECASE)
_WORD = re.compile(rf"\b{_OUTSIDE}\b", re.IGNORECASE)
_APPLY = re.compile(r"^ *ColumnsApplyTransformer", re.MULTILINE)
_SETTINGS = re.compile(r"^ *Set\s*$", re.MULTILINE)
_GUARDED = re.compile(r"^additional_|dialect|^implicit_|format_schema|format_template|^ai_|_path$|credentials")


class QueryError(Exception):
    """An error as ClickHouse would answer it."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def ask(connection: Any, sql: str, fmt: str, params: dict[str, str]) -> Any:
    """Run a query on a chDB connection; QueryError if the engine does not."""
    try:
        return connection.query(sql, fmt, params=params)
    except RuntimeError as error:
        message = str(error)
        message = message[max(message.find("Code: "), 0) :].strip()
        code = _CODE.search(message)
        raise QueryError(int(code[1]) if code else _STD_EXCEPTION, message) from error


def admit_setting(name: str) -> None:
    """Refuse a setting of the caller's that guards something, or is none."""
    if not _NAME.fullmatch(name):
        raise QueryError(
            _UNKNOWN_SETTING, f"Code: {_UNKNOWN_SETTING}. DB::Exception: Unknown setting '{name}'. (UNKNOWN_SETTING)"
        )
    if _GUARDED.search(name):
        raise _read_only(f"Cannot modify '{name}' setting in readonly mode.")


def admit(connection: Any, sql: str, params: dict[str, str]) -> None:
    """Refuse what is not one plain read."""
    report = connection._conn.classify_query(sql, "corredor")
    kind, statements = report["query_class"].name, int(report["statement_count"])
    if kind == "UNKNOWN":
        # The engine parses it without running it, so that its words about the error come back.
        _formatted(connection, sql)
        raise _syntax("not a single statement.")
    if statements != 1:
        raise _syntax("Multi-statements are not allowed.")
    if kind != "READ_ONLY":
        raise _read_only("Cannot execute query in readonly mode.")
    tree = _text(ask(connection, f"EXPLAIN AST {sql}", "TSVRaw", params))
    if _SETTINGS.search(tree):
        raise _read_only("Cannot modify settings inside a query in readonly mode; send them beside it.")
    # The tree does not say what APPLY applies; the query as the engine writes it does, without escapes and comments.
    outside = _CALL.search(tree) or (_WORD.search(_formatted(connection, sql)) if _APPLY.search(tree) else None)
    if outside:
        raise _read_only(f"Function {outside[1]} reaches outside the database, which is read-only here.")


def _formatted(connection: Any, sql: str) -> str:
    """The query as the engine writes it; QueryError where it cannot be parsed."""
    # A String parameter's value travels in TSV escaping.
    escaped = sql.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")
    return _text(ask(connection, "SELECT formatQuery({corredor_sql:String})", "TSVRaw", {"corredor_sql": escaped}))


def _text(result: Any) -> str:
    return bytes(result.bytes()).decode(errors="replace")


def _read_only(message: str) -> QueryError:
    return QueryError(READONLY, f"Code: {READONLY}. DB::Exception: {message} (READONLY)")


def _syntax(message: str) -> QueryError:
    return QueryError(_SYNTAX, f"Code: {_SYNTAX}. DB::Exception: Syntax error: {message} (SYNTAX_ERROR)")
