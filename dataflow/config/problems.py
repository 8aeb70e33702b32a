"""What pydantic found, said in the words of the file: place, fault, what is accepted."""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, TypeVar, Union, cast, get_args, get_origin

from pydantic import BaseModel, Tag, ValidationError
from pydantic_core import ErrorDetails

from dataflow.config.document import Key
from dataflow.errors import ConfigError, hint
from dataflow.model.secrets import SECRET_NAME

M = TypeVar("M", bound=BaseModel)
Place = Callable[..., str]

REQUIRED = "is missing; it is required"
_EXPECTED = {
    "missing": REQUIRED,
    "string_type": "a text is expected",
    "int_type": "a whole number is expected",
    "int_parsing": "a whole number is expected",
    "int_from_float": "a whole number is expected",
    "float_type": "a number is expected",
    "float_parsing": "a number is expected",
    "bool_type": "true or false is expected",
    "bool_parsing": "true or false is expected",
    "tuple_type": "a list is expected, as in [a, b]",
    "list_type": "a list is expected, as in [a, b]",
    "dict_type": "keys with values are expected",
    "model_type": "keys with values are expected",
    "model_attributes_type": "keys with values are expected",
    "string_too_short": "may not be empty",
    "too_short": "may not be empty",
    "string_pattern_mismatch": "small letters, digits and underscores are expected, beginning with a letter",
}
_UNTAGGED = {"union_tag_invalid", "union_tag_not_found"}
_ABSENT = {"missing", "sources"}
"""Faults of keys that are not there; that of ``sources`` is that there is no ``source`` either."""
MISSING = {"missing"}
"""The fault of a key that is not there."""
_SILENT = {"extra_forbidden", "secret"}
"""Faults after which the value is not quoted: it may be a secret."""
_QUOTE_LENGTH = 60


def validated(model: type[M], data: Any, place: Place) -> M:
    """``model`` made of ``data``.

    Errors: ConfigError that lists every problem.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problems = explain(error, model, place, data)
    raise as_error(problems)


def as_error(problems: list[str]) -> ConfigError:
    """One error that says them all."""
    return ConfigError("\n".join(problems), problems=tuple(problems))


@contextmanager
def placed(place: Place, *key: str | int) -> Generator[None]:
    """Say where a ConfigError stands: at the ``key`` that it carries, else at this one."""
    try:
        yield
    except ConfigError as error:
        if "problems" in error.details:  # says it already
            raise
        at = (error.details["key"],) if "key" in error.details else key
        raise as_error([f"{place(*at)}: {error}"]) from error


@contextmanager
def collected(problems: list[str]) -> Generator[None]:
    """Add what a ConfigError says to ``problems``, and go on."""
    try:
        yield
    except ConfigError as error:
        problems.extend(error.details.get("problems", (error.message,)))


def explain(
    error: ValidationError,
    model: type[BaseModel],
    place: Place,
    written: Any,
    *,
    also: Sequence[str] = (),
    but: Collection[str] = (),
) -> list[str]:
    """One line for each key that has a problem.

    ``written`` is what was read before environment values came in: only this is quoted.
    ``also`` are keys that are accepted beside the model's own; faults of the kinds ``but`` are passed over.
    """
    found: dict[Key, list[str]] = {}
    silent: set[Key] = set()
    for details in error.errors(include_url=False, include_input=False):
        if details["type"] in but:
            continue
        key, value = _locate(details, written)
        if details["type"] in _UNTAGGED:
            key, value = (*key, "type"), _at(written, (*key, "type"))
        if details["type"] in _SILENT:
            silent.add(key)
        text = _say(details, model, value, also)
        if text not in found.setdefault(key, []):
            found[key].append(text)
    # A misspelt key first: it is often why another one is missing.
    return [
        f"{place(*key)}: {', or '.join(texts)}{'' if key in silent or _is_secret(key) else _quoted(_at(written, key))}"
        for key, texts in sorted(found.items(), key=_rank)
    ]


def _is_secret(key: Key) -> bool:
    return any(SECRET_NAME.search(str(part)) for part in key)


def _rank(problem: tuple[Key, list[str]]) -> int:
    return 0 if problem[1][0].startswith("unknown key") else 1


def _locate(details: ErrorDetails, written: Any) -> tuple[Key, Any]:
    """The key in the file: pydantic adds the names of union members, which nobody wrote."""
    key: list[str | int] = []
    value = written
    loc = details["loc"]
    for number, part in enumerate(loc):
        if _holds(value, part):
            key.append(part)
            value = value[part]
        elif number == len(loc) - 1 and details["type"] in _ABSENT:
            return (*key, part), None
    return tuple(key), value


def _holds(value: Any, part: str | int) -> bool:
    if isinstance(value, Mapping):
        return part in value
    return isinstance(value, (list, tuple)) and isinstance(part, int) and part < len(cast(list[Any], value))


def _at(value: Any, key: Key) -> Any:
    for part in key:
        if not _holds(value, part):
            return None
        value = value[part]
    return value


def _quoted(value: Any) -> str:
    if not isinstance(value, (str, int, float)):
        return ""
    text = repr(value) if isinstance(value, str) else str(value).lower()
    return f" (found {text[:_QUOTE_LENGTH]}{'…' if len(text) > _QUOTE_LENGTH else ''})"


def _say(details: ErrorDetails, model: type[BaseModel], value: Any, also: Sequence[str]) -> str:
    kind = details["type"]
    if kind == "extra_forbidden":
        beside = also if len(details["loc"]) == 1 else ()
        return f"unknown key{hint(str(details['loc'][-1]), [*_fields(model, details['loc'][:-1]), *beside])}"
    if kind == "union_tag_not_found":
        return _EXPECTED["missing"]
    if kind in ("literal_error", "union_tag_invalid"):
        context = details.get("ctx", {})
        accepted = re.findall(r"'([^']*)'", str(context.get("expected", context.get("expected_tags", ""))))
        return f"unknown value{hint(str(value), accepted)}"
    if kind in _EXPECTED:
        return _EXPECTED[kind]
    if kind == "secret":
        return details["msg"]
    message = details["msg"].removeprefix("Input ").removeprefix("Value error, ")
    # A message of a source's own validator may quote what came from the environment.
    return "is not accepted" if isinstance(value, str) and "${" in value else message


def _fields(model: type[BaseModel], loc: tuple[str | int, ...]) -> list[str]:
    """The keys that the model at ``loc`` has."""
    kind: Any = model
    for part in loc:
        kind = _member(kind, part) or _inner(kind, part)
    kind = _bare(kind)
    return list(spelled(kind).values()) if isinstance(kind, type) and issubclass(kind, BaseModel) else []


def spelled(model: type[BaseModel]) -> dict[str, str]:
    """The fields of a model, and how a configuration writes each of them."""
    return {name: field.alias or name for name, field in model.model_fields.items()}


def _member(kind: Any, part: str | int) -> Any:
    """The member of a union that pydantic calls ``part``: by its tag, or by its type."""
    bare = _bare(kind)
    members: tuple[Any, ...] = get_args(bare) if get_origin(bare) in (Union, types.UnionType) else ()
    return next((member for member in members if part in _tags(member)), None)


def _tags(member: Any) -> list[Any]:
    fields: dict[str, Any] = getattr(member, "model_fields", {})
    named = get_args(fields["type"].annotation) if "type" in fields else ()
    return [*named, *(tag.tag for tag in get_args(member)[1:] if isinstance(tag, Tag))]


def _inner(kind: Any, part: str | int) -> Any:
    kind = _bare(kind)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        named = {key: name for name, key in spelled(kind).items()}
        return kind.model_fields[named[str(part)]].annotation if str(part) in named else kind
    arguments = get_args(kind)
    if get_origin(kind) is dict:
        return arguments[1]
    if get_origin(kind) in (tuple, list):
        return arguments[0]
    return cast(Any, kind)


def _bare(annotation: Any) -> Any:
    """Without ``Annotated`` and ``| None``."""
    kind: Any = annotation
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) in (Union, types.UnionType):
        members: list[Any] = [member for member in get_args(kind) if member is not type(None)]
        return _bare(members[0]) if len(members) == 1 else kind
    return kind
