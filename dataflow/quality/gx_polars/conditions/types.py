"""Names of types: Polars' own, and what numpy, pandas and Python call the same thing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl

Test = Callable[[pl.DataType], bool]


def _is(*kinds: type[pl.DataType]) -> Test:
    return lambda dtype: dtype.base_type() in kinds


SPELLINGS: dict[str, Test] = {
    **dict.fromkeys(("int", "long"), _is(pl.Int64)),
    **dict.fromkeys(("bool", "boolean", "BooleanDtype"), _is(pl.Boolean)),
    **dict.fromkeys(("str", "string", "string_types", "unicode", "StringDtype"), _is(pl.String)),
    **dict.fromkeys(("category", "CategoricalDtype"), _is(pl.Categorical, pl.Enum)),
    **dict.fromkeys(("datetime", "Timestamp"), _is(pl.Datetime)),
    **dict.fromkeys(("timedelta", "Timedelta"), _is(pl.Duration)),
    **dict.fromkeys(("list", "tuple"), _is(pl.List, pl.Array)),
    **dict.fromkeys(("none", "NoneType"), _is(pl.Null)),
    "bytes": _is(pl.Binary),
    "date": _is(pl.Date),
    "decimal": _is(pl.Decimal),
    "dict": _is(pl.Struct),
    "time": _is(pl.Time),
    "DatetimeTZDtype": lambda dtype: isinstance(dtype, pl.Datetime) and dtype.time_zone is not None,
}
"""What a name stands for where it is neither one of Polars nor one of numpy."""
BOXED = (pl.Object, pl.Decimal, pl.List, pl.Array, pl.Struct, pl.Time, pl.Binary)
"""What numpy knows as objects only."""
KINDS = {"i": "Int", "u": "UInt", "f": "Float"}
PLAIN = {"b": _is(pl.Boolean), "U": _is(pl.String), "S": _is(pl.Binary), "O": _is(*BOXED)}


def type_test(name: str) -> Test:
    """Whether a type is the one that is meant; parameters (a unit, a zone, an inner type) count only where given.

    Errors: ValueError for a name that says nothing about a Polars column.
    Example: ``type_test("datetime64[us]")(pl.Datetime("us"))`` is true.
    """
    base = name.partition("(")[0]
    if (known := _polars(base)) is not None:
        written = name.replace(" ", "")  # List(Int64), as results show it
        return _is(known) if base == name else lambda dtype: str(dtype).replace(" ", "") == written
    found = SPELLINGS.get(name) or SPELLINGS.get(name.lower()) or _extension(name) or _of_numpy(name)
    if found is not None:
        return found
    raise ValueError(f"no type is known as {name!r}: use a name of Polars such as Int64, String or Datetime")


def _extension(name: str) -> Test | None:
    """Pandas' nullable types: Int64Dtype."""
    known = _polars(name.removesuffix("Dtype")) if name.endswith("Dtype") else None
    return None if known is None else _is(known)


def _polars(name: str) -> type[pl.DataType] | None:
    known = getattr(pl, name, None)
    return known if isinstance(known, type) and issubclass(known, pl.DataType) else None


def _of_numpy(name: str) -> Test | None:
    unit, _, zone = name.removeprefix("datetime64[").removesuffix("]").partition(",")
    if zone and name.startswith("datetime64["):  # as pandas writes it
        return lambda dtype: dtype == pl.Datetime(unit.strip(), zone.strip())  # pyright: ignore[reportArgumentType]
    try:
        kind = np.dtype(name)
    except TypeError:
        return None
    if kind.kind in KINDS:
        return _is(getattr(pl, f"{KINDS[kind.kind]}{kind.itemsize * 8}", pl.Unknown))
    if kind.kind in "mM":
        unit = np.datetime_data(kind)[0]
        whole = pl.Duration if kind.kind == "m" else pl.Datetime
        return lambda dtype: (
            isinstance(dtype, whole)
            and (unit == "generic" or dtype.time_unit == unit)
            and getattr(dtype, "time_zone", None) is None
        )
    return PLAIN.get(kind.kind)
