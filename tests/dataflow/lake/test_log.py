"""A table's log as files: what it says, in every spelling, and one commit for each version."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from deltalake import CommitProperties, DeltaTable
from deltalake.transaction import AddAction, RemoveAction

from dataflow.errors import CommitConflict, LakeCorrupt, LakeError
from dataflow.lake.lake import Lake
from dataflow.lake.log import Log, log_path
from tests.dataflow.lake.tables import put


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def place(lake: Lake, version: int) -> Path:
    return Path(lake.path("t", "_delta_log", f"{version:020d}.json"))


def test_paths_are_spelled_as_delta_spells_them(lake: Lake):
    put(lake, pl.DataFrame({"v": [1]}))
    letters = [chr(code) for code in range(32, 127) if chr(code) not in "/\\"] + ["ü", "€", "a%2Fb"]
    found = [f"k={letter}/f.parquet" for letter in letters]
    handle = lake.open("t")
    adds: list[AddAction | RemoveAction] = [AddAction(path, 1, {}, 1, True, '{"numRecords":1}') for path in found]
    handle.create_write_transaction(
        adds, "append", handle.schema(), None, commit_properties=CommitProperties(max_commit_retries=0)
    )

    lines = [json.loads(line) for line in place(lake, 1).read_text().split("\n")]
    assert [line["add"]["path"] for line in lines if "add" in line] == [log_path(path) for path in found]


def test_values_with_odd_line_ends_do_not_break_the_reading(lake: Lake):
    odd = "a\u2028b\x85c"
    put(lake, pl.DataFrame({"k": [odd], "v": [1]}), by=("k",))

    actions = next(iter(lake.log("t").commits(-1, 0)))
    assert actions is not None
    assert [odd] == [action["add"]["partitionValues"]["k"] for action in actions if "add" in action]


def test_a_commit_that_is_gone_ends_what_is_told(lake: Lake):
    for number in range(3):
        put(lake, pl.DataFrame({"v": [number]}), seq=number + 1, run_id=f"r{number}", unit=str(number))
    place(lake, 1).unlink()

    assert [False, True] == [commit is None for commit in lake.log("t").commits(-1, 2)]


def test_a_broken_line_is_named(lake: Lake):
    put(lake, pl.DataFrame({"v": [1]}))
    place(lake, 1).write_text('{"add": {')

    with pytest.raises(LakeCorrupt, match=r"0001\.json: the table's log cannot be read"):
        list(lake.log("t").commits(0, 1))


def test_one_commit_for_each_version(lake: Lake):
    put(lake, pl.DataFrame({"v": [1]}))
    log = lake.log("t")
    log.put(1, [{"commitInfo": {"timestamp": 1, "operation": "WRITE"}}])

    for version in (0, 1):
        with pytest.raises(CommitConflict, match=f"another writer committed version {version}; run again"):
            log.put(version, [{"commitInfo": {}}])
    assert 1 == DeltaTable(lake.table_uri("t")).version()
    assert [] == list(place(lake, 0).parent.glob("*.tmp"))


class Store:
    """An object store: it creates on condition, and may lose the answer."""

    protocol = ("s3", "s3a")

    def __init__(self, *, takes: bool) -> None:
        self.taken: dict[str, bytes] = {}
        self._takes = takes

    def pipe_file(self, place: str, content: bytes, mode: str) -> None:
        assert "create" == mode
        if self._takes:
            self.taken.setdefault(place, content)
        raise OSError("the connection was closed")

    def exists(self, place: str) -> bool:
        return place in self.taken


@pytest.mark.parametrize(("takes", "error"), [(True, CommitConflict), (False, LakeError)])
def test_an_object_store_whose_answer_was_lost_is_asked_whether_it_took_the_commit(takes: bool, error: type[Exception]):
    log = Log(Store(takes=takes), "t/_delta_log", "s3://t", "t")

    with pytest.raises(error) as raised:
        log.put(3, [{"commitInfo": {}}])
    assert takes == isinstance(raised.value, CommitConflict)
