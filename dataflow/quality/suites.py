"""Suites of Great Expectations, as JSON files: read as rules, and rules written as suites.

A plain reading of the file format, so that a workflow is declared without the seconds that importing Great
Expectations takes. What only our rules have (name, route, scope) is kept in each expectation's ``meta.dataflow``.
"""

from __future__ import annotations

import json
import os
import pkgutil
import re
from collections.abc import Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

from dataflow.errors import ConfigError, hint
from dataflow.quality.routes import Branch, Repair, read_on_fail
from dataflow.quality.rules import ValidationRule

STATEMENT, DIALECT = "expect_rows_to_satisfy", "dataflow"
OURS = ("rule", "on_fail", "scope")
THEIRS = ("id", "description", "notes", "rendered_content")
"""What Great Expectations keeps of an expectation for people, and what says nothing about rows."""
COLUMNS = ("column", "column_A", "column_B", "column_list", "column_set")


def load_suite(path: str | os.PathLike[str]) -> tuple[ValidationRule, ...]:
    """The rules of a suite that Great Expectations 1.x, or ``save_suite``, wrote.

    An expectation that ``meta.dataflow`` gives no name is called after its type and columns.
    Errors: ConfigError that names the file, and the expectation: for what is no suite or one of another version,
    and for what a rule cannot be.
    """
    file = Path(path)
    suite = _read(file)
    rules: list[ValidationRule] = []
    for number, written in enumerate(suite["expectations"]):
        try:
            rules.append(_rule(written, {rule.name for rule in rules}))
        except ConfigError as error:
            raise ConfigError(f"{file}: expectations.{number}: {error.message}", file=str(file)) from error
    return tuple(rules)


def save_suite(name: str, rules: Sequence[ValidationRule], path: str | os.PathLike[str]) -> None:
    """Write rules as a suite that Great Expectations 1.x and ``load_suite`` read.

    Predicates become ``expect_rows_to_satisfy``, which Great Expectations knows once ``gx_polars`` is imported.
    Errors: ConfigError for a repair by a function that no import finds again, and for a folder that is not there.
    """
    file = Path(path)
    suite = {
        "name": name,
        "expectations": [_expectation(rule) for rule in rules],
        "meta": {"great_expectations_version": version("great-expectations")},
    }
    text = json.dumps(suite, indent=2, ensure_ascii=False, default=_plain)
    try:
        file.write_text(f"{text}\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{file}: the suite cannot be written: {error.strerror}", file=str(file)) from error


def _read(file: Path) -> dict[str, Any]:
    suite = _json(file)
    problem = _problem(suite)
    if problem is not None:
        raise ConfigError(f"{file}: {problem}", file=str(file))
    return cast(dict[str, Any], suite)


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        message = (
            "there is no such suite; write one with save_suite, or name the file that Great Expectations keeps it in"
        )
    except (IsADirectoryError, NotADirectoryError):
        message = "is no file; name the JSON file of a suite"
    except UnicodeDecodeError as error:
        message = f"is not UTF-8 text (byte {error.start}); save it as UTF-8"
    except json.JSONDecodeError as error:
        message = f"not valid JSON, line {error.lineno} column {error.colno}: {error.msg}"
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
    raise ConfigError(f"{file}: {message}", file=str(file))


def _problem(suite: Any) -> str | None:
    """Why this is no suite that we read, in words."""
    again = "load it with Great Expectations 1 and save it again"
    expectations: Any = suite.get("expectations") if isinstance(suite, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if isinstance(suite, dict) and "expectation_suite_name" in suite:
        return f"a suite of Great Expectations 0.x; {again}"
    if not isinstance(expectations, list):
        return 'not a suite of Great Expectations: {"name": …, "expectations": […]} is expected'
    if any(isinstance(each, dict) and "expectation_type" in each for each in cast(list[Any], expectations)):
        return f"its expectations are those of Great Expectations 0.x (expectation_type); {again}"
    meta: Any = cast(dict[str, Any], suite).get("meta")
    written = meta.get("great_expectations_version", "1") if isinstance(meta, dict) else "1"  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if str(written).partition(".")[0] != "1":  # pyright: ignore[reportUnknownArgumentType]
        return f"a suite of Great Expectations {written}, and 1.x is understood; {again}"
    return None


def _rule(written: Any, taken: set[str]) -> ValidationRule:
    if not isinstance(written, dict):
        raise ConfigError(f'an expectation is {{"type": …, "kwargs": {{…}}}}, not {written!r}')
    given = cast(dict[str, Any], written)
    _check_keys(given)
    kind, arguments, ours = given.get("type"), _part(given, "kwargs"), _part(_part(given, "meta"), "dataflow")
    for key in ours:
        if key not in OURS:
            raise ConfigError(f"unknown key meta.dataflow.{key}{hint(key, OURS)}")
    for argument, value in arguments.items():
        if isinstance(value, dict) and "$PARAMETER" in value:
            raise ConfigError(f"{argument} is a parameter of the suite ({value}); write its value into the file")
    name = ours.get("rule") or _free(_name(str(kind), arguments), taken)
    fields: dict[str, Any] = {"severity": given.get("severity") or "critical", "mostly": arguments.pop("mostly", 1.0)}
    fields |= {"scope": ours.get("scope"), "on_fail": _on_fail(name, ours.get("on_fail"))}
    if kind == STATEMENT:
        return ValidationRule(name, _predicate(name, arguments), **fields)
    return ValidationRule(name, expectation={"type": kind, **arguments}, **fields)


def _check_keys(given: dict[str, Any]) -> None:
    known = ("type", "kwargs", "severity", "meta", *THEIRS)
    for key, value in given.items():
        if key not in known and value not in (None, [], {}):
            raise ConfigError(f"{key!r} of an expectation is not understood{hint(key, known)}")


def _part(given: dict[str, Any], key: str) -> dict[str, Any]:
    part: Any = given.get(key) or {}
    if not isinstance(part, dict):
        raise ConfigError(f"{key!r} holds {part!r}, where keys with values are expected")
    return dict(cast(dict[str, Any], part))


def _name(kind: str, arguments: dict[str, Any]) -> str:
    """What an expectation without a name is called, wherever it stands in the file."""
    given: list[Any] = [arguments[key] for key in COLUMNS if key in arguments]
    columns = [
        str(name) for value in given for name in (cast(list[Any], value) if isinstance(value, list) else [value])
    ]
    return re.sub(r"\W+", "_", "_".join([kind.removeprefix("expect_"), *columns]))


def _free(name: str, taken: set[str]) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    return free


def _predicate(rule: str, arguments: dict[str, Any]) -> str:
    dialect = arguments.get("dialect")
    if dialect != DIALECT:
        raise ConfigError(
            f"rule {rule!r}: statements of the dialect {dialect!r} are not understood; accepted: {DIALECT}"
        )
    return str(arguments.get("statement", ""))


def _on_fail(rule: str, given: Any) -> Any:
    """A route as it is kept: of a repair the name of its function."""
    repair = given.get("repair") if isinstance(given, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if not isinstance(repair, dict) or not isinstance(repair.get("function"), str):  # pyright: ignore[reportUnknownMemberType]
        return read_on_fail(rule, given)
    kept = cast(dict[str, str], repair)
    try:
        return read_on_fail(rule, {"repair": {**kept, "function": pkgutil.resolve_name(kept["function"])}})
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"rule {rule!r}: its repair by {kept['function']!r} cannot be found: {error}; "
            "write it as package.module:function"
        ) from error


def _expectation(rule: ValidationRule) -> dict[str, Any]:
    arguments: dict[str, Any] = dict(rule.arguments)
    if rule.predicate is not None:
        arguments = {"column_list": list(rule.columns), "statement": rule.predicate, "dialect": DIALECT}
    if rule.mostly != 1:
        arguments["mostly"] = rule.mostly
    ours: dict[str, Any] = {"rule": rule.name, "scope": rule.scope}
    if rule.on_fail is not None:
        ours["on_fail"] = _written(rule)
    kind = STATEMENT if rule.predicate is not None else rule.kind
    return {"type": kind, "kwargs": arguments, "severity": rule.severity, "meta": {"dataflow": ours}}


def _written(rule: ValidationRule) -> Any:
    route = rule.on_fail
    if isinstance(route, Branch):
        return {"branch": route.stage}
    if not isinstance(route, Repair):
        return route
    text = f"{route.function.__module__}:{getattr(route.function, '__qualname__', '')}"
    try:
        again = pkgutil.resolve_name(text)
    except (ImportError, AttributeError, ValueError):
        again = None
    if again is not route.function:
        raise ConfigError(
            f"rule {rule.name!r}: its repair is a function that only this program has ({text}); "
            "a suite can keep a function of a module",
            rule=rule.name,
        )
    return {"repair": {"column": route.column, "function": text}}


def _plain(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, set | frozenset):
        return sorted(cast(set[Any], value), key=str)
    return str(value)
