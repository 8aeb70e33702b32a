"""Validation results as gates store them: Great Expectations' own JSON, in counts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)
NASTY = "<script>alert(1)</script>$x"


def expectation(rule: str, kind: str = "expect_column_values_to_not_be_null", failed: int = 0, **more: Any) -> Any:
    """One expectation of a result; ``more`` are its arguments, or ``severity``, ``result``, ``error``."""
    error, severity = more.pop("error", None), more.pop("severity", "critical")
    counts = {"element_count": 100, "unexpected_count": failed, "unexpected_percent": float(failed)}
    found = more.pop("result", counts)
    description = {"description": more.pop("description")} if "description" in more else {}
    info: dict[str, Any] = {"raised_exception": False, "exception_message": None, "exception_traceback": None}
    if error:
        info = {"metric": {"raised_exception": True, "exception_message": error, "exception_traceback": "File /home"}}
    return {
        "success": not failed and not error,
        "expectation_config": {
            "type": kind,
            "kwargs": {**more, "batch_id": "staged-orders"},
            "meta": {"rule": rule},
            "severity": severity,
            **description,
        },
        "result": {} if error else found,
        "meta": {},
        "exception_info": info,
    }


def result(*expectations: Any) -> dict[str, Any]:
    """A suite's result."""
    met = sum(each["success"] for each in expectations)
    return {
        "success": met == len(expectations),
        "results": list(expectations),
        "suite_name": "suite",
        "suite_parameters": {},
        "statistics": {
            "evaluated_expectations": len(expectations),
            "successful_expectations": met,
            "unsuccessful_expectations": len(expectations) - met,
            "success_percent": 100.0 * met / len(expectations),
        },
        "meta": {"batch_spec": {"path": "/home/someone"}},
        "id": None,
    }


MIXED = result(
    expectation("has_id", column="id"),
    expectation("known", "expect_column_values_to_be_in_set", 3, column="region", value_set=["eu", "us"]),
    expectation("priced", "expect_rows_to_satisfy", 2, statement="price < 5 AND name <> '$'", dialect="dataflow",
                column_list=["price"], severity="warning"),
    expectation(NASTY, column=NASTY, failed=1),
    expectation("spread", "expect_column_kl_divergence_to_be_less_than", column="region", threshold=0.1,
                partition_object={"values": ["eu", "us"], "weights": [0.25, 0.75]},
                result={"observed_value": 0.0}),
    expectation("typed", column="gone", error="cannot convert: ['secret', 'values']\n\nlong story"),
    expectation("__rows", "expect_table_row_count_to_be_between", min_value=0, result={"observed_value": 100}),
)  # fmt: skip
