"""Broken lines, whatever is wrong with them: the others land, each broken one is told, and nothing is counted twice."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dataflow.errors import SchemaDrift, SourceCorrupt, SourceUnavailable
from dataflow.sources.file import FileConfig, FileSource
from dataflow.sources.files.packing import KEPT_OF_BROKEN, LONGEST_LINE

PACKS: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda data: data,
    "gzip": gzip.compress,
    "zstd": lambda data: pa.compress(data, codec="zstd", asbytes=True),
}
MARKS = ["_broken", "_raw", "_line"]
few = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def landed(path: Path, **options: Any) -> tuple[pl.DataFrame, bool]:
    """The file's rows as the engine reads them, and whether they had to be salvaged."""
    source = FileSource("s", FileConfig(path=str(path), **options))
    (item,) = source.items()
    contract = source.contract([item], None)
    try:
        frame = source.scan(item, contract, row_index="_row_id").collect()
        source.verify(item, {c for c in frame.columns if frame[c].null_count()})
        salvaged = False
    except (SourceCorrupt, pl.exceptions.PolarsError, OSError):
        rows = source.salvage(item, contract, row_index="_row_id")
        if rows is None:
            raise
        # Broken rows come after the others of their batch.
        frame, salvaged = rows.collect().sort("_row_id"), True
        source.verify(item, ())
        assert [*contract, "_row_id", *MARKS] == frame.columns
    assert list(range(frame.height)) == frame["_row_id"].to_list()
    return frame, salvaged


def parts(frame: pl.DataFrame, columns: list[str]) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """The good rows, and the lines of the broken ones with what was delivered."""
    if "_broken" not in frame.columns:
        return frame.select(columns).rows(), []
    good = frame.filter(pl.col("_broken").is_null())
    assert [] == good.filter(pl.col("_raw").is_not_null() | pl.col("_line").is_not_null()).rows()
    return good.select(columns).rows(), frame.filter(pl.col("_broken").is_not_null()).select("_line", "_raw").rows()


# ---------------------------------------------------------------- JSON, with Python's json as the truth

texts = st.text(st.characters(codec="utf-8"), max_size=8)
numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
values = st.none() | st.booleans() | texts | numbers | st.lists(st.integers(), max_size=2)
objects = st.fixed_dictionaries(
    {}, optional={"n": st.integers(-(2**63), 2**63 - 1), "f": numbers, "t": texts, "v": values}
)
good_lines = objects.map(lambda found: json.dumps(found, ensure_ascii=False).encode())
bad_lines = st.sampled_from(
    [b"x", b"null", b"[]", b"1", b'"a"', b"{", b'{"n": 1', b'{"n": 1}{}', b'{"n": 1,}', b'{"n": 01}', b"{'n': 1}", b'{"n": 1, "n": 1}',
     b'{"t": "\xff"}', b'{"t": "\\ud800"}', b'{"t": "a\0"}', b"\0\0\0", b"}", b'{"t": "', b"\xef\xbb\xbf{}", b"{}\r{}"]
)  # fmt: skip


def as_landed(value: Any) -> Any:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@pytest.mark.parametrize("pack", PACKS)
@few
@given(lines=st.lists(good_lines | bad_lines, max_size=12), last=st.booleans())
@example(lines=[b'{"n": 1}', b'{"n": 1}{"n": 2}', b"{", b'"n": 1}'], last=True)
@example(lines=[b"null"], last=False)
def test_every_line_of_json_is_a_row_or_broken(tmp_path: Path, pack: str, lines: list[bytes], last: bool) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(PACKS[pack](b"\n".join(lines) + (b"\n" if last and lines else b"")))
    schema = {"n": "int64", "f": "float64", "t": "string", "v": "json"}

    good, broken = parts(landed(path, schema=schema)[0], ["n", "f", "t", "v"])

    due: list[tuple[Any, ...]] = []
    wrong: list[tuple[int, str]] = []
    for number, line in enumerate(lines, 1):
        # A mark at the file's begin is none of its text.
        line = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        found = sound(line)
        if found is None:
            wrong.append((number, line.decode(errors="backslashreplace")))
        else:
            n, f = found.get("n"), found.get("f")
            due.append((n, None if f is None else float(f), found.get("t"), as_landed(found.get("v"))))
    assert (due, wrong) == (good, broken)


def sound(line: bytes) -> dict[str, Any] | None:
    """The object of a line, as Python reads it; None where it is broken."""
    try:
        pairs = json.loads(line.decode(), object_pairs_hook=list)
    except ValueError:
        return None
    text = json.dumps(pairs, ensure_ascii=False)
    if (
        line.strip()[:1] != b"{"
        or len({name for name, _ in pairs}) < len(pairs)
        or any("\ud800" <= c <= "\udfff" for c in text)
    ):
        return None
    return dict(json.loads(line))


# ---------------------------------------------------------------- CSV, with Python's csv as the truth

fields = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=6)
csv_good = st.lists(fields, min_size=3, max_size=3).filter(lambda row: row[0] != "")
csv_bad = st.sampled_from([b"1", b"1,2", b"1,2,3,4", b'1,"2"x,3', b'a,"b', b"\xff,2,3", b"\0\0\0\0"])


@pytest.mark.parametrize("pack", PACKS)
@few
@given(rows=st.lists(csv_good | csv_bad, max_size=12), end=st.sampled_from(["\n", "\r\n"]))
@example(rows=[["a", 'x"\ny', ""], b'a,"b', ["1", "2", '""']], end="\n")
def test_every_record_of_csv_is_a_row_or_broken(
    tmp_path: Path, pack: str, rows: list[list[str] | bytes], end: str
) -> None:
    # An open quote would take in lines that have quotes.
    if any(b'"b' in row for row in rows if isinstance(row, bytes)):
        rows = [
            row if isinstance(row, bytes) else [field.replace('"', "").replace("\n", "") for field in row]
            for row in rows
        ]
        rows = [row for row in rows if isinstance(row, bytes) or (row[0] and '"' not in written(row, end).decode())]
    content, line = b"x,y,z" + end.encode(), 2
    due: list[tuple[Any, ...]] = []
    wrong: list[tuple[int, str]] = []
    for row in rows:
        if isinstance(row, bytes):
            wrong.append((line, row.decode(errors="backslashreplace")))
            content, line = content + row + end.encode(), line + 1
        else:
            text = written(row, end)
            assert [row] == list(csv.reader(io.StringIO(text.decode(), newline="")))
            due.append(tuple(field or None for field in row))
            content, line = content + text, line + text.count(b"\n")
    path = tmp_path / "in.csv"
    path.write_bytes(PACKS[pack](content))

    good, broken = parts(landed(path)[0], ["x", "y", "z"])

    # Of an empty field Python does not tell whether it was quoted.
    assert due == [tuple(field or None for field in row) for row in good]
    assert wrong == [(number, raw.removesuffix("\r")) for number, raw in broken]


def written(row: list[str], end: str) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator=end).writerow(row)
    return out.getvalue().encode()


@few
@given(rows=st.lists(csv_good, min_size=1, max_size=8), quote=st.booleans())
def test_what_is_salvaged_is_what_is_scanned(tmp_path: Path, rows: list[list[str]], quote: bool) -> None:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL if quote else csv.QUOTE_MINIMAL).writerows(
        [["x", "y", "z"], *rows]
    )
    path = tmp_path / "in.csv"
    path.write_text(out.getvalue(), encoding="utf-8", newline="")
    source = FileSource("s", FileConfig(path=str(path)))
    (item,) = source.items()
    contract = source.contract([item], None)

    scanned = source.scan(item, contract, row_index="_row_id").collect()
    salvaged = source.salvage(item, contract, row_index="_row_id")

    assert salvaged is not None
    assert scanned.rows() == salvaged.drop(MARKS).collect().rows()


# ---------------------------------------------------------------- too long, too wide, too short


@pytest.mark.parametrize(("name", "header"), [("in.csv", b"a,b\n1,2\n"), ("in.jsonl", b'{"a":"1","b":"2"}\n')])
def test_a_line_of_100_megabytes_costs_that_line(tmp_path: Path, name: str, header: bytes) -> None:
    path, size = tmp_path / name, 100_000_000
    path.write_bytes(
        header + b"x" * size + header[4:].rjust(5, b"\n") if name == "in.csv" else header + b"x" * size + b"\n" + header
    )

    frame, salvaged = landed(path)

    assert salvaged
    good, ((line, raw),) = parts(frame, ["a", "b"])
    assert [("1", "2"), ("1", "2")] == good
    assert (3 if name == "in.csv" else 2) == line
    assert "x" * KEPT_OF_BROKEN == raw
    assert f"a line of {size:,} bytes; up to {LONGEST_LINE:,} are read" == frame["_broken"].drop_nulls().item()


def test_a_long_broken_line_tells_its_length(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('{"a": 1}\n' + "y" * 100_000 + "\n")

    frame, _ = landed(path)

    assert "no JSON: Expecting value at character 1 (a line of 100,000 bytes)" == frame["_broken"].drop_nulls().item()
    assert KEPT_OF_BROKEN == len(frame["_raw"].drop_nulls().item())


def test_a_header_of_a_million_columns_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text(",".join(f"c{n}" for n in range(1_000_000)) + "\n")

    with pytest.raises(SourceCorrupt, match=r"its header has 1,000,000 columns; up to 5,000 are read"):
        landed(path)


def test_an_object_of_a_million_fields_costs_its_line(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('{"a": 1}\n' + json.dumps({f"f{n}": n for n in range(1_000_000)}) + '\n{"a": 2}\n')

    frame, _ = landed(path, schema={"a": "int64"}, contract="discard_row")

    good, ((line, _),) = parts(frame, ["a"])
    assert ([(1,), (2,)], 2) == (good, line)


def test_text_between_quotes_may_span_lines_but_not_swallow_the_file(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text('a,b\n1,"x\n\ny"\n2,"open\n' + "3,z\n" * 3000 + '4,"q"\n')

    good, broken = parts(landed(path)[0], ["a", "b"])

    assert [("1", "x\n\ny"), *[("3", "z")] * 3000, ("4", "q")] == good
    assert [(5, '2,"open')] == broken


@pytest.mark.parametrize("pack", ["gzip", "zstd"])
@pytest.mark.parametrize("name", ["in.csv", "in.jsonl"])
def test_packed_data_that_ends_early_is_read_as_far_as_it_goes(tmp_path: Path, pack: str, name: str) -> None:
    rows = [{"a": str(n), "b": f"{n * 7919 % 99_991:05}{n * 104_729 % 99_991:05}"} for n in range(60_000)]
    texts = [f"{row['a']},{row['b']}" if name == "in.csv" else json.dumps(row) for row in rows]
    data = "\n".join(["a,b", *texts] if name == "in.csv" else texts)
    packed = PACKS[pack](data.encode())
    path = tmp_path / name
    path.write_bytes(packed[: len(packed) // 2])

    good, ((line, _),) = parts(landed(path)[0], ["a", "b"])

    assert 1000 < len(good) == line - (2 if name == "in.csv" else 1)
    assert [tuple(row.values()) for row in rows[: len(good)]] == good


def test_damaged_packed_data_is_not_trusted(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    packed = gzip.compress(b'{"a": 1}\n' * 1000)
    path.write_bytes(packed[:-8] + bytes(4) + packed[-4:])

    with pytest.raises(SourceCorrupt, match="incorrect data check"):
        landed(path, schema={"a": "int64"})


# ---------------------------------------------------------------- while it is read


@pytest.mark.parametrize("name", ["in.csv", "in.jsonl", "in.parquet"])
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-3]), r"shrank from [\d,]+ to [\d,]+ bytes"),
        (lambda path: path.write_bytes(path.read_bytes() * 2), r"grew from [\d,]+ to [\d,]+ bytes"),
        (lambda path: path.write_bytes(path.read_bytes()), "was written anew"),
        (lambda path: path.unlink(), "is gone"),
    ],
)
def test_a_file_that_changes_while_it_is_read(
    tmp_path: Path, name: str, change: Callable[[Path], Any], says: str
) -> None:
    path = tmp_path / name
    frame = pl.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    write = {"in.csv": frame.write_csv, "in.jsonl": frame.write_ndjson, "in.parquet": frame.write_parquet}[name]
    write(path)
    source = FileSource("s", FileConfig(path=str(path)))
    (item,) = source.items()
    source.scan(item, source.contract([item], None), row_index="_row_id").collect()
    source.verify(item, ())
    change(path)

    with pytest.raises(SourceUnavailable, match=f"changed while it was read: it {says}.*run again") as caught:
        source.verify(item, ())
    assert caught.value.retryable


def test_a_broken_line_under_a_header_with_a_column_of_no_name(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("id,\n1,a\n2\n")

    frame, salvaged = landed(tmp_path / "in.csv")

    assert salvaged
    assert [("1", "a"), (None, None)] == frame.select("id", "").rows()


def test_broken_rows_come_apart_from_the_others_so_that_they_do_not_keep_their_text(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("id,name\n1,a\n2\n3,c\n")
    source = FileSource("s", FileConfig(path=str(tmp_path / "in.csv")))
    (item,) = source.items()
    found = source.salvage(item, source.contract([item], None), row_index="_row_id")
    assert found is not None

    # In the file they alternate.
    assert [0, 2, 1] == found.collect()["_row_id"].to_list()


def test_of_a_file_that_has_changed_nothing_is_salvaged(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text("id,name\n1,a\n")
    source = FileSource("s", FileConfig(path=str(path)))
    (item,) = source.items()
    schema = source.contract([item], None)
    path.write_text("")

    with pytest.raises(SourceUnavailable, match="it shrank from 12 to 0 bytes"):
        source.salvage(item, schema, row_index="_row_id")


@pytest.mark.parametrize("name", ["i\0d", "\1id", "\3unfit"])
def test_a_name_that_no_column_can_have(tmp_path: Path, name: str) -> None:
    (tmp_path / "in.csv").write_text(f"{name},b\n1,2\n")
    with pytest.raises(SourceCorrupt, match="in its header can be no column's name"):
        landed(tmp_path / "in.csv")

    (tmp_path / "in.jsonl").write_text(json.dumps({name: 1, "b": 2}) + "\n")
    with pytest.raises(SchemaDrift, match="is not in the contract"):
        landed(tmp_path / "in.jsonl")

    frame, _ = landed(tmp_path / "in.jsonl", contract="evolve")
    assert [json.dumps({name: 1}, separators=(",", ":"))] == frame["_rescued"].to_list()


def test_a_column_called_like_a_mark_is_refused_and_never_lost(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("id,_raw\n1,2\n")

    with pytest.raises(SchemaDrift, match="column '_raw', a name that dataflow keeps for itself"):
        landed(tmp_path / "in.csv", schema={"id": "int64"}, contract="discard_value")
