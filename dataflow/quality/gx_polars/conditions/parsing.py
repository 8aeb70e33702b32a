"""Questions that a parser answers: JSON and its schemas, formats of dates."""

from __future__ import annotations

import datetime as dt
import json
from functools import partial
from typing import Any, cast

import jsonschema
import polars as pl
from dateutil import parser as dates
from jsonschema.validators import validator_for
from jsonschema_specifications import REGISTRY  # pyright: ignore[reportMissingTypeStubs]

from .distinct import by_distinct
from .questions import Column, of_column

Json = dict[str, Any]


@of_column("column_values.json_parseable")
def _json(asked: Column) -> pl.Expr:
    if not asked.is_text:
        return asked.expr.is_null()
    # What Rust can read Python can; the rest (NaN among it) Python reads once more.
    return by_distinct(asked.text, is_json, proven=lambda text: text.str.json_path_match("$").is_not_null())


def is_json(text: str) -> bool:
    """Whether Python reads a text as JSON."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


@of_column("column_values.match_json_schema")
def _json_schema(asked: Column, json_schema: Json) -> pl.Expr:
    return by_distinct(_text(asked), partial(fits, _validator(json_schema)))


def fits(validator: Any, text: str) -> bool:
    """Whether a text is JSON that a schema's validator accepts."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return bool(validator.is_valid(value))


def _validator(schema: Json) -> Any:
    kind = cast(Any, validator_for)(schema, default=jsonschema.Draft202012Validator)
    try:
        kind.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise ValueError(f"the JSON schema is not one: {error.message} (at {error.json_path})") from error
    # With a registry of its own a validator asks no network for a $ref.
    return kind(schema, registry=REGISTRY)


@of_column("column_values.match_strftime_format")
def _strftime(asked: Column, strftime_format: str) -> pl.Expr:
    try:
        example = dt.datetime(2013, 1, 31, 23, 59, tzinfo=dt.UTC).strftime(strftime_format)
        dt.datetime.strptime(example, strftime_format)
    except ValueError as error:
        raise ValueError(f"strftime_format {strftime_format!r} cannot be parsed by: {error}") from error
    return by_distinct(_text(asked), partial(has_format, strftime_format))


def has_format(strftime_format: str, text: str) -> bool:
    """Whether a text is a date or a time in a format."""
    try:
        dt.datetime.strptime(text, strftime_format)
    except ValueError:
        return False
    return True


@of_column("column_values.dateutil_parseable")
def _dateutil(asked: Column) -> pl.Expr:
    return by_distinct(_text(asked), is_date)


def is_date(text: str) -> bool:
    """Whether dateutil finds a date in a text."""
    try:
        dates.parse(text, ignoretz=True)  # a zone that nobody knows is a warning, not a reason to fail
    except (ValueError, OverflowError):
        return False
    return True


def _text(asked: Column) -> pl.Expr:
    if not asked.is_text:
        raise ValueError(f"column {asked.name!r} holds {asked.dtype}, not text: ask before it is converted")
    return asked.text
