"""Which quarantined rows are sent through their stage again, and with which values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from dataflow.engine.call import first_line
from dataflow.engine.job import QUARANTINE_ID, side_table
from dataflow.errors import ConfigError, hint
from dataflow.lake.lake import Lake
from dataflow.quality.predicate import parse_predicate
from dataflow.sources import LINE, RAW

ABOUT = (QUARANTINE_ID, "_rules", "_reason", "_quarantined_at", LINE, RAW)
"""Columns that say why a row was set aside, and how it was delivered; the others are the row as it was."""
_READ: dict[str, Callable[[str], pl.DataFrame]] = {
    ".csv": lambda path: pl.read_csv(path, infer_schema=False),
    ".parquet": lambda path: pl.read_parquet(path, glob=False),
    ".jsonl": pl.read_ndjson,
}


@dataclass(frozen=True)
class Chosen:
    """Quarantined rows that fit everything that is given; nothing given means all of them."""

    rules: tuple[str, ...] = ()
    """Names of rules, of which a row broke at least one."""
    batches: tuple[str, ...] = ()
    """The batches that set the rows aside."""
    where: str | None = None
    """A predicate over the row, such as ``order_id IN (17, 18)``."""
    edited: str | None = None
    """A CSV, Parquet or JSONL file of rows to send in the place of those with the same ``_quarantine_id``."""

    def rows(self, frame: pl.LazyFrame, stage: str) -> pl.LazyFrame:
        """The chosen rows of a quarantine table.

        Errors: ConfigError for a rule, a batch, a column or an id that is not there.
        """
        _check_known("rule", self.rules, frame.select(pl.col("_rules").explode()), stage)
        _check_known("batch", self.batches, frame.select("_batch_id"), stage)
        if self.rules:
            # Not `list.set_intersection`: a row's rules are few, and this streams.
            frame = frame.filter(pl.any_horizontal(pl.col("_rules").list.contains(rule) for rule in self.rules))
        if self.batches:
            frame = frame.filter(pl.col("_batch_id").is_in(list(self.batches)))
        if self.where is not None:
            frame = frame.filter(_predicate(self.where, frame, stage))
        if self.edited is not None:
            ids = read_edited(self.edited)[QUARANTINE_ID]
            frame = frame.filter(pl.col(QUARANTINE_ID).is_in(ids.implode()))
        return frame


EVERYTHING = Chosen()


def quarantined(lake: Lake, stage: str, chosen: Chosen = EVERYTHING) -> pl.LazyFrame:
    """The chosen rows of the stage's quarantine, as they were set aside.

    Errors: ConfigError where nothing was ever quarantined, and for what ``chosen`` names in vain.
    """
    table = side_table(stage, "quarantine")
    if not lake.exists(table):
        raise ConfigError(f"stage {stage!r}: nothing was ever quarantined there ({lake.table_uri(table)})", stage=stage)
    return chosen.rows(lake.read(table), stage)


def read_edited(path: str) -> pl.DataFrame:
    """The rows of an edited file, one for each ``_quarantine_id``.

    Errors: ConfigError for a file that cannot be read, has no such column, or tells a row twice.
    """
    read = _READ.get(Path(path).suffix)
    if read is None:
        raise ConfigError(f"{path}: edited rows come as {', '.join(_READ)}; export them in one of these forms")
    try:
        frame = read(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise ConfigError(f"{path}: cannot be read: {str(error).splitlines()[0]}") from error
    if QUARANTINE_ID not in frame.columns:
        raise ConfigError(f"{path}: has no column {QUARANTINE_ID}, which tells the row that each line is of; keep it")
    twice = frame.filter(pl.col(QUARANTINE_ID).is_duplicated())[QUARANTINE_ID].unique(maintain_order=True)
    if twice.len():
        raise ConfigError(
            f"{path}: {twice.len()} rows are there more than once, {twice[0]} among them; leave one of each"
        )
    return frame


def check_all_there(rows: pl.LazyFrame, path: str, lake: Lake, stage: str) -> None:
    """Errors: ConfigError where the quarantine has not all the rows of an edited file (any more)."""
    asked = read_edited(path).lazy().select(QUARANTINE_ID)
    missing = asked.join(rows.select(QUARANTINE_ID), on=QUARANTINE_ID, how="anti").collect().to_series()
    if not missing.len():
        return
    sent = ""
    ledger = side_table(stage, "replayed")
    if lake.exists(ledger):
        known = lake.read(ledger).filter(pl.col(QUARANTINE_ID) == missing[0]).select("_replayed_in").collect()
        sent = f": it was sent again in batch {known.item(0, 0)}" if known.height else ""
    raise ConfigError(
        f"{path}: {missing.len()} rows are not in the quarantine of {stage!r}, {missing[0]} among them{sent}; "
        f"export the quarantine as it is now",
        stage=stage,
    )


def edit(rows: pl.LazyFrame, path: str) -> pl.LazyFrame:
    """``rows`` with the values of an edited file; columns that it leaves out stay as they were.

    Errors: ConfigError for a column that rows do not have, and for a value that does not fit its column.
    """
    schema, given = rows.collect_schema(), read_edited(path)
    changed = [c for c in given.columns if c not in ABOUT and not (c.startswith("_") and c in schema)]
    for column in changed:
        if column not in schema:
            raise ConfigError(f"{path}: unknown column {column!r}{hint(column, list(schema))}", column=column)
        typed = _typed(given[column], schema[column], path)
        wrong = given.filter(given[column].is_not_null() & typed.is_null())[QUARANTINE_ID]
        if wrong.len():
            raise ConfigError(f"{path}: {column!r} of row {wrong[0]} is no {schema[column]}; mend it", column=column)
        given = given.with_columns(typed)
    return (
        rows.drop(changed)
        .join(given.lazy().select(QUARANTINE_ID, *changed), on=QUARANTINE_ID, how="left", maintain_order="left")
        .select(schema.names())
    )


_DAY, _CLOCK = "%Y-%m-%d", "%H:%M:%S%.f"


def _typed(given: pl.Series, dtype: pl.DataType, path: str) -> pl.Series:
    """The values as ``dtype``, null where they are none; text is read as exports write it.

    Errors: ConfigError for a type that the file's form cannot say.
    """
    text = pl.col(given.name)
    if given.dtype == pl.String and isinstance(dtype, pl.Boolean):
        known = text.str.to_lowercase()
        value = pl.when(known.is_in(["true", "false"])).then(known == "true")
    elif given.dtype == pl.String and isinstance(dtype, pl.Date):
        value = text.str.to_date(_DAY, strict=False)
    elif given.dtype == pl.String and isinstance(dtype, pl.Datetime):
        value = _instants(text, dtype)
    else:
        value = text.cast(dtype, strict=False)
    try:
        return given.to_frame().select(value).to_series()
    except pl.exceptions.PolarsError as error:
        form = Path(path).suffix
        message = f"{path}: {given.name!r} is of type {dtype}, which {form} cannot say; leave the column out, or export as .parquet"
        raise ConfigError(message, column=given.name) from error


def _instants(text: pl.Expr, dtype: pl.Datetime) -> pl.Expr:
    """Times with a blank or a T; where the column has a time zone, with an offset, or in that time zone."""
    forms = [f"{_DAY}{between}{_CLOCK}" for between in ("T", " ")]
    zone = dtype.time_zone
    local = [text.str.to_datetime(form, strict=False, time_unit=dtype.time_unit) for form in [*forms, _DAY]]
    if zone is None:
        return pl.coalesce(local)
    aware = [
        text.str.to_datetime(f"{form}%#z", strict=False, time_unit=dtype.time_unit, time_zone=zone) for form in forms
    ]
    return pl.coalesce(
        *aware, *(time.dt.replace_time_zone(zone, ambiguous="null", non_existent="null") for time in local)
    )


def _predicate(where: str, frame: pl.LazyFrame, stage: str) -> pl.Expr:
    predicate, columns = parse_predicate(where, "where"), frame.collect_schema().names()
    for column in predicate.columns:
        if column not in columns:
            message = f"stage {stage!r}: unknown column {column!r} in {where}{hint(column, columns)}"
            raise ConfigError(message, stage=stage, column=column)
    try:
        pl.LazyFrame(schema=frame.collect_schema()).select(predicate.expr).collect()
    except pl.exceptions.PolarsError as error:
        raise ConfigError(f"stage {stage!r}: {where} cannot be asked: {first_line(error)}", stage=stage) from error
    return predicate.expr.fill_null(value=False)


def _check_known(what: str, names: tuple[str, ...], told: pl.LazyFrame, stage: str) -> None:
    known = told.unique().collect().to_series().drop_nulls().to_list() if names else []
    for name in names:
        if name not in known:
            message = f"stage {stage!r}: no quarantined row is of {what} {name!r}{hint(name, sorted(known))}"
            raise ConfigError(message, stage=stage)
