"""Every expectation about a batch answers on Polars as it does on pandas."""

from __future__ import annotations

import datetime as dt
import math
import warnings
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from great_expectations import expectations
from great_expectations.expectations.row_conditions import Column
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.dataflow.quality.gx_polars.checkpoints import error, judged, pandas, polars, run

gxe: Any = expectations
pytestmark = pytest.mark.filterwarnings("ignore:(invalid value|divide by zero) encountered:RuntimeWarning")
WHOLE = pl.DataFrame(
    {
        "i": [1, 2, 3, 4],
        "f": [0.5, 1.5, 2.5, 3.5],
        "s": ["a", "b", "c", "d"],
        "t": [dt.datetime(2013, 1, d) for d in range(1, 5)],
        "d": [True, True, False, True],
        "n": [Decimal("1.50"), Decimal("2.50"), Decimal("3.50"), Decimal("1.50")],
    }
)
NULLS = pl.DataFrame(
    {
        "i": [3, 1, None, 3, 7, 5],
        "f": [0.5, None, -1.5, 2.0, 2.0, 100.25],
        "s": ["abc", "b", None, "abc", "", "žluť"],
        "t": [dt.datetime(2013, 1, d, 5) if d != 3 else None for d in range(1, 7)],
        "d": [True, False, None, True, True, False],
        "n": [Decimal("1.50"), None, Decimal("3.50"), Decimal("1.50"), Decimal("0.00"), Decimal("-7.25")],
    },
    schema=WHOLE.schema,
)
FRAMES = {"whole": WHOLE, "nulls": NULLS, "empty": WHOLE.clear(), "one": WHOLE.head(1), "twice": pl.concat([NULLS] * 2)}
COUNTED = {"values": [1, 3, 5], "weights": [0.2, 0.5, 0.3]}
BINNED = {"bins": [0, 2, 4, 8], "weights": [0.2, 0.5, 0.3]}
OPEN = {"bins": [-math.inf, 2, 4, math.inf], "weights": [0.2, 0.5, 0.3]}
SOME: Any = Column("i") > 2

EXPECTATIONS: list[Any] = [
    gxe.ExpectColumnProportionOfUniqueValuesToBeBetween(column="s", min_value=0.5),
    gxe.ExpectColumnProportionOfUniqueValuesToBeBetween(column="i", min_value=0.5, max_value=0.9, row_condition=SOME),
    gxe.ExpectColumnProportionOfNonNullValuesToBeBetween(column="s", min_value=0.9),
    gxe.ExpectColumnProportionOfNonNullValuesToBeBetween(column="f", min_value=0.9, row_condition=SOME),
    gxe.ExpectColumnUniqueValueCountToBeBetween(column="t", min_value=2, max_value=4),
    gxe.ExpectColumnUniqueValueCountToBeBetween(column="d", max_value=1, row_condition=SOME),
    gxe.ExpectColumnDistinctValuesToBeInSet(column="i", value_set=[1, 3.0, 5]),
    gxe.ExpectColumnDistinctValuesToBeInSet(column="s", value_set=["abc", "b", 3]),
    gxe.ExpectColumnDistinctValuesToBeInSet(column="t", value_set=["2013-01-01", "2013-01-01T05:00:00"]),
    gxe.ExpectColumnDistinctValuesToBeInSet(column="i", value_set=[7], row_condition=SOME),
    gxe.ExpectColumnDistinctValuesToContainSet(column="i", value_set=[1, 3, 99, "x"]),
    gxe.ExpectColumnDistinctValuesToContainSet(column="s", value_set=["abc"]),
    gxe.ExpectColumnDistinctValuesToContainSet(column="t", value_set=["2013-01-02T05:00:00"]),
    gxe.ExpectColumnDistinctValuesToContainSet(column="i", value_set=[1], row_condition=SOME),
    gxe.ExpectColumnDistinctValuesToEqualSet(column="d", value_set=[True, False]),
    gxe.ExpectColumnDistinctValuesToEqualSet(column="i", value_set=[1, 2, 3, 4]),
    gxe.ExpectColumnDistinctValuesToEqualSet(column="s", value_set=["a", "b", "c", "d"]),
    gxe.ExpectColumnMostCommonValueToBeInSet(column="i", value_set=[3]),
    gxe.ExpectColumnMostCommonValueToBeInSet(column="s", value_set=["abc", "b"], ties_okay=True),
    gxe.ExpectColumnMostCommonValueToBeInSet(column="f", value_set=[2.0], row_condition=SOME),
    gxe.ExpectColumnMeanToBeBetween(column="n", min_value=0),
    gxe.ExpectColumnSumToBeBetween(column="n", min_value=0),
    gxe.ExpectColumnStdevToBeBetween(column="n", min_value=0),
    gxe.ExpectColumnStdevToBeBetween(column="i", min_value=0, strict_min=True, row_condition=SOME),
    gxe.ExpectColumnMedianToBeBetween(column="i", min_value=2, max_value=3, row_condition=SOME),
    gxe.ExpectColumnSumToBeBetween(column="f", max_value=9, row_condition=SOME),
    gxe.ExpectColumnMinToBeBetween(column="i", min_value=3, row_condition=SOME),
    gxe.ExpectColumnMaxToBeBetween(column="t", max_value="2013-01-31", row_condition=SOME),
    gxe.ExpectColumnKLDivergenceToBeLessThan(
        column="i", partition_object=COUNTED, threshold=0.5, tail_weight_holdout=0.01
    ),
    gxe.ExpectColumnKLDivergenceToBeLessThan(
        column="i", partition_object=COUNTED, threshold=0.5, bucketize_data=False, row_condition=SOME
    ),
    gxe.ExpectColumnKLDivergenceToBeLessThan(
        column="f", partition_object=BINNED, threshold=0.5, tail_weight_holdout=0.01, internal_weight_holdout=0.01
    ),
    gxe.ExpectColumnKLDivergenceToBeLessThan(column="i", partition_object=BINNED, threshold=9, row_condition=SOME),
    gxe.ExpectColumnKLDivergenceToBeLessThan(column="i", partition_object=OPEN, threshold=0.5),
    gxe.ExpectColumnKLDivergenceToBeLessThan(column="f", threshold=0.5),
    gxe.ExpectColumnKLDivergenceToBeLessThan(column="i", threshold=0.5),
    gxe.ExpectColumnKLDivergenceToBeLessThan(column="i", threshold=0.5, bucketize_data=False),
    gxe.ExpectColumnKLDivergenceToBeLessThan(column="s", threshold=0.5, bucketize_data=False),
    gxe.ExpectTableRowCountToBeBetween(min_value=2, max_value=5, row_condition=SOME),
    gxe.ExpectTableColumnCountToEqual(value=6),
    gxe.ExpectTableColumnCountToBeBetween(min_value=3, max_value=5),
    gxe.ExpectTableColumnsToMatchOrderedList(column_list=["i", "f", "s", "t", "d", "n"]),
    gxe.ExpectTableColumnsToMatchOrderedList(column_list=["i", "s"]),
    gxe.ExpectTableColumnsToMatchSet(column_set=["i", "f"]),
    gxe.ExpectTableColumnsToMatchSet(column_set=["i", "f"], exact_match=False),
    gxe.ExpectColumnToExist(column="i", column_index=0),
]
INTERPOLATIONS = (False, "linear", "lower", "higher", "midpoint", "nearest")


def quantiles(column: str, interpolation: Any = False, **kwargs: Any) -> Any:
    ranges = {
        "quantiles": [0, 0.1, 0.25, 0.5, 0.7, 1],
        "value_ranges": [[-2, 2], [None, 2], [0, 1], [1, 3], [None, 9], [0, None]],
    }
    return gxe.ExpectColumnQuantileValuesToBeBetween(
        column=column, quantile_ranges=ranges, allow_relative_error=interpolation, **kwargs
    )


QUANTILES = [
    *(quantiles("f", interpolation) for interpolation in INTERPOLATIONS),
    quantiles("i"),
    quantiles("i", row_condition=SOME),
    quantiles("i", "linear"),
]


def same(left: Any, right: Any) -> bool:
    """Equal, but for how the two engines spell a number or an instant."""
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(value, right[name]) for name, value in left.items())
    if isinstance(left, list):
        return len(left) == len(right) and all(same(a, b) for a, b in zip(left, right, strict=True))
    if left is None or left != left or right is None or right != right:
        return (left is None or left != left) and (right is None or right != right)
    if isinstance(left, int | float) and isinstance(right, int | float):
        return math.isclose(left, right, abs_tol=1e-12)
    return str(left) == str(right)


def comparable(result: Any) -> dict[str, Any]:
    """A result without an order where pandas keeps a set."""
    found = result.to_json_dict()["result"]
    for name in ("partial_missing_list", "partial_unexpected_list"):
        if name in found:
            found[name] = sorted(found[name], key=str)
    if "set" in result.expectation_config.type and isinstance(found.get("observed_value"), list):
        found["observed_value"].sort(key=str)
    return found


def differing(ours: list[Any], theirs: list[Any]) -> list[Any]:
    return [
        (o.expectation_config.kwargs, o.success, t.success, comparable(o), comparable(t), error(o))
        for o, t in zip(ours, theirs, strict=True)
        if error(t) is None and (error(o) or o.success != t.success or not same(comparable(o), comparable(t)))
    ]


@pytest.mark.parametrize(
    ("name", "result_format"), [*((name, "COMPLETE") for name in FRAMES), ("nulls", "BASIC"), ("nulls", "BOOLEAN_ONLY")]
)
def test_same_success_and_observed_values(name: str, result_format: str):
    ours = polars(FRAMES[name], *EXPECTATIONS, result_format=result_format)
    assert [] == differing(ours, pandas(FRAMES[name], *EXPECTATIONS, result_format=result_format))


@pytest.mark.parametrize("name", FRAMES)
def test_same_quantiles(name: str):
    frame = FRAMES[name]
    assert [] == differing(polars(frame, *QUANTILES), pandas(frame, *QUANTILES))


VALUES = {
    "i": st.none() | st.integers(-3, 8),
    "f": st.none() | st.sampled_from([-1.5, 0.0, 0.5, 2.0, 99.5]),
    "s": st.none() | st.sampled_from(["", "a", "b", "abc", "žluť", "line\nbreak"]),
    "t": st.none() | st.integers(1, 9).map(lambda day: dt.datetime(2013, 1, day, 5)),
    "d": st.none() | st.booleans(),
    "n": st.none() | st.decimals(-9, 9, places=2),
}


@settings(max_examples=4, phases=[Phase.explicit, Phase.generate])  # one example asks every expectation, twice
@given(st.lists(st.tuples(*VALUES.values()), max_size=7))
def test_same_on_generated_frames(rows: list[tuple[Any, ...]]):
    frame = pl.DataFrame(rows, schema=WHOLE.schema, orient="row")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        assert [] == differing(judged("polars", frame, *EXPECTATIONS), pandas(frame, *EXPECTATIONS))
        assert [] == differing(judged("polars", frame, *QUANTILES), pandas(frame, *QUANTILES))


def test_quantiles_are_stored_like_other_results():
    with pytest.raises(TypeError, match="bool is not JSON serializable"):
        run("pandas", WHOLE.to_pandas(), [quantiles("i")])
    (result,) = polars(WHOLE, quantiles("i"))
    assert isinstance(result.success, bool)
