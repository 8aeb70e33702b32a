"""Pulling as the engine does it: before a stage is planned, into the lake, told in a sentence."""

from __future__ import annotations

import logging
import shutil
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from dataflow.config import SourceConfig
from dataflow.engine.logs import place
from dataflow.engine.pulling import Pulled, attach, pull
from dataflow.errors import CommitConflict, SourceError
from dataflow.lake.lake import Lake
from dataflow.lake.seams import Seam, watch
from dataflow.model import Frozen
from dataflow.model.secrets import hide
from dataflow.sources import Source, source_types
from dataflow.workflow import Stage, Workflow
from tests.dataflow.engine.made import AT_ONCE, Made
from tests.dataflow.sources.asked import Asked, Pages, values


def stage(**more: Any) -> Stage:
    return Stage("numbers", "source", SourceConfig(type="asked"), **more)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def test_what_was_pulled_is_told(lake: Lake) -> None:
    pages: list[Any] = [[{"n": 1}, {"n": 2}], [{"n": "x"}]]
    source = Asked("numbers", Pages(pages=pages))

    assert Pulled("pulled 3 rows in 1 file") == pull(source, stage(), lake, "made")
    assert Pulled("nothing new was pulled") == pull(source, stage(), lake, "made")
    pages.append([{"n": 3}])
    assert Pulled("pulled 1 row in 1 file") == pull(source, stage(), lake, "made")
    assert ["1", "2", "x", "3"] == values(source)


def test_a_source_that_has_its_items_is_not_asked(lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("n\n1\n")
    kind = source_types.find("file")
    files: Source = kind("numbers", kind.Config.model_validate({"path": str(tmp_path / "a.csv")}))

    assert pull(files, stage(), lake, "made") is None
    assert not Path(lake.uri).exists()


def test_planning_sees_what_was_pulled_and_does_not_ask(lake: Lake) -> None:
    pull(Asked("numbers", Pages(pages=[[{"n": 1}]])), stage(), lake, "made")
    planned = Asked("numbers", Pages(pages=[RuntimeError("asked")] * 2))
    attach(planned, stage(), lake, "made")

    assert 1 == len(planned.items())


def test_an_error_of_a_stage_with_personal_data_is_not_quoted(lake: Lake) -> None:
    source = Asked("numbers", Pages(pages=[ValueError("ann@example.com is no number")]))

    with pytest.raises(SourceError, match=r"page 1 failed: ValueError: ann@example\.com"):
        pull(source, stage(), lake, "made")
    with pytest.raises(
        SourceError, match=r"source 'numbers' could not be pulled: ValueError \(what it says is not told"
    ):
        pull(source, stage(pii=("email",)), lake, "made")


def test_an_error_that_quotes_nothing_is_told_also_of_personal_data(lake: Lake) -> None:
    source = Asked("numbers", Pages(pages=[[{"_row_id": 1}]]))

    with pytest.raises(SourceError, match="a column '_row_id', a name that dataflow keeps for itself"):
        pull(source, stage(pii=("email",)), lake, "made")


def test_pipelines_and_stages_do_not_share_a_spool(lake: Lake) -> None:
    assert Pulled("pulled 1 row in 1 file") == pull(Asked("numbers", Pages(pages=[[1]])), stage(), lake, "made")
    assert Pulled("pulled 1 row in 1 file") == pull(Asked("numbers", Pages(pages=[[1]])), stage(), lake, "other")


def test_two_runs_at_once_are_a_conflict_that_is_tried_again(lake: Lake) -> None:
    class Slow(Asked):
        def pull(self, state: dict[str, Any] | None) -> Any:
            pull(Asked("numbers", Pages(pages=[[{"n": 1}]])), stage(), lake, "made")
            return (yield from super().pull(state))

    with pytest.raises(CommitConflict, match="at the same time") as raised:
        pull(Slow("numbers", Pages(pages=[[{"n": 1}]])), stage(), lake, "made")

    assert raised.value.retryable


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the source of type ``asked`` has; the type is forgotten after the test."""
    found: list[Any] = []

    class Kept(Asked):
        def __init__(self, name: str, config: Any) -> None:
            super().__init__(name, Pages(pages=found))

    Kept.Config = Frozen
    monkeypatch.setitem(source_types._types, "asked", Kept)
    return found


def numbers(made: Made, **more: Any) -> Workflow:
    workflow = made.workflow()
    workflow.add_source("numbers", {"type": "asked", **AT_ONCE, **more})
    workflow.add_task("doubled", lambda numbers: numbers.with_columns(pl.col("n") * 2), depends_on=["numbers"])
    return workflow


def test_a_run_asks_lands_and_goes_on(made: Made, pages: list[Any]) -> None:
    workflow = numbers(made)
    pages += [[{"n": 1}], [{"n": 2}]]
    assert "completed" == made.run(workflow).state
    assert "skipped" == made.run(workflow).state
    pages.append([{"n": 3, "late": "x"}])
    assert "completed" == made.run(workflow).state

    assert [(1, None), (2, None), (3, "x")] == made.rows("numbers", "n", "late")
    assert [(2,), (4,), (6,)] == made.rows("doubled", "n")
    assert 2 == made.frame("numbers")["_source_file"].n_unique()
    assert 3 == made.frame("numbers")["_row_id"].n_unique()


def test_a_plan_does_not_ask(made: Made, pages: list[Any]) -> None:
    workflow = numbers(made)
    pages.append([{"n": 1}])

    plan = made.plan(workflow).stages[0]
    assert ("skip", "no new or changed files; a run asks the source first") == (plan.action, plan.reason)
    assert not made.lake.exists()


def test_a_source_that_does_not_answer_is_asked_again(made: Made, pages: list[Any]) -> None:
    class Once(list[Any]):
        """A page that fails when it is looked at first."""

        def __iter__(self) -> Any:
            if not self:
                self.append({"n": 1})
                raise ConnectionResetError("away")
            return super().__iter__()

    pages.append(Once())

    assert "completed" == made.run(numbers(made)).state
    assert [(1,)] == made.rows("numbers", "n")


@pytest.mark.parametrize("ends", [[], [ValueError("bad")]])
def test_a_pull_is_logged_and_counts_in_what_its_stage_took(
    made: Made, pages: list[Any], ends: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    class Busy(list[Any]):
        """A page that takes its time."""

        def __iter__(self) -> Any:
            until = time.thread_time() + 0.3
            while time.thread_time() < until:
                pass
            return super().__iter__()

    pages += [Busy([{"n": 1}]), *ends]
    with caplog.at_level(logging.INFO):
        report = made.run(numbers(made)).stages[0]

    assert 0.3 <= report.cpu_seconds
    assert report.peak_memory_bytes > 0
    told = [record.getMessage() for record in caplog.records]
    assert (not ends) == ("numbers: pulled 1 row in 1 file" in told)


def test_while_a_source_is_asked_its_stage_is_known(made: Made, pages: list[Any]) -> None:
    found: list[Any] = []

    class Looking(list[Any]):
        def __iter__(self) -> Any:
            found.append((place().stage, place().unit))
            return super().__iter__()

    pages.append(Looking([{"n": 1}]))
    made.run(numbers(made))

    assert ("numbers", "pull") == found[0]


def test_a_secret_is_not_in_the_report_of_a_pull_that_failed(made: Made, pages: list[Any]) -> None:
    hide(["s3cret-of-numbers"])
    pages.append(ValueError("postgres://me:s3cret-of-numbers@host"))
    report = made.run(numbers(made))

    assert "postgres://me:•••@host" in report.reason
    assert "s3cret" not in report.model_dump_json()


def test_a_source_that_cannot_be_asked_fails_its_stage_and_what_needs_it(made: Made, pages: list[Any]) -> None:
    workflow = numbers(made)
    pages.append([{"n": 1}])
    made.run(workflow)
    pages.append(ValueError("bad"))
    report = made.run(workflow)

    assert "failed" == report.state
    assert "source 'numbers': page 1 failed: ValueError: bad; nothing of this pull is kept" in str(
        report.stages[0].error
    )
    assert [(1,)] == made.rows("numbers", "n")


def test_what_was_pulled_and_not_landed_is_landed_by_the_next_run_without_asking_twice(
    made: Made, pages: list[Any]
) -> None:
    pages += [[{"n": 1}], [{"n": 2}]]

    def end(seam: Seam, what: str) -> None:
        if seam is Seam.STAGE_PLANNED:
            raise KeyboardInterrupt

    stop = watch(end)
    try:
        with pytest.raises(KeyboardInterrupt):
            made.run(numbers(made))
    finally:
        stop()
    pages[:2] = [ValueError("asked twice")] * 2
    pages.append([{"n": 3}])

    assert "completed" == made.run(numbers(made, retry={"delay_seconds": 0, "attempts": 1})).state
    assert [(1,), (2,), (3,)] == made.rows("numbers", "n")


def test_what_a_gate_refuses_stays_spooled(made: Made, pages: list[Any]) -> None:
    pages.append([{"n": -1}])
    positive = {"name": "positive", "predicate": "n > 0", "on_fail": "fail"}
    assert "rejected" == made.run(numbers(made, gate=[positive])).state
    pages.append([{"n": 2}])

    assert "completed" == made.run(numbers(made)).state
    assert [(-1,), (2,)] == made.rows("numbers", "n")


def test_a_full_run_lands_the_spool_again_and_does_not_ask_for_history(made: Made, pages: list[Any]) -> None:
    workflow = numbers(made)
    pages.append([{"n": 1}])
    made.run(workflow)
    pages[0] = ValueError("history is gone")
    pages.append([{"n": 2}])

    assert "completed" == made.run(workflow, incremental=False).state
    assert [(1,), (2,)] == made.rows("numbers", "n")


def test_a_full_run_widens_types_and_lands_what_they_had_kept_out(made: Made, pages: list[Any]) -> None:
    workflow = numbers(made)
    for n in (1, 2.5, "x"):
        pages.append([{"n": n}])
        assert "completed" == made.run(workflow).state
    assert ([(1,)], 2) == (made.rows("numbers", "n"), made.frame("numbers__quarantine").height)

    assert "completed" == made.run(workflow, incremental=False).state
    assert [(1.0,), (2.5,)] == made.rows("numbers", "n")
    assert [(2.0,), (5.0,)] == made.rows("doubled", "n")
    assert ['{"n":"x"}'] == made.frame("numbers__quarantine")["_raw"].to_list()


def test_a_damaged_spool_stops_its_stage_and_says_what_to_do(made: Made, pages: list[Any]) -> None:
    workflow = numbers(made)
    pages.append([{"n": 1}])
    made.run(workflow)
    record = made.lake / "_spool/made/numbers/000001.json"
    record.write_text("{")
    report = made.run(workflow)

    assert "failed" == report.state
    assert f"{record}: it cannot be read" in str(report.stages[0].error)

    shutil.rmtree(made.lake / "_spool/made/numbers")
    shutil.rmtree(made.lake / "numbers")
    assert "completed" == made.run(workflow, incremental=False).state
    assert [(1,)] == made.rows("numbers", "n")


def test_a_spool_that_is_gone_is_not_asked_for_once_more(made: Made, pages: list[Any]) -> None:
    workflow = numbers(made)
    pages.append([{"n": 1}])
    made.run(workflow)
    shutil.rmtree(made.lake / "_spool")

    for incremental in (True, False):
        report = made.run(workflow, incremental=incremental)
        assert "failed" == report.state
        assert "it was landed, but the whole spool is gone" in report.reason
    assert [(1,)] == made.rows("numbers", "n")

    shutil.rmtree(made.lake / "numbers")
    assert "completed" == made.run(workflow, incremental=False).state
    pages.append([{"n": 2}])
    assert "completed" == made.run(workflow).state
    assert [(1,), (2,)] == made.rows("numbers", "n")
