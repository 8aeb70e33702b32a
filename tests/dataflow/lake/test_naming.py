from __future__ import annotations

from dataflow.lake.naming import file_name, unit_id_of, written_when

UNIT = "c10dca02ac77"


def test_files_sort_as_their_rows_came():
    runs = ("20260101T000000x3e1a2b3c", "20260101T000001x001a2b3c")
    written = [("carried", 0, 0), ("carried", 1, 0), ("new", 0, 2), ("new", 0, 10), ("new", 1, 0)]
    names = [f"part={n}/{file_name(UNIT, run, role, nth, n)}" for run in runs for role, nth, n in written]  # pyright: ignore[reportArgumentType]
    shuffled = sorted(names, key=hash)
    assert names == sorted(shuffled, key=written_when)
    assert {UNIT} == {unit_id_of(name) for name in names}


def test_files_of_other_programs_come_first():
    other = "part-00000-6a097c10-7583-4984-8b5e-4383e790ebc8-c000.zstd.parquet"
    assert unit_id_of(other) is None
    assert written_when(other) < written_when(file_name(UNIT, "20260101T000000x3e1a2b3c", "carried", 0, 0))
