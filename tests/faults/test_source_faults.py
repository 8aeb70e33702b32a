"""Sources that fail for a while, repeat themselves, and change while they are listed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pytest

from dataflow import Engine, Workflow
from dataflow.lake.lake import Lake
from dataflow.model import Frozen
from dataflow.sources.files.listing import Listing
from dataflow.sources.spooled import Pull, SpooledSource

AT_ONCE: dict[str, Any] = {"retry": {"delay_seconds": 0}}
_troubles: list[BaseException] = []


class Paged(Frozen):
    """Options of ``Pages``."""

    pages: tuple[tuple[int, ...], ...]


class Pages(SpooledSource):
    """Gives its pages after the one given last; before each it raises what the test has put into ``_troubles``."""

    Config: ClassVar[type[Frozen]] = Paged

    def pull(self, state: dict[str, Any] | None) -> Pull:
        given = (state or {"given": 0})["given"]
        for page in self.config.pages[given:]:
            if _troubles:
                raise _troubles.pop()
            yield [{"n": n} for n in page]
        return {"given": len(self.config.pages)}


@pytest.fixture(autouse=True)
def _no_troubles_are_left() -> Any:
    yield
    _troubles.clear()


def numbers(lake: Path, *pages: tuple[int, ...]) -> Workflow:
    workflow = Workflow("numbers", lake=lake)
    workflow.add_source("pulled", {"type": f"{__name__}:Pages", "pages": list(map(list, pages)), **AT_ONCE})
    once = {"type": "polars_merge", "dedup_key": ["n"]}
    workflow.add_task("once", None, ["pulled"], strategy=once, **AT_ONCE)
    return workflow


def run(workflow: Workflow) -> Any:
    return Engine(runner="inline").execute(workflow)


def rows(lake: Path, table: str, column: str = "n") -> list[Any]:
    return sorted(Lake(lake).read(table).select(column).collect()[column])


def test_a_source_that_fails_twice_is_asked_a_third_time(tmp_path: Path):
    _troubles[:] = [ConnectionResetError("away"), TimeoutError("slow")]

    report = run(numbers(tmp_path / "lake", (1, 2), (3,)))

    assert ("completed", "", []) == (report.state, report.reason, _troubles)
    assert [1, 2, 3] == rows(tmp_path / "lake", "once")


def test_a_source_that_stays_away_fails_its_stage_and_is_resumed(tmp_path: Path):
    lake = tmp_path / "lake"
    assert "completed" == run(numbers(lake, (1, 2))).state
    _troubles[:] = [ConnectionResetError("away")] * 10

    report = run(numbers(lake, (1, 2), (3,)))
    _troubles.clear()

    assert ("failed", True) == (report.state, "away" in report.reason)
    assert [1, 2] == rows(lake, "once")
    assert "completed" == run(numbers(lake, (1, 2), (3,))).state
    assert [1, 2, 3] == rows(lake, "once")
    assert "skipped" == run(numbers(lake, (1, 2), (3,))).state


def test_a_page_that_is_given_twice_is_landed_as_given_and_counted_once(tmp_path: Path):
    lake = tmp_path / "lake"
    run(numbers(lake, (1, 2)))

    report = run(numbers(lake, (1, 2), (1, 2), (3,)))

    assert [1, 1, 2, 2, 3] == rows(lake, "pulled")
    assert [1, 2, 3] == rows(lake, "once")
    assert 2 == report.stage("once").counts.deduplicated


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_file_that_appears_while_the_folder_is_listed_is_landed_now_or_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
):
    folder, lake = tmp_path / "in", tmp_path / "lake"
    folder.mkdir()
    (folder / "b.csv").write_text("n\n1\n2\n")
    expand = Listing.expand
    appeared: list[bool] = []

    def appear() -> None:
        if not appeared:
            appeared.append(True)
            (folder / "a.csv").write_text("n\n3\n")

    def meanwhile(listing: Listing, path: str) -> Any:
        if when == "before":
            appear()
        found = expand(listing, path)
        appear()
        return found

    monkeypatch.setattr(Listing, "expand", meanwhile)
    workflow = Workflow("files", lake=lake)
    workflow.add_source("files", {"path": str(folder / "*.csv"), "schema": {"n": "int"}, **AT_ONCE})

    states = [run(workflow).state for _ in range(3)]

    assert ["completed", "skipped" if when == "before" else "completed", "skipped"] == states
    assert [1, 2, 3] == rows(lake, "files")


def test_a_file_that_grows_while_it_is_read_is_never_landed_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file, lake = tmp_path / "a.csv", tmp_path / "lake"
    file.write_text("n\n1\n2\n")
    check = Listing.check_unchanged
    grown: list[bool] = []

    def grow(listing: Listing, item: Any) -> None:
        if not grown:
            grown.append(True)
            file.write_text("n\n1\n2\n3\n")
        check(listing, item)

    monkeypatch.setattr(Listing, "check_unchanged", grow)
    workflow = Workflow("files", lake=lake)
    workflow.add_source("files", {"path": str(file), "schema": {"n": "int"}, **AT_ONCE})

    first = run(workflow)

    assert "failed" == first.state, "the file is not the one that was planned"
    assert "completed" == run(workflow).state
    assert [1, 2, 3] == rows(lake, "files")
    assert "skipped" == run(workflow).state
    assert pl.Int64() == Lake(lake).read("files").collect_schema()["n"]
