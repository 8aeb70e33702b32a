"""Constants as text that is the same in every process."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, cast

import polars as pl

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def stable_text(value: object) -> str:
    """``value`` as text: no memory addresses, no order of sets, frames by their content.

    Example:
        >>> stable_text({"codes": {"b", "a"}})
        "{'codes': {'a', 'b'}}"
    """
    return _text(value, ())


def _text(value: Any, around: tuple[int, ...]) -> str:
    if id(value) in around:
        return "..."
    inside = (*around, id(value))
    if isinstance(value, Mapping):
        pairs = (f"{_text(k, inside)}: {_text(v, inside)}" for k, v in cast("Mapping[Any, Any]", value).items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, set | frozenset):
        texts = sorted(_text(v, inside) for v in cast("set[Any]", value))
        return f"{{{', '.join(texts)}}}"
    if isinstance(value, list | tuple):
        texts = ", ".join(_text(v, inside) for v in cast("list[Any]", value))
        return f"[{texts}]" if isinstance(value, list) else f"({texts})"
    if isinstance(value, pl.DataFrame | pl.Series):
        return f"{type(value).__name__} {_content(value)}"
    if isinstance(value, pl.LazyFrame):
        return f"LazyFrame {value.explain(optimized=False)}"
    if isinstance(value, pl.Expr):
        return f"Expr {_expression(value)}"
    return _ADDRESS.sub("", repr(value))


def _expression(value: pl.Expr) -> str:
    text = str(value)
    # The text leaves out the content of literal series; a Python function inside is pickled differently by each process.
    return text if "python_udf" in text else f"{text} {hashlib.sha256(value.meta.serialize()).hexdigest()}"


def _content(value: pl.DataFrame | pl.Series) -> str:
    # What is printed of a frame is its first and last rows.
    frame = value.to_frame() if isinstance(value, pl.Series) else value
    told = repr((frame.schema, frame.rows()))
    return hashlib.sha256(told.encode()).hexdigest()
