"""An expectation for what no built-in one says: a statement that every row must satisfy."""
# pyright: basic
# Great Expectations' own annotations are incomplete.

from __future__ import annotations

from typing import Any, ClassVar, List, Literal  # noqa: UP035 - pydantic v1 fields, as in the parent class

from great_expectations.compatibility import pydantic
from great_expectations.expectations.expectation import Expectation, MulticolumnMapExpectation
from great_expectations.expectations.registry import get_expectation_impl


class ExpectRowsToSatisfy(MulticolumnMapExpectation):
    """Expect a statement to be true of every row; rows about which it cannot tell are not counted.

    Args:
        column_list: The columns that the statement reads.
        statement: The statement, in the language of ``dialect``.
        dialect: A language made known with ``register_dialect``.
        mostly: The share of rows, among those with an answer, that must satisfy it.
    """

    column_list: List[pydantic.StrictStr]  # noqa: UP006
    statement: str
    dialect: str
    ignore_row_if: Literal["never"] = "never"

    map_metric: ClassVar[str] = "rows.satisfy"
    success_keys: ClassVar[tuple[str, ...]] = ("mostly", "statement", "dialect")
    args_keys: ClassVar[tuple[str, ...]] = ("column_list", "statement", "dialect")

    @pydantic.validator("column_list")  # pyright: ignore[reportPrivateImportUsage]
    def _validate_column_list(cls, value: list[str]) -> list[str]:
        if not value:
            raise ValueError("column_list must name the columns that the statement reads.")
        return value


def make_expectation(kind: str, **arguments: Any) -> Expectation:
    """The expectation of a type (``expect_…``).

    Errors: ValueError that names the argument that does not fit, and why.
    """
    make: Any = get_expectation_impl(kind)
    try:
        return make(**arguments)
    except pydantic.ValidationError as error:  # pyright: ignore[reportPrivateImportUsage]
        wrong = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, wrong['loc']))}: {wrong['msg']}") from error
