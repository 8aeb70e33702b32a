from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from dataflow.config import strategy_settings
from dataflow.config.models import StrategyConfig
from dataflow.dedup import strategy_types
from dataflow.dedup.bronze_append import BronzeAppend, BronzeOptions
from dataflow.errors import ConfigError
from tests.dataflow.dedup.folds import Fold

SCHEMA = {"id": pl.Int64, "value": pl.Float64, "name": pl.String}
ROWS = st.lists(
    st.tuples(
        st.none() | st.integers(0, 2),
        st.none() | st.sampled_from([0.0, -0.0, 1.5, float("nan")]),
        st.none() | st.sampled_from(["", "a"]),
    ),
    max_size=12,
)


def batch(rows: list[tuple[Any, ...]], first_id: int = 0) -> pl.DataFrame:
    ids = pl.int_range(first_id, first_id + len(rows), dtype=pl.Int64, eager=True).alias("_row_id")
    return pl.DataFrame(rows, schema=SCHEMA, orient="row").with_columns(ids)


def bronze(**options: Any) -> BronzeAppend:
    return BronzeAppend(BronzeOptions(**options))


def originals(rows: list[tuple[Any, ...]], first_id: int = 0) -> list[int | None]:
    """For each row the first that is the same, by a dictionary."""
    first: dict[str, int] = {}
    found = list[int | None]()
    for number, row in enumerate(rows, first_id):
        # -0.0 is 0.0, and NaN, which equals nothing, is written the same every time.
        original = first.setdefault(repr([v + 0.0 if isinstance(v, float) else v for v in row]), number)
        found.append(None if original == number else original)
    return found


@settings(max_examples=40, deadline=None)
@given(ROWS, ROWS)
def test_all_rows_are_kept_and_copies_within_a_batch_are_marked(
    first: list[tuple[Any, ...]], second: list[tuple[Any, ...]]
) -> None:
    fold = Fold(bronze())

    for rows, start in ((first, 0), (second, 100)):
        given_rows = batch(rows, start)
        added = fold.settle(given_rows)

        assert_frame_equal(given_rows, added.select(given_rows.columns))
        assert originals(rows, start) == added["_duplicate_of"].to_list()
    assert fold.rewritten == 0


@settings(max_examples=25, deadline=None)
@given(ROWS)
def test_hashes_tell_copies_across_batches(rows: list[tuple[Any, ...]]) -> None:
    """The query that the docs show: the same answer as when all rows came in one batch."""
    cut, whole = Fold(bronze()), Fold(bronze())
    for start in range(0, len(rows), 3):
        cut.settle(batch(rows[start : start + 3], start))
    whole.settle(batch(rows))

    if rows:
        first = pl.col("_row_id").min().over("composite_hash")
        of = pl.when(first != pl.col("_row_id")).then(first)
        found = cut.table("_duplicate_of").sort("_row_id").select(of).to_series().to_list()

        assert originals(rows) == found == whole.table().sort("_row_id")["_duplicate_of"].to_list()


def test_the_hashes_are_those_of_hashlib() -> None:
    rows = batch([(1, 1.5, "a"), (1, 2.0, None)])

    both = bronze().derive(rows.lazy()).collect()
    split = bronze(composite_columns=["id"], hash_algorithm="md5").derive(rows.lazy()).collect()

    texts = [b"1:117:x3ff80000000000001:a", b"1:11:2~:"]
    whole = [hashlib.sha256(text).hexdigest() for text in texts]
    assert whole == both["composite_hash"].to_list() == both["payload_hash"].to_list()
    assert [hashlib.md5(b"1:1").hexdigest()] * 2 == split["composite_hash"].to_list()
    assert [hashlib.md5(text[3:]).hexdigest() for text in texts] == split["payload_hash"].to_list()


def test_copies_are_told_by_the_composite_columns_alone() -> None:
    rows = batch([(1, 1.0, "a"), (2, 1.0, "a"), (1, 9.0, "b"), (None, 0.0, ""), (None, 1.0, "")])

    fold = Fold(bronze(composite_columns=["id"]))
    added = fold.settle(rows)

    assert ["2 of the rows copy others of their batch, as _duplicate_of tells"] == fold.notes
    assert [None, None, 0, None, 3] == added["_duplicate_of"].to_list()


def test_a_first_row_that_stands_later_is_first_by_its_row_id() -> None:
    rows = batch([(1, 1.0, "a"), (1, 1.0, "a"), (1, 1.0, "a")]).reverse()

    added = Fold(bronze()).settle(rows)

    assert [(2, 0), (1, 0), (0, None)] == added.select("_row_id", "_duplicate_of").rows()


DAY = date(2026, 1, 17)


@pytest.mark.parametrize(
    ("value", "day"),
    [
        (DAY, DAY),
        (datetime(2026, 1, 17, 23, 59), DAY),
        (datetime(2026, 1, 17, 23, 59, tzinfo=UTC), DAY),
        ("2026-01-17", DAY),
        ("2026-01-17T23:59:59.5", DAY),
        ("2026-01-17 23:59:59Z", DAY),
        ("2026-01-18T00:30:00+01:00", DAY),
        ("2026-01-16T23:30:00-0500", DAY),
        ("17.01.2026", None),
        ("2026-02-30", None),
        ("", None),
    ],
)
def test_the_day_is_that_in_utc(value: Any, day: date | None) -> None:
    strategy = bronze(partition_date="at")
    rows = pl.DataFrame({"at": [value, None]})
    if isinstance(value, datetime) and value.tzinfo:
        rows = rows.with_columns(pl.col("at").dt.convert_time_zone("Pacific/Auckland"))

    found = strategy.derive(rows.lazy()).collect()

    assert [day, None] == found["partition_date"].to_list()
    assert pl.Date == found.schema["partition_date"]
    assert ("partition_date",) == strategy.partition_by


def test_a_date_of_the_name_may_tell_the_day_itself() -> None:
    rows = pl.DataFrame({"_row_id": [0, 1, 2], "partition_date": [DAY, None, DAY], "n": [1, 1, 1]})
    hashed = bronze().derive(rows.lazy()).collect()["composite_hash"].to_list()

    added = Fold(bronze(partition_date="partition_date")).settle(rows)

    assert [DAY, None, DAY] == added["partition_date"].to_list()
    assert hashed == added["composite_hash"].to_list()
    assert [None, None, 0] == added["_duplicate_of"].to_list()


def test_without_a_day_the_table_is_not_partitioned() -> None:
    assert () == bronze().partition_by
    assert {} == dict(bronze().columns)
    assert {"composite_columns": ("id",), "partition_date": ("at",)} == dict(
        bronze(composite_columns=["id"], partition_date="at").columns
    )


def test_what_does_not_fit_is_refused() -> None:
    rows = batch([(1, 1.0, "a")])
    with pytest.raises(ConfigError, match="partition_date names 'id', which is of type Int64 and tells no day"):
        bronze(partition_date="id").derive(rows.lazy())
    with pytest.raises(ConfigError, match="adds a column 'payload_hash', which the rows have already"):
        bronze().derive(rows.lazy().with_columns(payload_hash=pl.lit("")))
    with pytest.raises(ConfigError, match="adds a column '_duplicate_of', which the rows have already"):
        bronze().derive(rows.lazy().with_columns(_duplicate_of=pl.lit("")))
    with pytest.raises(ConfigError, match="adds a column 'partition_date', which the rows have already"):
        bronze(partition_date="partition_date").derive(pl.LazyFrame({"partition_date": ["2026-01-17"]}))
    with pytest.raises(ConfigError, match="marks a copy by the row id of the first, and these rows have none"):
        Fold(bronze()).settle(rows.drop("_row_id"))
    config = StrategyConfig.model_validate({"type": "bronze_append", "hash_algoritm": "md5"})
    with pytest.raises(ConfigError, match="hash_algorithm"):
        strategy_settings(config, lambda *key: ".".join(map(str, key)))
    assert BronzeAppend is strategy_types.find("bronze_append")
