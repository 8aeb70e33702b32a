"""A file that delivers rows of an earlier one once more has arrived when that did."""

from __future__ import annotations

from dataflow.incremental.files import detect
from dataflow.lake.state import FileRecord
from dataflow.sources import Item


def record(name: str, file_id: int, first_id: int) -> FileRecord:
    return FileRecord(
        source="s", name=name, content_hash=name, size_bytes=1, modified_at=1.0, file_id=file_id, first_id=first_id
    )


def item(name: str, restates: str | None = None) -> Item:
    return Item(name=name, size_bytes=1, modified_at=1.0, restates=restates)


def test_it_has_an_id_of_its_own_and_the_first_id_of_the_other():
    ledger = {"old": record("old", 7, 3)}
    listed = [item("old"), item("again", "old"), item("new"), item("lost", "never seen")]

    found = detect("s", listed, ledger, lambda file: file.name, next_file_id=8, restates=lambda file: file.restates)

    assert {"old": (7, 3), "again": (8, 3), "new": (9, 9), "lost": (10, 10)} == {
        r.name: (r.file_id, r.first_id) for r in found.records
    }


def test_its_own_name_goes_before():
    ledger = {"old": record("old", 7, 3), "again": record("again", 8, 8)}
    changed = item("again", "old").model_copy(update={"size_bytes": 2})

    found = detect("s", [changed], ledger, lambda _: "changed", next_file_id=9, restates=lambda file: file.restates)

    assert [(9, 8)] == [(r.file_id, r.first_id) for r in found.records]
