"""The spool: an answer is in sight at once with the state after it, or not at all."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from dataflow.errors import CommitConflict, LakeCorrupt, LakeError, SchemaConflict
from dataflow.lake import sizing, spool
from dataflow.lake.lake import Lake
from dataflow.lake.spool import Spool


@pytest.fixture
def empty(tmp_path: Path) -> Spool:
    return Spool(Lake(tmp_path / "lake"), "made", "numbers")


def numbers(*found: int) -> pl.DataFrame:
    return pl.DataFrame({"n": list(found)}, schema={"n": pl.Int64()})


def again(other: Spool) -> Spool:
    """As another process sees it."""
    return Spool(Lake(other.lake.uri), "made", "numbers")


def content(kept: Spool) -> list[list[int]]:
    kept = again(kept)
    return [kept.scan(file.name, "_i").collect()["n"].to_list() for file in kept.files()]


def test_a_spool_that_was_never_written_is_empty(empty: Spool) -> None:
    assert (None, [], pl.Schema(), 0) == (empty.state(), empty.files(), empty.declared(), empty.sweep())
    assert not Path(empty.lake.uri).exists()


def test_a_folder_may_be_named_like_a_pattern(tmp_path: Path) -> None:
    made = Spool(Lake(tmp_path / "lake [a-z]"), "made", "numbers")
    made.write([numbers(1, 2)], lambda: {"at": 2})

    assert [[1, 2]] == content(made)


def test_what_was_written_is_there_with_the_state_after_it(empty: Spool) -> None:
    written = empty.write([numbers(1, 2)], lambda: {"at": 2}, lambda: pl.Schema({"n": pl.Float64()}))

    seen = again(empty)
    assert [*written] == seen.files()
    assert {"at": 2} == seen.state()
    assert pl.Schema({"n": pl.Float64()}) == seen.declared()
    assert [[1, 2]] == content(empty)
    assert pl.Schema({"n": pl.Int64()}) == written[0].schema_of_rows
    assert (2, os.path.getsize(f"{empty.uri}/{written[0].name}")) == (written[0].rows, written[0].size_bytes)


def test_pulls_are_in_the_order_in_which_they_were_made(empty: Spool) -> None:
    for n in range(12):
        empty.write([numbers(n)], lambda n=n: {"at": n})

    assert [[n] for n in range(12)] == content(empty)
    assert sorted(f.name for f in empty.files()) == [f.name for f in empty.files()]


def test_the_state_is_asked_for_when_all_rows_were_taken(empty: Spool) -> None:
    given: list[int] = []

    def frames() -> Iterator[pl.DataFrame]:
        for n in (1, 2, 3):
            given.append(n)
            yield numbers(n)

    empty.write(frames(), lambda: {"given": [*given]})

    assert {"given": [1, 2, 3]} == empty.state()


def test_a_pull_that_brings_nothing_leaves_nothing(empty: Spool) -> None:
    assert () == empty.write([], lambda: None)
    assert not Path(empty.uri).exists()
    empty.write([numbers(1)], lambda: {"at": 1})
    before = sorted(os.listdir(empty.uri))

    assert () == empty.write([], lambda: {"at": 1})
    assert () == empty.write([numbers()], lambda: {"at": 1})
    assert before == sorted(os.listdir(empty.uri))


def test_a_state_may_move_without_rows(empty: Spool) -> None:
    empty.write([numbers(1)], lambda: {"at": 1})

    assert () == empty.write([], lambda: {"at": 7})
    assert {"at": 7} == again(empty).state()
    assert [[1]] == content(empty)


def test_the_same_answer_to_the_same_question_is_not_kept_twice(empty: Spool) -> None:
    empty.write([numbers(1, 2)], lambda: None)
    before = sorted(os.listdir(empty.uri))

    assert () == empty.write([numbers(1, 2)], lambda: None)
    assert before == sorted(os.listdir(empty.uri))

    assert 1 == len(empty.write([numbers(1, 2)], lambda: {"at": 2}))
    assert 1 == len(empty.write([numbers(1, 3)], lambda: {"at": 2}))
    assert [[1, 2], [1, 2], [1, 3]] == content(empty)


def test_a_file_takes_many_pages_and_a_big_page_many_files(empty: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizing, "MAX_BYTES", 800)
    pages = [numbers(*range(k, k + 10)) for k in range(0, 250, 10)] + [numbers(*range(250, 1000))]

    written = empty.write(pages, lambda: {"at": 1000})

    assert [*range(1000)] == [n for part in content(empty) for n in part]
    assert [100, 100] == [file.rows for file in written[:2]]
    assert all(file.rows < 200 for file in written)
    assert 6 <= len(written) <= 12


def test_pages_are_taken_one_by_one(empty: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizing, "MAX_BYTES", 800)
    ahead: list[int] = []

    def pages() -> Iterator[pl.DataFrame]:
        for k in range(30):
            files = len(os.listdir(empty.uri)) if os.path.isdir(empty.uri) else 0
            ahead.append(k * 100 - files * 100)
            yield numbers(*range(100))

    empty.write(pages(), lambda: None)

    assert 30 == len(ahead)
    assert max(ahead) <= 200


def test_pages_whose_types_contradict_each_other_are_files_of_their_own(empty: Spool) -> None:
    pages = [
        numbers(1),
        pl.DataFrame({"n": [2], "late": ["x"]}),
        pl.DataFrame({"n": [1.5]}),
        pl.DataFrame({"n": [2.5]}),
    ]

    written = empty.write(pages, lambda: None)

    assert [{"n": pl.Int64(), "late": pl.String()}, {"n": pl.Float64()}] == [dict(f.schema_of_rows) for f in written]
    assert [[1, 2], [1.5, 2.5]] == content(empty)


def test_what_an_interrupted_pull_left_was_never_pulled(empty: Spool) -> None:
    empty.write([numbers(1)], lambda: {"at": 1})

    def breaks() -> Iterator[pl.DataFrame]:
        yield numbers(2)
        yield pl.DataFrame({"n": ["x"]})
        raise RuntimeError("away")

    with pytest.raises(RuntimeError):
        empty.write(breaks(), lambda: {"at": 2})

    assert 3 == len(os.listdir(empty.uri))
    assert ([[1]], {"at": 1}) == (content(empty), again(empty).state())
    assert 1 == again(empty).sweep()
    assert 2 == len(os.listdir(empty.uri))
    assert 0 == empty.sweep()


def test_two_that_pull_at_once_do_not_both_count(empty: Spool) -> None:
    other = again(empty)
    other.write([numbers(0)], lambda: {"at": 0})

    def meanwhile() -> dict[str, int]:
        other.write([numbers(1)], lambda: {"at": 1})
        return {"at": 2}

    with pytest.raises(
        CommitConflict, match=r"000002\.json: another run pulled this source at the same time; run again"
    ):
        empty.write([numbers(1, 2)], meanwhile)

    assert ([[0], [1]], {"at": 1}) == (content(empty), again(empty).state())
    assert 1 == empty.sweep()


def test_an_answer_to_a_state_that_is_not_the_last_does_not_count(empty: Spool) -> None:
    asked_at, state = empty.number(), empty.state()
    again(empty).write([numbers(1)], lambda: {"at": 1})

    with pytest.raises(CommitConflict, match="at the same time"):
        empty.write([numbers(1, 2)], lambda: {"at": 2, "from": state}, after=asked_at)
    assert ([[1]], {"at": 1}, 1) == (content(empty), empty.state(), empty.number())


def test_one_whose_files_were_swept_does_not_count(empty: Spool) -> None:
    def meanwhile() -> dict[str, int]:
        assert 1 == again(empty).sweep()
        return {"at": 2}

    with pytest.raises(CommitConflict, match="at the same time"):
        empty.write([numbers(1, 2)], meanwhile)

    assert [] == content(empty)


def test_many_pulls_are_known_by_few_records(empty: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "_WHOLE", 5)
    for n in range(17):
        empty.write([numbers(n)], lambda n=n: {"at": n})
    for n in range(1, 15):
        os.remove(f"{empty.uri}/{n:06d}.json")

    assert [[n] for n in range(17)] == content(empty)
    assert 0 == empty.sweep()
    # The same answer again, right after a record that names all files.
    for n in (17, 18, 19):
        empty.write([numbers(n)], lambda: {"at": "end"})
    assert () == empty.write([numbers(19)], lambda: {"at": "end"})


def test_a_spool_travels_and_a_lake_may_move(empty: Spool, tmp_path: Path) -> None:
    empty.write([numbers(1)], lambda: {"at": 1})
    empty.files()
    copy = pickle.loads(pickle.dumps(empty))
    (tmp_path / "lake").rename(tmp_path / "moved")
    moved = Spool(Lake(tmp_path / "moved"), "made", "numbers")

    assert copy.folder == moved.folder
    assert [[1]] == content(moved)


WAY_OUT = (
    r"what source 'numbers' was pulled is known there alone\. Restore the file, or remove .*/_spool/made/numbers and "
    r".*/lake/numbers and run with --full to pull everything again"
)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pull": "x"}', "\x00\x01"])
def test_a_damaged_record_is_named(empty: Spool, text: str) -> None:
    empty.write([numbers(1)], lambda: {"at": 1})
    empty.write([numbers(2)], lambda: {"at": 2})
    Path(f"{empty.uri}/000002.json").write_text(text)

    for look in (again(empty).files, again(empty).state, again(empty).sweep, again(empty).declared):
        with pytest.raises(LakeCorrupt, match=rf"_spool/made/numbers/000002\.json: it cannot be read: .*; {WAY_OUT}"):
            look()
    assert 4 == len(os.listdir(empty.uri))


def test_a_record_that_is_gone_is_missed(empty: Spool) -> None:
    for n in range(3):
        empty.write([numbers(n)], lambda n=n: {"at": n})
    os.remove(f"{empty.uri}/000002.json")

    with pytest.raises(LakeCorrupt, match=rf"000002\.json: it is gone; {WAY_OUT}"):
        again(empty).files()


def test_a_file_that_is_gone_or_changed_is_missed(empty: Spool) -> None:
    (file,) = empty.write([numbers(*range(100))], lambda: {"at": 1})
    place = Path(f"{empty.uri}/{file.name}")
    whole = place.read_bytes()

    place.write_bytes(whole[:-3])
    with pytest.raises(
        LakeCorrupt, match=rf"0000\.parquet: it has {len(whole) - 3} bytes, not those written; {WAY_OUT}"
    ):
        empty.scan(file.name, "_i")
    place.write_bytes(b"x" * len(whole))
    with pytest.raises(LakeCorrupt, match=rf"0000\.parquet: it cannot be read: .*; {WAY_OUT}"):
        empty.scan(file.name, "_i")
    place.unlink()
    with pytest.raises(LakeCorrupt, match=rf"0000\.parquet: it is gone; {WAY_OUT}"):
        empty.scan(file.name, "_i")
    with pytest.raises(LakeCorrupt, match=rf"other\.parquet: no record names it; {WAY_OUT}"):
        empty.scan("other.parquet", "_i")


def test_storage_that_cannot_be_written_is_an_error_of_the_lake(tmp_path: Path) -> None:
    (tmp_path / "lake").write_text("a file")

    with pytest.raises(LakeError, match=r"_spool/made/numbers: a file stands where a folder is needed"):
        Spool(Lake(tmp_path / "lake"), "made", "numbers").write([numbers(1)], lambda: None)


def test_what_a_table_cannot_hold_is_not_kept(empty: Spool) -> None:
    with pytest.raises(SchemaConflict, match="'Id' and 'id' differ in upper and lower case only"):
        empty.write([pl.DataFrame({"Id": [1], "id": [2]})], lambda: None)

    assert [] == content(empty)


def test_a_record_is_readable_by_people(empty: Spool) -> None:
    empty.write([numbers(1)], lambda: {"at": 1})

    record = json.loads(Path(f"{empty.uri}/000001.json").read_text())
    assert {"at": 1} == record["state"]
    assert ["n"] == [field["name"] for field in record["files"][0]["columns"]["fields"]]
