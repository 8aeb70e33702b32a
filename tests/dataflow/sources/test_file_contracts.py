"""What a contract says of columns, fields and values that are not as agreed; nothing is dropped in silence."""

from __future__ import annotations

import json
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from dataflow.errors import ConfigError, SchemaDrift, SourceCorrupt, SourceUnavailable
from dataflow.sources.file import FileConfig, FileSource
from dataflow.sources.files.fit import Mode, Terms
from dataflow.sources.files.objects import rows as json_rows
from dataflow.sources.files.packing import Line
from dataflow.sources.files.salvage import from_rows
from dataflow.sources.files.types import DATE_FORMATS, column_type, typed
from tests.dataflow.sources.test_file_broken import landed

MODES = ("evolve", "discard_row", "discard_value")
SCHEMA = {"id": "int64", "at": "date", "price": "decimal(10,2)"}


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def contract(*paths: Path, held: pl.Schema | None = None, **options: Any) -> pl.Schema:
    source = FileSource("s", FileConfig(path=tuple(map(str, paths)), **options))
    return source.contract(source.items(), held)


def aside(frame: pl.DataFrame) -> list[tuple[Any, ...]]:
    return frame.filter(pl.col("_broken").is_not_null()).select("_row_id", "_broken", "_raw", "_line").rows()


# ---------------------------------------------------------------- formats


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.csv", "csv"), ("a.csv.gz", "csv"), ("a.jsonl", "jsonl"), ("A.NDJSON.zst", "jsonl"), ("a.parquet", "parquet"), ("a", "csv"), ("a.txt", "csv")],
)  # fmt: skip
def test_the_name_tells_the_format(name: str, expected: str) -> None:
    assert expected == FileConfig(path="x").format_of(name)
    assert "jsonl" == FileConfig(path="x", format="jsonl").format_of(name)


def test_files_of_several_formats_land_by_one_contract(tmp_path: Path) -> None:
    frame = pl.DataFrame({"id": [1], "name": ["x"]})
    frame.write_csv(tmp_path / "1.csv")
    frame.write_ndjson(tmp_path / "2.jsonl")
    frame.write_parquet(tmp_path / "3.parquet")

    for path in tmp_path.iterdir():
        rows, salvaged = landed(path, schema={"id": "int32", "name": "string"})
        assert ([(1, "x")], False) == (rows.drop("_row_id").rows(), salvaged)
        assert pl.Int32 == rows.schema["id"]


# ---------------------------------------------------------------- values that do not fit

CSV = 'id,at,price\n1,2025-05-01,1.50\nx,2025-05-02,2.00\n3,05/06/2025,3.999\n"",,\n'
JSON = (
    '{"id": 1, "at": "2025-05-01", "price": 1.50}\n{"id": "x", "at": "2025-05-02", "price": "2.00"}\n'
    '{"id": 3, "at": "05/06/2025", "price": 3.999}\n{"id": null}\n'
)
FIRST, LAST = (1, date(2025, 5, 1), Decimal("1.50")), (None, None, None)


@pytest.mark.parametrize(("name", "text"), [("in.csv", CSV), ("in.jsonl", JSON)])
@pytest.mark.parametrize("mode", ["evolve", "discard_row"])
def test_a_row_with_a_value_that_does_not_fit_is_set_aside(tmp_path: Path, name: str, text: str, mode: str) -> None:
    rows, _ = landed(write(tmp_path / name, text), schema=SCHEMA, contract=mode)

    good = rows.filter(pl.col("_broken").is_null())
    assert [FIRST, LAST] == good.select(*SCHEMA).rows()
    lines = text.splitlines()
    begin = 1 if name == "in.csv" else 0
    assert [
        (1, "column 'id': a value that is no int64", lines[begin + 1], begin + 2),
        (2, "column 'at': a value that is no date", lines[begin + 2], begin + 3),
    ] == aside(rows)


@pytest.mark.parametrize(
    ("name", "text", "rescued"),
    [
        ("in.csv", CSV, [None, {"id": "x"}, {"at": "05/06/2025", "price": "3.999"}, None]),
        ("in.jsonl", JSON, [None, {"id": "x"}, {"at": "05/06/2025", "price": 3.999}, None]),
    ],
)
def test_a_value_that_does_not_fit_is_rescued(tmp_path: Path, name: str, text: str, rescued: list[Any]) -> None:
    rows, _ = landed(write(tmp_path / name, text), schema=SCHEMA, contract="discard_value")

    assert [FIRST, (None, date(2025, 5, 2), Decimal("2.00")), (3, None, None), LAST] == rows.select(*SCHEMA).rows()
    assert rescued == [None if text is None else json.loads(text) for text in rows["_rescued"]]


@pytest.mark.parametrize(("name", "text", "line"), [("in.csv", CSV, 3), ("in.jsonl", JSON, 2)])
def test_a_value_that_does_not_fit_makes_a_frozen_contract_refuse_the_file(
    tmp_path: Path, name: str, text: str, line: int
) -> None:
    with pytest.raises(
        SchemaDrift, match=rf"{name}, line {line}: column 'id': a value that is no int64; mend"
    ) as caught:
        landed(write(tmp_path / name, text), schema=SCHEMA)
    assert "'x'" not in caught.value.message, "no value is told"


@given(
    texts=st.lists(st.text("0123456789+-.e", max_size=6) | st.integers(-300, 300).map(str) | st.floats().map(str)),
    dtype=st.sampled_from(["int8", "int64", "float64", "decimal(4,2)"]),
)
@settings(max_examples=50, deadline=None)
def test_a_number_is_moved_without_loss_or_not_at_all(texts: list[str], dtype: str) -> None:
    moved = pl.DataFrame({"text": texts}, schema={"text": pl.String}).select(typed(pl.col("text"), column_type(dtype)))

    for text, value in zip(texts, moved["text"], strict=True):
        if value is None:
            continue
        if dtype == "float64":
            assert repr(float(text)) == repr(value)
        else:
            assert Decimal(text) == Decimal(value)


def test_dates_in_the_usual_forms_and_none_that_could_be_another_day() -> None:
    day = date(2025, 9, 5)
    texts = [day.strftime(form) for form in DATE_FORMATS]
    doubtful = ["05/09/2025", "5/9/25", "05.09.25", "2025-13-01", "2025-02-29", "2025-09-05T00:00:00", "tomorrow"]
    frame = pl.DataFrame({"text": [*texts, *doubtful, None]})

    assert [day] * len(texts) + [None] * 8 == frame.select(typed(pl.col("text"), pl.Date())).to_series().to_list()
    told = frame.select(typed(pl.col("text"), pl.Date(), ["%d/%m/%Y"])).to_series().drop_nulls().to_list()
    assert [day] == told


def test_times_keep_their_offset_or_do_not_fit() -> None:
    texts = ["2025-05-01T10:00:00", "2025-05-01 10:00", "2025-05-01T10:00:00.25Z", "2025-05-01T12:00:00+02:00", "10:00"]
    frame = pl.DataFrame({"text": texts})
    local = frame.select(typed(pl.col("text"), pl.Datetime("us"))).to_series().to_list()
    utc = frame.select(typed(pl.col("text"), pl.Datetime("us", "UTC"))).to_series().dt.replace_time_zone(None).to_list()

    assert [datetime(2025, 5, 1, 10), datetime(2025, 5, 1, 10), None, None, None] == local
    assert [None, None, datetime(2025, 5, 1, 10, 0, 0, 250_000), datetime(2025, 5, 1, 10), None] == utc


# ---------------------------------------------------------------- columns that are more, or fewer

HELD = pl.Schema({"id": pl.String(), "name": pl.String()})


def read(path: Path, held: pl.Schema, **options: Any) -> pl.DataFrame:
    """The file's rows by a contract that is held."""
    source = FileSource("s", FileConfig(path=str(path), **options))
    (item,) = source.items()
    given = source.contract([item], held)
    try:
        return source.scan(item, given, row_index="_row_id").collect()
    except (SourceCorrupt, pl.exceptions.PolarsError):
        rows = source.salvage(item, given, row_index="_row_id")
        assert rows is not None
        return rows.collect()


@pytest.mark.parametrize("name", ["in.csv", "in.jsonl"])
def test_evolve_adds_columns_after_those_that_are_held(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    frame = pl.DataFrame({"colour": ["red", None], "id": ["1", "2"]})
    frame.write_csv(path) if name == "in.csv" else frame.write_ndjson(path)

    rows = read(path, HELD, contract="evolve")

    assert [("1", None, "red"), ("2", None, None)] == rows.select("id", "name", "colour").rows()
    assert ["id", "name", "colour"] == rows.columns[:3]
    assert {"id", "name"} == set(contract(path, held=HELD, contract="freeze"))


@pytest.mark.parametrize("name", ["in.csv", "in.jsonl", "in.parquet"])
def test_a_row_with_a_value_in_an_unknown_column_is_set_aside_or_rescued(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    frame = pl.DataFrame({"id": ["1", "2"], "colour": ["red", None], "name": ["a", "b"]})
    {"in.csv": frame.write_csv, "in.jsonl": frame.write_ndjson, "in.parquet": frame.write_parquet}[name](path)

    rows = read(path, HELD, contract="discard_row")
    assert [(0, "column 'colour' is not in the contract")] == [row[:2] for row in aside(rows)]
    assert [("2", "b")] == rows.filter(pl.col("_broken").is_null()).select("id", "name").rows()
    rows = read(path, pl.Schema({**HELD, "_rescued": pl.String()}), contract="discard_value")
    assert [("1", "a", '{"colour":"red"}'), ("2", "b", None)] == rows.select("id", "name", "_rescued").rows()
    with pytest.raises(SchemaDrift, match=r"has an unexpected 'colour'|line 1: column 'colour' is not in the contract"):
        read(path, HELD)


@pytest.mark.parametrize("mode", MODES)
def test_a_file_of_which_no_column_is_known_is_refused_by_every_contract(tmp_path: Path, mode: Any) -> None:
    path = write(tmp_path / "in.csv", "id;name\n1;a\n")

    with pytest.raises(SchemaDrift, match=r"lacks 'id' .*and has an unexpected 'id;name' \(is its `separator` ';'\?\)"):
        read(path, HELD, contract=mode)
    assert ["id;name"] == contract(path, contract="evolve").names(), "nothing was agreed yet"


def test_a_short_line_is_found_where_the_last_column_is_not_landed(tmp_path: Path) -> None:
    path = write(tmp_path / "in.csv", "id,name,colour\n1,a,\n2,b\n")
    source = FileSource("s", FileConfig(path=str(path), contract="discard_row"))
    (item,) = source.items()
    source.scan(item, HELD, row_index="_row_id").collect()

    with pytest.raises(SourceCorrupt, match="a line has 2 fields, the header 3"):
        source.verify(item, {"name"})


def test_many_columns_that_differ_are_told_in_short(tmp_path: Path) -> None:
    path = write(tmp_path / "in.csv", ",".join(["id", "name", *(f"c{n}" for n in range(4000))]) + "\n")

    with pytest.raises(SchemaDrift, match=r"has an unexpected 'c9' and differs in 3,990 columns more; mend"):
        read(path, HELD)


def test_a_field_that_comes_late_is_rescued_by_evolve(tmp_path: Path) -> None:
    path = write(tmp_path / "in.jsonl", '{"id": 1}\n' * 10_001 + '{"id": 2, "late": [1, 2.50]}\n')

    rows, salvaged = landed(path, contract="evolve")

    assert salvaged
    assert ["id", "_rescued"] == rows.columns[:2]
    assert ['{"late":[1, 2.50]}'] == rows["_rescued"].drop_nulls().to_list()


# ---------------------------------------------------------------- what is inferred, and then held


def test_types_of_json_are_those_that_hold_what_was_seen(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    rows = [
        {"i": 1, "f": 1, "b": True, "t": "x", "o": {"k": [1]}, "m": 1, "n": None, "big": 2**70, "l": 2**60, "d": 2**60},
        {"i": -5, "f": 2.5, "b": None, "t": "2025-01-01", "o": None, "m": "x", "L": 0, "": 0, "d": 0.5},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, *rows]) + "broken\n")

    found = contract(path)

    assert {
        "i": pl.Int64, "f": pl.Float64, "b": pl.Boolean, "t": pl.String, "o": pl.String, "m": pl.String, "n": pl.String,
        "big": pl.String, "l": pl.Int64, "d": pl.String,
    } == dict(found)  # fmt: skip


def test_text_columns_take_what_is_no_text_as_json(tmp_path: Path) -> None:
    path = write(
        tmp_path / "in.jsonl", '{"v": {"a": 1.50, "b": [1, null]}}\n{"v": 1.50}\n{"v": "1.50"}\n{"v": false}\n'
    )

    rows, _ = landed(path, schema={"v": "json"})

    assert ['{"a": 1.50, "b": [1, null]}', "1.50", "1.50", "false"] == rows["v"].to_list()


def test_what_is_held_is_not_inferred_again(tmp_path: Path) -> None:
    path = write(tmp_path / "in.jsonl", '{"id": 1}\n')

    assert HELD == contract(path, held=HELD)
    assert pl.Int64 == contract(path)["id"]
    held = pl.Schema({"id": pl.String(), "_rescued": pl.String()})
    assert held == contract(path, held=held, contract="evolve"), "a type that is held stays"


def test_nothing_to_infer_from_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "in.jsonl", "x\n")

    with pytest.raises(
        SourceCorrupt, match=r"in\.jsonl hold no JSON object that would tell columns; mend the file, or say `schema`"
    ):
        contract(path)
    assert ["a"] == contract(path, schema={"a": "string"}).names()


def test_names_that_we_keep_are_refused(tmp_path: Path) -> None:
    for name in ("_broken", "_raw", "_line", "_rescued"):
        path = write(tmp_path / "in.csv", f"a,{name}\n1,2\n")
        with pytest.raises(ConfigError, match=f"column '{name}' has a name that dataflow keeps for itself"):
            contract(path)


# ---------------------------------------------------------------- Parquet


def test_parquet_of_narrower_types_is_widened_and_of_others_judged_by_value(tmp_path: Path) -> None:
    path, wide = tmp_path / "in.parquet", {"id": "int64", "price": "float64"}
    pl.DataFrame(
        {"id": pl.Series([1, 2], dtype=pl.UInt16), "price": pl.Series([1, None], dtype=pl.Float32)}
    ).write_parquet(path)
    rows, _ = landed(path, schema=wide)
    assert [(1, 1.0), (2, None)] == rows.select("id", "price").rows()

    pl.DataFrame({"id": [1.0, 2.5], "price": [1, 2**53 + 1]}).write_parquet(path)
    with pytest.raises(
        SchemaDrift, match=r"in\.parquet has column 'id': a value of type float64 that is no int64; mend"
    ):
        landed(path, schema=wide)
    rows, _ = landed(path, schema=wide, contract="discard_row")
    assert [
        (1, "column 'id': a value of type float64 that is no int64", f'{{"id":2.5,"price":{2**53 + 1}}}', None)
    ] == aside(rows)
    rows, _ = landed(path, schema=wide, contract="discard_value")
    assert [(1, 1.0, None), (None, None, f'{{"id":2.5,"price":{2**53 + 1}}}')] == rows.select(
        "id", "price", "_rescued"
    ).rows()


# ---------------------------------------------------------------- the file's name


@pytest.mark.parametrize("name", ["runways-2025-05-01.csv", "runways-2025-05-01.jsonl", "runways-2025-05-01.parquet"])
def test_columns_from_the_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    frame = pl.DataFrame({"id": ["1"]})
    {".csv": frame.write_csv, ".jsonl": frame.write_ndjson, ".parquet": frame.write_parquet}[path.suffix](path)
    told = {"on": r"(\d{4}-\d\d-\d\d)", "what": "^([a-z]+)-"}

    rows, salvaged = landed(path, from_name=told, schema={"id": "string", "on": "date"})

    assert ([("1", date(2025, 5, 1), "runways")], False) == (rows.select("id", "on", "what").rows(), salvaged)
    with pytest.raises(SchemaDrift, match=r"the name of .*does not tell 'on': '\^\(x\)' is not in it; rename the file"):
        landed(path, from_name={"on": "^(x)"})
    with pytest.raises(
        SchemaDrift, match=r"has a column 'id', which `from_name` takes|column 'id' is not in the contract"
    ):
        landed(path, from_name={"id": "(run)"})


# ---------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("int46", "did you mean 'int64'"),
        ("uint8", "no unsigned integers"),
        ("decimal(50,2)", "1 to 38 digits"),
        ("decimal(2,5)", "no more of them behind the point"),
        ("list", "unknown type 'list'"),
    ],
)
def test_types_that_are_none(name: str, says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        FileConfig(path="x", schema={"a": name})


@pytest.mark.parametrize("separator", ['"', "\n", "é"])
def test_separators_that_separate_nothing(separator: str) -> None:
    with pytest.raises(ValidationError, match="cannot separate fields"):
        FileConfig(path="x", separator=separator)


def test_the_fingerprint_holds_where_rows_stay_the_same() -> None:
    plain = FileSource("s", FileConfig(path="x")).fingerprint
    assert '{"format":"csv","columns":null,"separator":","}' == plain, "as lakes know it that were written before"
    for same in ({"path": "y"}, {"contract": "evolve"}, {"format": "csv"}, {"storage_options": {"a": "b"}}):
        assert plain == FileSource("s", FileConfig(**{"path": "x", **same})).fingerprint
    for other in (
        {"contract": "discard_row"},
        {"schema": {"a": "date"}},
        {"date_formats": ["%d"]},
        {"from_name": {"a": "(x)"}},
    ):
        assert plain != FileSource("s", FileConfig(**{"path": "x", **other})).fingerprint


def test_a_missing_path_is_told_for_every_format(tmp_path: Path) -> None:
    for pattern in ("*.jsonl", "*.parquet", "none.csv"):
        with pytest.raises(SourceUnavailable, match="check `path` or wait for the delivery"):
            FileSource("s", FileConfig(path=str(tmp_path / pattern))).items()


# ---------------------------------------------------------------- memory


def hoards(rows: pl.LazyFrame) -> bool:
    """Whether a step of the plan holds a whole file in memory, as Polars tells."""
    plan = rows.show_graph(engine="streaming", plan_stage="physical", raw_output=True)
    assert plan is not None
    return "fillcolor" in plan


@pytest.mark.parametrize("mode", ["freeze", *MODES])
@pytest.mark.parametrize("name", ["in.csv", "in.jsonl", "in.parquet"])
def test_no_step_holds_a_whole_file(tmp_path: Path, name: str, mode: Mode) -> None:
    types = ("string", "int8", "float64", "boolean", "date", "datetime", "datetime_utc", "decimal(10,2)")
    schema = {f"c{n}": dtype for n, dtype in enumerate(types)}
    frame, path = pl.DataFrame({name: [1] for name in schema}), tmp_path / name
    {"in.csv": frame.write_csv, "in.jsonl": frame.write_ndjson, "in.parquet": frame.write_parquet}[name](path)
    source = FileSource("s", FileConfig(path=str(path), schema=schema, contract=mode))
    (item,) = source.items()

    assert not hoards(source.scan(item, source.contract([item], None), row_index="_row_id"))
    # What it would look like: Polars 2.1 holds a file for this.
    assert hoards(pl.scan_csv(tmp_path / "x.csv", schema={"a": pl.String}).select(pl.col("a").replace_strict({"1": 1})))


def test_salvage_makes_rows_batch_by_batch() -> None:
    lines = (Line(number, b'{"a": 1}') for number in range(1, 100_001))
    terms = Terms("s", "f", pl.Schema({"a": pl.Int64()}))

    frames = from_rows(json_rows(lines), terms, "_row_id")

    assert 20_000 == next(frames).height
    assert 20_001 == next(lines).number, "no line was read that no row is made of"
    assert [(20_000, 1)] == next(frames).select("_row_id", "a").head(1).rows()
