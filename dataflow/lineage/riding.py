"""Frames from which a plain ``select`` does not drop the row ids."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Self, cast

import polars as pl

from dataflow.model import is_row_id


class RidingFrame(pl.LazyFrame):
    """A LazyFrame whose ``select`` keeps row ids that the selection does not name.

    Functions that pick their columns would lose the ids otherwise. Whether keeping them changes anything else,
    as in a selection of aggregates, is for the proof to find: where it does, the function gets plain frames.
    """

    @classmethod
    def of(cls, frame: pl.LazyFrame) -> Self:
        """``frame``, and all that is derived from it by its methods."""
        return cast(Self, cls._from_pyldf(frame._ldf))  # pyright: ignore[reportPrivateUsage, reportUnknownMemberType]

    def plain(self) -> pl.LazyFrame:
        """The same frame with an ordinary ``select``."""
        return pl.LazyFrame._from_pyldf(self._ldf)  # pyright: ignore[reportPrivateUsage, reportUnknownMemberType]

    def select(self, *exprs: Any, **named_exprs: Any) -> Self:
        """As ``LazyFrame.select``, and the row ids."""
        # A list by itself stands for what is in it; beside an id it would be a value.
        if len(exprs) == 1 and isinstance(exprs[0], Iterable) and not isinstance(exprs[0], (str, pl.Series)):
            exprs = tuple(cast(Iterable[Any], exprs[0]))
        plain = super().select(*exprs, **named_exprs)
        ids = [name for name in self.collect_schema() if is_row_id(name)]
        left_out = [name for name in ids if name not in plain.collect_schema()] if ids else []
        selected = super().select(*exprs, *left_out, **named_exprs) if left_out else plain
        return type(self).of(selected)


def with_riding_frames(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function``, called with frames that keep their row ids."""

    def call(*frames: pl.LazyFrame) -> Any:
        result = function(*(RidingFrame.of(frame) for frame in frames))
        return result.plain() if isinstance(result, RidingFrame) else result

    return call
