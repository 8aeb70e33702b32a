"""What of an answer is new, where a part of what was delivered before is asked again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import polars as pl

_ROW = ["row_1", "row_2"]
_CONTENT = ["content_1", "content_2"]


class Overlap:
    """What was delivered before of the range that is asked again.

    With a key, a row is new where the last row of the same key and cursor has another content: what changed and changed
    back is told, and a page that comes twice in a row adds nothing. Without one, rows that are alike are told apart by
    their number only.
    """

    def __init__(self, columns: Sequence[str], key: Sequence[str], cursor: str) -> None:
        self.columns = columns
        self.named = tuple(dict.fromkeys((*key, cursor))) if key else tuple(columns)
        self.keyed = bool(key)
        self._held = self._marked(pl.DataFrame())
        self._last = pl.DataFrame()

    def hold(self, rows: pl.LazyFrame) -> None:
        """Take note of rows that were delivered before, in the order in which they were."""
        self._held = pl.concat([self._held, self._marked(rows)])

    def fresh(self, page: pl.DataFrame) -> pl.DataFrame:
        """The rows of ``page`` that were not delivered before, pages before this one included."""
        if self.keyed:
            found = page if self._all_new(page) else page.filter(self._changed(page))
            # Of pages before only the last: an ordered answer repeats itself nowhere else, and memory stays bounded.
            self._last = page
            return found
        return page.filter(self._surplus(self._marked(page))) if self._held.height else page

    def _marked(self, rows: pl.DataFrame | pl.LazyFrame) -> pl.DataFrame:
        schema = rows.lazy().collect_schema()
        if not schema:
            return pl.DataFrame(schema=dict.fromkeys((*_ROW, *_CONTENT), pl.UInt64))
        row, content = marks(self.named, schema, name="row"), marks(self.columns, schema, name="content")
        return rows.lazy().select(*row, *content).collect()

    def _all_new(self, page: pl.DataFrame) -> bool:
        """Whether no row of the page has been there by its key: what most pages are, and cheap to tell."""
        rows = [
            frame.select(marks(self.named, frame.schema, name="row")) for frame in (self._last, page) if frame.width
        ]
        found = pl.concat(rows)
        return not found.is_duplicated().any() and found.join(self._held, on=_ROW, how="semi").is_empty()

    def _changed(self, page: pl.DataFrame) -> pl.Series:
        marked = self._marked(page)
        held = self._held.join(marked, on=_ROW, how="semi", maintain_order="left")
        before, content = pl.concat([held, self._marked(self._last)]), pl.struct(_CONTENT)
        known = pl.concat([before, marked]).with_columns(content.shift(1).over(_ROW).alias("previous"))
        return known.slice(before.height).select(pl.col("previous").ne_missing(content)).to_series()

    def _surplus(self, page: pl.DataFrame) -> pl.Series:
        held = self._held.group_by(_ROW).len("held")
        nth = page.with_columns(pl.int_range(1, pl.len() + 1).over(_ROW).alias("nth"))
        more = nth.join(held, on=_ROW, how="left", maintain_order="left").select(
            pl.col("nth") > pl.col("held").fill_null(0)
        )
        taken = self._held.with_columns(pl.int_range(1, pl.len() + 1).over(_ROW).alias("nth"))
        self._held = taken.join(nth, on=[*_ROW, "nth"], how="anti", maintain_order="left").drop("nth")
        return more.to_series()


def distinct(rows: Iterable[pl.LazyFrame], key: Sequence[str]) -> int:
    """How many keys there are in ``rows``, which may be of several schemas; without a key, how many rows."""
    if not key:
        return sum(int(frame.select(pl.len()).collect().item()) for frame in rows)
    marked = [frame.select(marks(key, frame.collect_schema(), name="row")) for frame in rows]
    return int(pl.concat(marked).select(pl.struct(_ROW).n_unique()).collect().item()) if marked else 0


def marks(columns: Sequence[str], schema: pl.Schema, *, name: str) -> list[pl.Expr]:
    """Two numbers that rows share where they are alike in ``columns``: others do by a chance of 1 in 2**128 only.

    A column that ``schema`` lacks is null; 1, 1.0 and 1.00 are alike. Good for one process: the next gives other numbers.
    """
    texts = [_comparable(c, schema[c]) if c in schema else pl.lit(None, pl.String).alias(c) for c in sorted(columns)]
    return [pl.struct(texts).hash(seed=seed).alias(f"{name}_{seed}") for seed in (1, 2)]


def _comparable(column: str, dtype: pl.DataType) -> pl.Expr:
    value = pl.col(column)
    if isinstance(dtype, pl.Binary):
        return value.bin.encode("hex")
    if isinstance(dtype, pl.Datetime):
        return value.dt.epoch("us").cast(pl.String)
    text = value.cast(pl.String)
    if dtype.is_float() or isinstance(dtype, pl.Decimal):
        return pl.when(text.str.contains(r"\.\d*$")).then(text.str.replace(r"\.?0*$", "")).otherwise(text).alias(column)
    return text
