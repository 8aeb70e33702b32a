"""Lists of dead rows: their bytes are those of the Delta protocol, and what is broken is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow.errors import LakeCorrupt
from dataflow.lake.deletion_vectors import (
    Rows,
    decode,
    encode,
    everything_but,
    from_log,
    living,
    read_vectors,
    selection,
    to_log,
    vector_path,
    write_vectors,
)
from dataflow.lake.filesystem import open_filesystem
from dataflow.model import DeletionVector

DIGITS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"


def z85(data: bytes) -> str:
    """Source: ZeroMQ RFC 32, digit by digit."""
    numbers = [int.from_bytes(data[i : i + 4], "big") for i in range(0, len(data), 4)]
    return "".join(DIGITS[number // 85**power % 85] for number in numbers for power in (4, 3, 2, 1, 0))


some_rows = st.frozensets(st.integers(0, 1 << 34), max_size=50)


@settings(max_examples=50)
@given(some_rows)
def test_a_vector_comes_back_as_it_went(rows: frozenset[int]):
    assert rows == set(decode(encode(Rows(rows))))


@settings(max_examples=30)
@given(st.dictionaries(st.sampled_from(["a.parquet", "k=1/b.parquet", "ü.parquet"]), some_rows))
def test_vectors_of_many_files_lie_in_one_and_are_found_again(
    tmp_path_factory: pytest.TempPathFactory, dead: dict[str, frozenset[int]]
):
    root = str(tmp_path_factory.mktemp("t"))
    fs, _ = open_filesystem(root, {})
    told, path = write_vectors(fs, root, "_u1-run1-0", {file: Rows(rows) for file, rows in dead.items()})
    logged = {file: from_log(to_log(vector)) for file, vector in told.items()}

    found = read_vectors(fs, root, told.values())

    assert told == logged
    assert [path] * len(told) == [vector_path(vector) for vector in told.values()]
    assert dead == {file: set(found[vector]) for file, vector in told.items()}
    assert {file: len(rows) for file, rows in dead.items()} == {f: v.cardinality for f, v in told.items()}


def test_the_example_of_the_protocol_names_the_file_that_it_says():
    # Source: Delta protocol, "Derived Fields" of deletion vectors.
    vector = DeletionVector(
        storage="u", path_or_inline="ab^-aqEH.-t@S}K{vb[*k^", offset=4, size_bytes=40, cardinality=6
    )

    assert "ab/deletion_vector_d2c639aa-8816-431a-aaf6-d3fe2512ff61.bin" == vector_path(vector)


def test_an_inline_vector_and_one_elsewhere_are_read(tmp_path: Path):
    fs, root = open_filesystem(str(tmp_path), {})
    data = encode(Rows([3, 4, 7, 11, 18, 29]))
    text = z85(data + bytes(-len(data) % 4))
    inline = DeletionVector(storage="i", path_or_inline=text, size_bytes=len(data), cardinality=6)
    told, path = write_vectors(fs, root, "_x", {"f": Rows([1, 2])})
    elsewhere = told["f"].model_copy(update={"storage": "p", "path_or_inline": f"{root}/{path}"})

    found = read_vectors(fs, root, [inline, elsewhere])

    assert [[3, 4, 7, 11, 18, 29], [1, 2]] == [list(found[inline]), list(found[elsewhere])]
    assert [None, None] == [vector_path(inline), vector_path(elsewhere)]


def test_an_entry_without_a_vector_has_none():
    assert None is from_log(None)
    assert None is from_log({"storageType": None})


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda data: data[:-1] + bytes([data[-1] ^ 1]), "its content is not what was written"),
        (lambda data: data[:20], "its content is not what was written"),
    ],
)
def test_a_broken_file_of_vectors_is_named(tmp_path: Path, harm: object, says: str):
    fs, root = open_filesystem(str(tmp_path), {})
    told, path = write_vectors(fs, root, "_x", {"f": Rows([1, 2])})
    place = tmp_path / path
    place.write_bytes(harm(place.read_bytes()))  # pyright: ignore[reportCallIssue]

    with pytest.raises(LakeCorrupt, match=rf"{path}: the list of dead rows at offset 1 cannot be read: {says}"):
        read_vectors(fs, root, told.values())


def test_a_vector_that_lists_other_rows_than_the_log_says_is_named(tmp_path: Path):
    fs, root = open_filesystem(str(tmp_path), {})
    told, _ = write_vectors(fs, root, "_x", {"f": Rows([1, 2])})

    with pytest.raises(LakeCorrupt, match="it lists 2 rows, the log says 3"):
        read_vectors(fs, root, [told["f"].model_copy(update={"cardinality": 3})])


def test_what_is_no_vector_is_refused():
    with pytest.raises(ValueError, match="does not begin"):
        decode(b"PAR1PAR1")


def test_the_complement_of_some_rows_is_all_others():
    assert [0, 2, 4] == list(everything_but(Rows([1, 3]), 5))
    assert [0, 1] == list(everything_but(Rows(), 2))


@given(st.sets(st.integers(0, 40)), st.integers(1, 41))
def test_living_rows_are_counted_without_the_dead(dead: set[int], count: int):
    alive = [place for place in range(count) if place not in dead]
    numbers = np.arange(len(alive), dtype=np.uint64)

    assert alive == list(living(numbers, Rows(dead)))
    assert alive[::2] == list(living(numbers[::2], Rows(dead)))
    assert [0, 2] == list(living(np.array([0, 2], dtype=np.uint64), None))


def test_polars_is_told_which_rows_to_read():
    asked = selection({"/t/a": (Rows([0, 9]), 10), "file:///t/b": (Rows(), 1)})
    answer = asked(pl.DataFrame({"path": ["file:///t/a", "/t/c", "/t/b"]}))

    assert [[False, *[True] * 8, False], None, [True]] == answer["selection_vector"].to_list()
    assert [None] == asked(pl.DataFrame({"path": ["/t/c"]}))["selection_vector"].to_list()
