"""Files as they come: messy ones are landed whole, or refused with a reason; never half, never shifted."""

from __future__ import annotations

import bz2
import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from pydantic import ValidationError

from dataflow.errors import ConfigError, SchemaDrift, SourceCorrupt, SourceError, SourceUnavailable
from dataflow.sources.file import FileConfig, FileSource
from dataflow.sources.source import Item

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Writes a file and answers its path."""

    def write(content: str | bytes = "a,b\n1,2\n", name: str = "in.csv") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def source(path: Any, **options: Any) -> FileSource:
    paths = tuple(map(str, path)) if isinstance(path, list | tuple) else str(path)
    return FileSource("s", FileConfig(path=paths, **options))


def land(path: Any, columns: tuple[str, ...] | None = None, **options: Any) -> list[tuple[Any, ...]]:
    """The rows of the only file, as the engine reads them."""
    src = source(path, **options)
    (item,) = src.items()
    given = pl.Schema(dict.fromkeys(columns, pl.String())) if columns else src.contract([item], None)
    frame = src.scan(item, given, row_index="_row_id").collect()
    src.verify(item, {c for c in frame.columns if frame[c].null_count()})
    assert list(range(frame.height)) == frame["_row_id"].to_list()
    return frame.drop("_row_id").rows()


def names(path: Any) -> list[str]:
    return [Path(item.name).name for item in source(path).items()]


# ---------------------------------------------------------------- which files


def test_one_file_a_folder_a_glob_and_several_of_them(make: Make, tmp_path: Path) -> None:
    for name in ("x/b.csv", "x/a.csv", "x/.hidden.csv", "x/_SUCCESS", "x/deeper/c.csv", "y.csv"):
        make(name=name)

    assert ["y.csv"] == names(tmp_path / "y.csv")
    assert ["a.csv", "b.csv"] == names(tmp_path / "x")
    assert ["a.csv", "b.csv"] == names(tmp_path / "x" / "*.csv")
    assert ["c.csv"] == names(tmp_path / "x" / "**" / "c.csv")
    assert ["a.csv", "b.csv", "y.csv"] == names([tmp_path / "y.csv", tmp_path / "x", tmp_path / "x" / "a.csv"])


def test_files_that_somebody_is_still_writing_are_passed_over(make: Make, tmp_path: Path) -> None:
    for name in (
        "a.csv",
        "a.csv.part",
        "b.csv.tmp",
        "c.csv.filepart",
        "d.csv.crdownload",
        "e.CSV.TMP",
        "f.csv~",
        "tmp.csv",
    ):
        make(name=f"x/{name}")

    assert ["a.csv", "tmp.csv"] == names(tmp_path / "x") == names(tmp_path / "x" / "*")
    assert ["a.csv.part"] == names(tmp_path / "x" / "*.part"), "who names them means them"
    assert ["f.csv~"] == names(tmp_path / "x" / "f.csv~")
    (tmp_path / "x" / "a.csv").unlink()
    (tmp_path / "x" / "tmp.csv").unlink()
    with pytest.raises(SourceUnavailable, match="no file in"):
        names(tmp_path / "x")


def test_links_are_what_they_lead_to(make: Make, tmp_path: Path) -> None:
    os.utime(make("a\n1\n", "there/real.csv"), (5, 5))
    make(name="x/own.csv")
    (tmp_path / "x" / "link.csv").symlink_to(tmp_path / "there" / "real.csv")
    (tmp_path / "x" / "folder").symlink_to(tmp_path / "there")

    assert ["link.csv", "own.csv"] == names(tmp_path / "x") == names(tmp_path / "x" / "*")


def test_a_store_without_etags_is_refused_where_these_are_to_tell(make: Make) -> None:
    path = make()
    with pytest.raises(
        ConfigError,
        match=r"source 's': detect: etag goes by the ETags of an object store, and .*in.csv has none; say `detect: auto`",
    ):
        source(path, detect="etag").items()


def test_content_that_changed_under_the_same_size_and_time(make: Make) -> None:
    path = make("a\n1\n")
    src = source(path, detect="content")
    (item,) = src.items()
    planned = item.model_copy(update={"content_hash": src.content_hash(item)})
    src.verify(planned, ())
    src.verify(item, ())
    at = path.stat().st_mtime
    path.write_text("a\n2\n")
    os.utime(path, (at, at))

    source(path).verify(planned, ())
    with pytest.raises(SourceUnavailable, match="changed while it was read: it has another content; run again"):
        src.verify(planned, ())


@pytest.mark.parametrize(
    ("option", "value"), [("detect", "size"), ("removed", "drop"), ("settle_seconds", -1), ("settle_seconds", "x")]
)
def test_ways_of_watching_that_there_are_not(option: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=option):
        source("in.csv", **{option: value})


def test_how_files_are_watched_does_not_change_what_is_in_them() -> None:
    plain, watched = source("a.csv"), source("a.csv", detect="modified", removed="delete", settle_seconds=60)

    assert plain.fingerprint == watched.fingerprint
    assert ("modified", "delete", 60.0) == (
        watched.watching.detect,
        watched.watching.removed,
        watched.watching.settle_seconds,
    )


@pytest.mark.parametrize(
    "name", ["a[1].csv", "a*b.csv", "what?.csv", "with space.csv", "ü – 東京.csv", "100%25.csv", "a#b.csv", "a;b,c.csv"]
)
def test_a_file_may_be_called_anything(make: Make, name: str) -> None:
    path = make("a,b\n1,2\n", name)

    assert [("1", "2")] == land(path)
    assert [name] == names(path.parent)


def test_a_pattern_is_a_pattern_where_no_file_has_its_name(make: Make) -> None:
    make(name="a1.csv")
    path = make(name="a2.csv")

    assert ["a1.csv", "a2.csv"] == names(path.parent / "a[12].csv")


@pytest.mark.parametrize("path", ["missing.csv", "missing/*.csv", "*.csv", "."])
def test_nothing_there_names_the_path_and_may_be_tried_again(tmp_path: Path, path: str) -> None:
    with pytest.raises(
        SourceUnavailable, match=r"source 's': (no file|nothing matches) .*; check `path` or wait for the delivery"
    ) as caught:
        source(tmp_path / path).items()
    assert caught.value.retryable


def test_items_say_size_and_time(make: Make) -> None:
    path = make("a\n1\n")
    os.utime(path, (5, 7.25))
    (item,) = source(path).items()

    assert Item(name=str(path), size_bytes=4, modified_at=7.25) == item
    assert source(path).items() == source(f"file://{path}").items()


def test_content_is_named_by_its_bytes(make: Make) -> None:
    for name, content in {"1": b"x" * 3_000_000, "2": b"x" * 3_000_000, "3": b"x" * 2_999_999 + b"y"}.items():
        path = make(content, name)
    src = source(path.parent)
    hashes = {Path(item.name).name: src.content_hash(item) for item in src.items()}

    assert hashes["1"] == hashes["2"] != hashes["3"]
    assert 32 == len(hashes["1"])


def test_a_file_that_vanishes_after_it_was_listed(make: Make) -> None:
    src = source(path := make())
    (item,) = src.items()
    path.unlink()

    with pytest.raises(SourceUnavailable, match=r"in\.csv cannot be read.*run again"):
        src.content_hash(item)


def test_the_fingerprint_is_about_what_is_read_and_not_about_where(make: Make) -> None:
    base = source(make(name="1"))

    assert base.fingerprint == source(make(name="2")).fingerprint
    assert base.fingerprint != source(make(name="1"), separator=";").fingerprint
    assert base.fingerprint != source(make(name="1"), columns=("a", "b")).fingerprint


@pytest.mark.parametrize(
    "options", [{"separator": ""}, {"separator": "||"}, {"columns": ()}, {"format": "excel"}, {"sheet": 1}]
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FileConfig(path="x", **options)


# ---------------------------------------------------------------- what is in them


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        ("a,b\n1,2\n", [("1", "2")]),
        ("a,b\n1,2", [("1", "2")]),
        ("a,b\n", []),
        ("a,b", []),
        ("\ufeffa,b\n1,2\n", [("1", "2")]),
        ('\ufeff"a","b"\n1,2\n', [("1", "2")]),
        ("a,b\r\n1,2\r\n", [("1", "2")]),
        ('a,b\n"x\ny","say ""hi"", ok"\n1,2\n', [("x\ny", 'say "hi", ok'), ("1", "2")]),
        ('a,b\r\n"x\r\ny",2\r\n', [("x\r\ny", "2")]),
        ("a,b\n,\n", [(None, None)]),
        ("a,b\n1,2\n\n3,4\n", [("1", "2"), (None, None), ("3", "4")]),
        ("a,b\n 1 ,007\n1e5,NaN\n", [(" 1 ", "007"), ("1e5", "NaN")]),
        ("b,a\n2,1\n", [("2", "1")]),
        ("a,b\nü,東京\n", [("ü", "東京")]),
        ('"a,1",b\n1,2\n', [("1", "2")]),
        ("a,\n1,2\n", [("1", "2")]),
    ],
)
def test_fields_stay_text_as_they_are(make: Make, content: str, rows: list[tuple[Any, ...]]) -> None:
    assert rows == land(make(content))


def test_columns_come_by_name_whatever_their_order(make: Make) -> None:
    assert [("1", "2")] == land(make("b,a\n2,1\n"), ("a", "b"))


def test_another_separator(make: Make) -> None:
    assert [("1,5", "2")] == land(make("a;b\n1,5;2\n"), separator=";")
    assert [("1", "2")] == land(make("a\tb\n1\t2\n"), separator="\t")


DATA = "a,b\n" + "".join(f"{n},value {n}\n" for n in range(20_000))


def zstd(data: bytes) -> bytes:
    return pa.compress(data, codec="zstd", asbytes=True)


@pytest.mark.parametrize("pack", [gzip.compress, zstd], ids=["gzip", "zstd"])
@pytest.mark.parametrize("name", ["in.csv.gz", "in.csv.zst", "in.csv"])
def test_packed_files_are_known_by_their_content(make: Make, pack: Callable[[bytes], bytes], name: str) -> None:
    data = DATA.encode()

    assert 20_000 == len(land(make(pack(data), name)))
    assert 20_000 == len(land(make(pack(data[:1000]) + pack(data[1000:]), name))), "packed in two pieces"


@pytest.mark.parametrize("pack", [gzip.compress, zstd], ids=["gzip", "zstd"])
@pytest.mark.parametrize("left", [0.5, 0.999])
def test_a_truncated_packed_file_is_not_read_half(make: Make, pack: Callable[[bytes], bytes], left: float) -> None:
    data = pack(DATA.encode())

    with pytest.raises((SourceCorrupt, OSError)):
        land(make(data[: int(len(data) * left)]))


def test_a_gzip_file_with_a_wrong_checksum_is_refused(make: Make) -> None:
    data = gzip.compress(DATA.encode())

    with pytest.raises((SourceCorrupt, OSError)):
        land(make(data[:-8] + b"\0" * 4 + data[-4:]))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty; deliver it again or remove it"),
        (b"\n\n", "no header line"),
        (b"a,b\r1,2\r", "carriage return alone"),
        (b"a,b,a\n1,2,3\n", "column 'a' is twice in its header"),
        (b"a,,\n1,2,3\n", "column '' is twice in its header"),
        ("a,b\n1,2\n".encode("utf-16"), "'utf-8' codec can't decode"),
        (b"\xff\xfe,b\n1,2\n", "'utf-8' codec can't decode"),
        (bz2.compress(DATA.encode()), "packed with bzip2; gzip and zstd are read"),
        (b"PK\x03\x04 and more", "packed with zip"),
        (gzip.compress(b"a,b\n1,2\n", mtime=0)[:15], "cannot be read"),
        (gzip.compress(b"", mtime=0), "no header line"),
        (b'"a,b\n1,2\n', "lacks 'b'|no header line|unexpected end|cannot be read"),
    ],
)
def test_a_file_without_a_header_to_go_by_is_refused(make: Make, content: bytes, says: str) -> None:
    with pytest.raises(SourceError, match=says) as caught:
        land(make(content), ("a", "b"))
    assert "in.csv" in str(caught.value)
    assert not caught.value.retryable


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"a,b\n1,\xff\n", id="no utf-8"),
        pytest.param(DATA.encode() + b"x,\xff\n", id="no utf-8, far down"),
        pytest.param(b"a,b\n1,2,3\n", id="a field too many"),
        pytest.param(DATA.encode() + b"1,2,3\n", id="a field too many, far down"),
        pytest.param(b"a,b\n1\n", id="a field too few"),
        pytest.param(DATA.encode() + b"7\n8,9\n", id="a field too few, far down"),
        pytest.param(DATA.encode()[:-14], id="cut within a line"),
        pytest.param(gzip.compress(b"a,b,c\n1,2,3\n4,5\n", mtime=0), id="a field too few, packed"),
        pytest.param(b"a,b,c\r\n1,2,3\r\n4,5\r\n", id="a field too few, CRLF"),
        pytest.param(b'a,b\n"x\ny",1\n2\n', id="a field too few after a quoted line end"),
        pytest.param(b'a,b\n1,"2\n3,4\n', id="a quote that never ends"),
        pytest.param(b'a,b\n1,"2"x\n3,4\n', id="text after a quote"),
    ],
)
def test_lines_that_do_not_fit_are_no_silent_loss(make: Make, content: bytes) -> None:
    with pytest.raises((SourceCorrupt, pl.exceptions.ComputeError)):
        land(make(content), tuple(b"abc".decode()) if b"a,b,c" in content or content[:2] == b"\x1f\x8b" else ("a", "b"))


def test_a_line_that_ends_too_early_is_found(make: Make) -> None:
    src = source(make("a,b,c\n1,2,3\n4,5\n6,7,\n"))

    with pytest.raises(
        SourceCorrupt,
        match=r"in\.csv cannot be read: a line has 2 fields, the header 3; deliver it again or remove it",
    ):
        src.verify(src.items()[0], {"a", "b", "c"})


@pytest.mark.parametrize("content", ["a,b\n1,\n,\n\n3,4\n", 'a,b\n"x\n\ny",\n', "a\n1\n\n3\n"])
def test_empty_fields_and_lines_are_no_reason_to_refuse_a_file(make: Make, content: str) -> None:
    src = source(make(content))
    src.verify(src.items()[0], {"a", "b", "c"})


def test_a_file_is_read_again_only_where_its_own_last_column_holds_nulls(make: Make) -> None:
    src = source(make("b,a\n1\n"))
    (item,) = src.items()

    src.verify(item, {"b"})
    with pytest.raises(SourceCorrupt, match="a line has 1 fields, the header 2"):
        src.verify(item, {"a"})


def test_verifying_says_what_scanning_says_of_an_unreadable_file(make: Make) -> None:
    src = source(make(gzip.compress(DATA.encode())[:100]))

    with pytest.raises(SourceCorrupt):
        src.verify(src.items()[0], {"b"})


# ---------------------------------------------------------------- the contract


@pytest.mark.parametrize(
    ("content", "says", "missing", "extra"),
    [
        ("a\n1\n", r"lacks 'b'; mend the file, or change `columns` of the source", ["b"], []),
        ("a,b,c\n1,2,3\n", r"has an unexpected 'c'; mend", [], ["c"]),
        ("a,bb\n1,2\n", r"lacks 'b' \(renamed to 'bb'\?\) and has an unexpected 'bb'", ["b"], ["bb"]),
        ("x;y\n1;2\n", r"lacks 'a' and lacks 'b' and has an unexpected 'x;y'", ["a", "b"], ["x;y"]),
    ],
)
def test_other_columns_than_agreed(make: Make, content: str, says: str, missing: list[str], extra: list[str]) -> None:
    with pytest.raises(SchemaDrift, match=says) as caught:
        land(make(content), ("a", "b"))
    assert (missing, extra, "s") == (caught.value.missing, caught.value.extra, caught.value.source)


def test_the_contract_is_configured_or_the_first_files(make: Make) -> None:
    first = make("a,b\n", "1.csv")
    make("a,c\n", "2.csv")
    src = source(first.parent)

    assert ["a", "b"] == src.contract(src.items(), None).names()
    assert ["x"] == source(first.parent, columns=("x",)).contract(src.items(), None).names()


# ---------------------------------------------------------------- parquet


def test_parquet_keeps_its_types(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "year=2013" / "in.parquet"
    path.parent.mkdir()
    pl.DataFrame({"b": [1.5, None], "a": [1, 2]}).write_parquet(path)

    assert [(1.5, 1), (None, 2)] == land(path, format="parquet")
    assert [("1", "1.5"), ("2", None)] == land(path, ("a", "b"), format="parquet"), "all text, as this contract has it"
    assert ["b", "a"] == source(path, format="parquet").contract(
        source(path, format="parquet").items(), None
    ).names(), "no column from the folder's name"


def test_parquet_without_rows(tmp_path: Path) -> None:
    pl.DataFrame(schema={"a": pl.Int64}).write_parquet(tmp_path / "in.parquet")
    assert [] == land(tmp_path / "in.parquet", format="parquet")


@pytest.mark.parametrize("cut", [0, 3, 100])
def test_truncated_parquet(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "in.parquet"
    pl.DataFrame({"a": range(1000)}).write_parquet(path)
    path.write_bytes(path.read_bytes()[:cut])

    with pytest.raises(SourceCorrupt, match=r"in\.parquet (is empty|cannot be read).*deliver it again or remove it"):
        land(path, format="parquet")


def test_parquet_with_other_columns(tmp_path: Path) -> None:
    pl.DataFrame({"a": [1], "carier": ["x"]}).write_parquet(tmp_path / "in.parquet")

    with pytest.raises(SchemaDrift, match=r"lacks 'carrier' \(renamed to 'carier'\?\)"):
        land(tmp_path / "in.parquet", ("a", "carrier"), format="parquet")
