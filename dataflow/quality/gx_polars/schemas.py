"""Expectations about a column's type: Great Expectations asks which engine it is, and knows only its own."""
# pyright: basic
# Great Expectations' own annotations are incomplete.

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, wraps
from typing import Any

import polars as pl
from great_expectations.expectations.core.expect_column_type_to_be import ExpectColumnTypeToBe
from great_expectations.expectations.core.expect_column_values_to_be_in_type_list import (
    ExpectColumnValuesToBeInTypeList,
)
from great_expectations.expectations.core.expect_column_values_to_be_of_type import ExpectColumnValuesToBeOfType

from .conditions import column
from .conditions.types import type_test


@cache  # once, however often it is imported
def register_types(engine: type) -> None:
    """Let the expectations about types answer for ``engine``; for other engines they stay as they were."""
    for expectation in (ExpectColumnValuesToBeOfType, ExpectColumnValuesToBeInTypeList, ExpectColumnTypeToBe):
        expectation._validate = _answering(expectation._validate, engine)


def _answering(theirs: Any, engine: type) -> Any:
    @wraps(theirs)
    def validate(
        self: Any, metrics: Mapping[str, Any], runtime_configuration: Any = None, execution_engine: Any = None
    ) -> Any:
        if not isinstance(execution_engine, engine):
            return theirs(self, metrics, runtime_configuration, execution_engine)
        schema: dict[str, pl.DataType] = {found["name"]: found["type"] for found in metrics["table.column_types"]}
        dtype = column(schema, self.column).dtype
        return {"success": _is_one(dtype, _names(self)), "result": {"observed_value": str(dtype)}}

    return validate


def _names(expectation: Any) -> list[str] | None:
    return expectation.type_list if hasattr(expectation, "type_list") else [expectation.type_]


def _is_one(dtype: pl.DataType, names: list[str] | None) -> bool:
    """Whether a type has one of the names; a name that only another engine knows is no error next to one of ours."""
    tests, unknown = [], []
    for name in names or []:
        try:
            tests.append(type_test(name))
        except ValueError as error:
            unknown.append(error)
    if unknown and not tests:
        raise unknown[0]
    return names is None or any(test(dtype) for test in tests)
