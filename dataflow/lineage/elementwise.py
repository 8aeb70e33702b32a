"""Which rows an expression looks at: its own row, those of its group, or all; what is not on a list here is unknown."""

from __future__ import annotations

import re

from dataflow.lineage.plan_tree import Expression, Held

_BY_ROW = frozenset(
    {
        "abs", "add", "arccos", "arcsin", "arctan", "as_struct", "cbrt", "ceil", "clip", "coalesce", "cos", "exp",
        "fill_null", "floor", "hash", "log", "log1p", "max_horizontal", "mean_horizontal", "min_horizontal", "negate",
        "pow", "reinterpret", "replace", "replace_strict", "round", "round_sf", "sign", "sin", "sqrt", "sum_horizontal",
        "tan",
    }
)  # fmt: skip
_BY_ROW_OF = {
    "BooleanFunction": frozenset(
        {
            "AllHorizontal", "AnyHorizontal", "IsBetween", "IsClose", "IsFinite", "IsIn", "IsInfinite", "IsNan",
            "IsNotNan", "IsNotNull", "IsNull", "Not",
        }
    ),
    "ListFunction": frozenset(
        {"All", "Any", "ArgMax", "ArgMin", "Concat", "Contains", "Get", "Length", "Max", "Mean", "Min", "NUnique", "Sum"}
    ),
    "StringFunction": frozenset(
        {
            "Base64Decode", "Base64Encode", "ConcatHorizontal", "Contains", "ContainsAny", "CountMatches", "EndsWith",
            "Extract", "ExtractAll", "Find", "Format", "Head", "HexDecode", "HexEncode", "JsonDecode", "JsonPathMatch",
            "LenBytes", "LenChars", "Lowercase", "PadEnd", "PadStart", "Replace", "Reverse", "Slice", "Split",
            "SplitExact", "SplitN", "StartsWith", "StripChars", "StripCharsEnd", "StripCharsStart", "StripPrefix",
            "StripSuffix", "Strptime", "Tail", "Titlecase", "ToInteger", "Uppercase", "ZFill",
        }
    ),
    "StructFunction": frozenset({"FieldByName", "JsonEncode", "RenameFields"}),
    "TemporalFunction": frozenset(
        {
            "BaseUtcOffset", "CastTimeUnit", "Century", "Combine", "ConvertTimeZone", "DSTOffset", "Date",
            "DatetimeFunction", "Day", "DaysInMonth", "Duration", "Hour", "IsLeapYear", "IsoYear", "Microsecond",
            "Millennium", "Millisecond", "Minute", "Month", "MonthEnd", "MonthStart", "Nanosecond", "OffsetBy",
            "OrdinalDay", "Quarter", "ReplaceTimeZone", "Round", "Second", "Time", "TimeStamp", "ToString",
            "TotalDays", "TotalHours", "TotalMicroseconds", "TotalMilliseconds", "TotalMinutes", "TotalNanoseconds",
            "TotalSeconds", "Truncate", "Week", "WeekDay", "WithTimeUnit", "Year",
        }
    ),
}  # fmt: skip
_BY_GROUP = frozenset(
    {
        "arg_max", "arg_min", "bottom_k", "bottom_k_by", "cum_count", "cum_max", "cum_min", "cum_prod", "cum_sum",
        "diff", "drop_nans", "drop_nulls", "fill_null_with_strategy", "interpolate", "kurtosis", "mode", "null_count",
        "pct_change", "product", "quantile", "rank", "reverse", "shift", "skew", "top_k", "top_k_by", "unique",
        "unique_counts", "value_counts",
    }
)  # fmt: skip
_BY_GROUP_OF = {
    "BooleanFunction": frozenset({"All", "Any", "HasNulls", "IsDuplicated", "IsFirstDistinct", "IsLastDistinct", "IsUnique"}),
    "EwmFunction": frozenset({"Mean", "Std", "Var"}),
    "RollingFunction": frozenset({"Max", "Mean", "Min", "Std", "Sum", "Var"}),
    "StringFunction": frozenset({"ConcatVertical"}),
}  # fmt: skip
_ROW_KINDS = frozenset({"Alias", "BinaryExpr", "Cast", "Column", "Literal", "Ternary"})
_GROUP_KINDS = frozenset({"Agg", "Filter", "Gather", "Len", "Slice", "Sort", "SortBy"})


class NotLocal(Exception):
    """Why a result cannot be computed piece by piece, in words; ``known`` where that is certain, and not only unproven."""

    def __init__(self, reason: str, *, known: bool = False) -> None:
        super().__init__(reason)
        self.known = known


def groups_of(expression: Expression) -> list[frozenset[str]]:
    """The columns by which rows must be together for the expression's values: one set for each ``over()`` in it.

    Errors: NotLocal where its values hang on other rows, or may do.
    """
    if expression.kind == "Window":
        return [_window(expression)]
    _check_row(expression)
    return [group for part in expression.parts for group in groups_of(part)]


def check_aggregate(expression: Expression) -> None:
    """Errors: NotLocal where the value of a group may hang on anything but the rows of that group."""
    for part in expression.walk():
        if part.kind in _ROW_KINDS or part.kind == "Function":
            if part.kind == "Function" and _in_group(part):
                continue
            _check_row(part)
        elif part.kind not in _GROUP_KINDS:
            raise NotLocal(f"{spoken(part)} is not known here")


def _window(expression: Expression) -> frozenset[str]:
    *_, functions, keys, _ = expression.detail
    by = expression.parts[functions : functions + keys]
    if ("WindowMapping", "explode") in expression.detail:
        raise NotLocal("over() with mapping_strategy='explode' orders its rows anew", known=True)
    if not by:
        raise NotLocal("over() without columns to group by looks at all rows", known=True)
    for part in (*expression.parts[:functions], *expression.parts[functions + keys :]):
        check_aggregate(part)
    for part in by:
        groups_of(part)
    # Of an expression among the keys nobody knows the column; the others hold all the same.
    return frozenset(name for part in by if (name := part.column) is not None)


def _check_row(expression: Expression) -> None:
    if expression.kind == "Literal" and isinstance(expression.detail[0], Held):
        raise NotLocal("a series of values is laid beside the rows", known=True)
    if expression.kind in _ROW_KINDS:
        return
    if expression.kind == "Function":
        family, name = expression.function
        if name == "Strptime" and expression.detail[0][1] is None:
            raise NotLocal("a format of dates that is not named is guessed from the values", known=True)
        if name in (_BY_ROW_OF.get(family, frozenset[str]()) if family else _BY_ROW):
            return
        if _in_group(expression):
            raise NotLocal(f"{spoken(expression)} looks at other rows", known=True)
    elif expression.kind in _GROUP_KINDS:
        raise NotLocal(f"{expression.name} looks at other rows", known=True)
    raise NotLocal(f"{spoken(expression)} is not known to look at its own row alone")


def spoken(expression: Expression) -> str:
    """As its author wrote it: Polars' plans know ``is_first_distinct()`` as ``IsFirstDistinct``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", expression.name).lower()


def _in_group(expression: Expression) -> bool:
    family, name = expression.function
    return name in (_BY_GROUP_OF.get(family, frozenset[str]()) if family else _BY_GROUP)
