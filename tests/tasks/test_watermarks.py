from __future__ import annotations

import contextlib
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from blocks import Watermark
from dataflow import Engine, Workflow
from dataflow.engine.positions import Wish
from dataflow.engine.runner import RunContext
from dataflow.errors import ConfigError, LakeUnavailable
from dataflow.lake.lake import Lake
from dataflow.lake.lease import acquire
from dataflow.lake.seams import Seam
from tasks.runner import PrefectRunner
from tasks.watermarks import mirror
from tasks.watermarks import wished as wished_between
from tests.dataflow.engine.made import Made
from tests.faults.harness import Fault, Injected, injected
from tests.tasks.runs import context, report

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("prefect_server")]


def mark(day: int = 1) -> dict[str, Any]:
    event_time = datetime(2013, 1, day, tzinfo=UTC)
    return {"position": {"files": day, "last": "a.csv"}, "batch_id": f"b{day}", "event_time": event_time, "epoch": 0}


@pytest.fixture
def pipeline() -> str:
    return f"p_{uuid.uuid4().hex[:8]}"


def name(pipeline: str, source: str = "orders") -> str:
    return f"{pipeline}-{source}".replace("_", "-")


def block(pipeline: str, source: str = "orders") -> Watermark:
    return Watermark.load(name(pipeline, source), _sync=True)  # type: ignore[call-arg, return-value]


def updated_at(pipeline: str) -> datetime | None:
    with get_client(sync_client=True) as client:
        return client.read_block_document_by_name(name(pipeline), "watermark").updated


def edit(pipeline: str, /, **data: Any) -> None:
    """What a person does on the block's page."""
    from prefect.client.schemas.actions import BlockDocumentUpdate

    with get_client(sync_client=True) as client:
        document = client.read_block_document_by_name(name(pipeline), "watermark")
        client.update_block_document(document.id, BlockDocumentUpdate(data=data, merge_existing_data=True))


def delete(pipeline: str) -> None:
    with get_client(sync_client=True) as client:
        client.delete_block_document(client.read_block_document_by_name(name(pipeline), "watermark").id)


def test_what_is_missing_is_made_and_what_says_the_same_is_left_alone(pipeline: str):
    run = context(pipeline, orders=mark(), late_orders=mark(2))

    known = mirror(run)

    assert {name(pipeline), name(pipeline, "late_orders")} == set(known)
    found = block(pipeline)
    assert (pipeline, "orders", "/lake") == (found.pipeline, found.source, found.lake)
    assert mark() == {field: getattr(found, field) for field in mark()}
    assert found.intact
    before = updated_at(pipeline)
    assert known == mirror(run)
    assert before == updated_at(pipeline)


def test_a_block_that_is_behind_is_caught_up_before_and_after_a_run(pipeline: str):
    mirror(context(pipeline, orders=mark(1)))
    marks = {"orders": mark(2)}
    run = RunContext(pipeline, "r", "/lake", 1, watermarks=lambda: marks)
    seen: list[str | None] = []

    def body() -> Any:
        seen.append(block(pipeline).batch_id)
        marks["orders"] = mark(3)
        return report(run)

    PrefectRunner().run(run, body)

    assert ["b2", "b3"] == [*seen, block(pipeline).batch_id]


def test_losing_prefect_loses_nothing_the_next_run_makes_the_blocks_anew(pipeline: str):
    run = context(pipeline, orders=mark(2))
    mirror(run)
    before = block(pipeline)
    delete(pipeline)

    PrefectRunner().run(run, lambda: report(run, "skipped"))

    fields = set(Watermark.model_fields)
    assert before.model_dump(include=fields) == block(pipeline).model_dump(include=fields)


def wished(run: RunContext, known: dict[str, str] | None = None) -> list[Wish]:
    """What a run is told before it begins."""
    wishes: list[Wish] = []
    mirror(replace(run, wish=wishes.append), known)
    return wishes


def test_what_a_person_asks_is_seen_between_runs_and_nothing_is_touched(pipeline: str):
    run = context(pipeline, orders=mark(), others=mark())
    mirror(run)
    asked: list[dict[str, Any]] = []

    def look(**journal: dict[str, Any]) -> Wish | None:
        def marks() -> tuple[str, dict[str, Any]]:
            asked.append(journal)
            return "/lake", journal

        with get_client(sync_client=True) as client:
            return wished_between(client, pipeline, ["orders", "others", "never_read"], marks)

    assert look() is None
    assert [] == asked
    edit(pipeline, position={"file_id": 0})
    before = updated_at(pipeline)

    wish = look(orders=mark(), others=mark())

    assert wish is not None
    assert ("orders", {"file_id": 0}) == (wish.source, wish.position)
    assert f"the Prefect block watermark/{name(pipeline)} was edited by hand" == wish.place
    # Granted, and not written back yet; or of a source of which nothing is published yet.
    assert look(orders={**mark(), "wish": wish.name}, others=mark()) is None
    assert look(others=mark()) is None
    assert before == updated_at(pipeline)
    edit(pipeline, pipeline="another")
    assert look(orders=mark(), others=mark()) is None


def test_an_edited_position_is_told_to_the_run_and_left_until_it_is_granted(pipeline: str):
    run = context(pipeline, orders=mark(), others=mark())
    mirror(run)
    edit(pipeline, position={"files": 0})

    (wish,) = wished(run)

    assert ("orders", {"files": 0}) == (wish.source, wish.position)
    assert f"the Prefect block watermark/{name(pipeline)} was edited by hand" == wish.place
    assert f"`uv run prefect block delete watermark/{name(pipeline)}`" in wish.undo
    assert block(pipeline).digest_now == wish.name
    assert {"files": 0} == block(pipeline).position
    assert [wish] == wished(run), "until the journal says that it is granted"


def test_a_wish_that_was_granted_is_not_told_again_and_the_block_says_what_the_journal_does(pipeline: str):
    mirror(context(pipeline, orders=mark()))
    edit(pipeline, position={"files": 0})
    (wish,) = wished(context(pipeline, orders=mark()))
    granted = {**mark(), "position": {"files": 0, "last": None}, "epoch": 1, "wish": wish.name}

    # The run was killed before it could write the block.
    assert [] == wished(context(pipeline, orders=granted))

    assert ({"files": 0, "last": None}, 1, True) == (
        block(pipeline).position,
        block(pipeline).epoch,
        block(pipeline).intact,
    )
    edit(pipeline, position={"files": 0})
    (again,) = wished(context(pipeline, orders=granted))
    assert wish.name != again.name, "the same position, wished for in another epoch, is another wish"


def test_a_block_that_was_edited_again_before_it_was_written_is_another_wish(pipeline: str):
    mirror(context(pipeline, orders=mark()))
    edit(pipeline, position={"files": 0})
    (first,) = wished(context(pipeline, orders=mark()))
    edit(pipeline, position={})

    (second,) = wished(context(pipeline, orders={**mark(), "epoch": 1, "wish": first.name}))

    assert {} == second.position


def test_a_position_edited_in_a_block_that_was_behind_is_a_wish_too(pipeline: str):
    mirror(context(pipeline, orders=mark(1)))
    edit(pipeline, position={"files": 0})

    (wish,) = wished(context(pipeline, orders=mark(3)))

    assert {"files": 0} == wish.position


@pytest.mark.parametrize("edited", [{"digest": ""}, {"digest": "0123"}, {"digest": "a-b"}])
def test_a_broken_digest_over_what_a_run_would_write_wishes_for_nothing(pipeline: str, edited: dict[str, Any]):
    run = context(pipeline, orders=mark())
    mirror(run)
    edit(pipeline, **edited)

    assert [] == wished(run)

    assert block(pipeline).intact


@pytest.mark.parametrize(
    ("edited", "says"),
    [
        ({"event_time": "2012-01-01T00:00:00Z"}, "event_time was edited by hand, and only `position` moves a source"),
        ({"epoch": 1}, "epoch was edited by hand"),
        ({"epoch": 1, "batch_id": "b9", "position": {}}, "batch_id, epoch were edited by hand"),
        ({"source": "other"}, "source was edited by hand"),
        ({"epoch": "soon"}, "reads no more as a watermark: epoch: Input should be a valid integer"),
        ({"position": "start"}, "reads no more as a watermark: position: Input should be a valid dictionary"),
    ],
)
def test_what_cannot_be_obeyed_stops_the_run_and_says_what_to_do(pipeline: str, edited: dict[str, Any], says: str):
    run = context(pipeline, orders=mark())
    mirror(run)
    edit(pipeline, **edited)

    with pytest.raises(ConfigError) as caught:
        PrefectRunner().run(run, lambda: pytest.fail("the body must not run"))

    assert says in caught.value.message
    assert f"`uv run prefect block delete watermark/{name(pipeline)}`" in caught.value.message
    delete(pipeline)
    mirror(run)
    assert block(pipeline).intact


def test_a_block_edited_during_the_run_is_left_to_the_next_with_a_warning(
    pipeline: str, caplog: pytest.LogCaptureFixture
):
    marks = {"orders": mark(1)}
    run = RunContext(pipeline, "r", "/lake", 1, watermarks=lambda: marks)

    def body() -> Any:
        edit(pipeline, position={"files": 0})
        marks["orders"] = mark(2)
        return report(run)

    assert report(run) == PrefectRunner().run(run, body)

    assert {"files": 0} == block(pipeline).position
    assert f"watermark/{name(pipeline)} was edited by hand meanwhile; the next run goes by it" in caplog.text
    assert [{"files": 0}] == [wish.position for wish in wished(run)]


def test_watermarks_that_cannot_be_read_after_a_run_cost_a_warning_only(caplog: pytest.LogCaptureFixture):
    asked: list[str] = []

    def marks() -> dict[str, Any]:
        asked.append("once more")
        if len(asked) > 1:
            raise LakeUnavailable("the lake does not answer")
        return {}

    run = RunContext("gone", "r", "/lake", 1, watermarks=marks)

    assert report(run) == PrefectRunner().run(run, lambda: report(run))

    assert "the lake does not answer" in caplog.text


# ---------------------------------------------------------------- the whole way


@pytest.fixture
def shop(made: Made, pipeline: str) -> Workflow:
    for month in (1, 2, 3):
        made.csv(f"orders/{month}.csv", "month,amount", [f"{month},{month}0"])
    workflow = made.workflow(pipeline)
    made.source(workflow, "orders")
    workflow.add_task("copied", same, ["orders"])
    assert "completed" == Engine().execute(workflow).state
    return workflow


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path)


def same(orders: pl.LazyFrame) -> pl.LazyFrame:
    return orders


def test_an_edited_position_moves_the_source_and_the_block_tells_it(made: Made, shop: Workflow):
    assert {"files": 3, "file_id": 3} == block(shop.name).position
    edit(shop.name, position={"files": 3, "file_id": 1})

    found = Engine().execute(shop)

    assert ("completed", 2, "orders.1.2") == (found.state, found.stage("orders").units, found.stage("orders").batch_id)
    (note,) = found.notes
    assert f"watermark/{name(shop.name)} was edited by hand: source 'orders' begins epoch 1: 2 files (2 rows)" in note
    stored = block(shop.name)
    assert ({"files": 3, "file_id": 3}, 1, "orders.1.2") == (stored.position, stored.epoch, stored.batch_id)
    assert stored.intact
    assert 3 == made.frame("orders").height == made.frame("copied").height
    assert "skipped" == Engine().execute(shop).state


def test_a_position_that_is_refused_stops_the_run_before_it_does_anything(made: Made, shop: Workflow):
    edit(shop.name, position={"files": 3, "file_id": 9})
    made.csv("orders/4.csv", "month,amount", ["4,40"])

    with pytest.raises(ConfigError) as caught:
        Engine().execute(shop)

    assert (
        "lies ahead of what was read, which ends with file id 3; restore the block, or delete it"
        in caught.value.message
    )
    assert 3 == made.frame("orders").height
    delete(shop.name)
    assert "completed" == Engine().execute(shop).state
    assert 4 == made.frame("orders").height


@pytest.mark.parametrize("seam", [Seam.LEASE_TAKEN, Seam.STAGE_PLANNED, Seam.RELEASE_RECORDED])
def test_a_wish_is_granted_once_wherever_the_run_ends(made: Made, shop: Workflow, seam: Seam):
    edit(shop.name, position={"files": 3, "file_id": 1})
    with injected(Fault(seam, act="fail")), contextlib.suppress(Injected):
        assert "failed" == Engine().execute(shop).state

    assert Engine().execute(shop).state in ("completed", "skipped")
    assert "skipped" == Engine().execute(shop).state

    stored = block(shop.name)
    assert ({"files": 3, "file_id": 3}, 1, True) == (stored.position, stored.epoch, stored.intact)
    assert 3 == made.frame("orders").height == made.frame("copied").height


def test_a_wish_that_met_a_held_lease_waits(made: Made, shop: Workflow):
    held = acquire(Lake(str(made.lake)), shop.name, "met-a-held-lease", ttl_seconds=60)
    edit(shop.name, position={})
    assert "skipped" == Engine().execute(shop).state
    assert {} == block(shop.name).position
    held.release(clean=True)

    assert "orders.1.2" == Engine().execute(shop).stage("orders").batch_id


def test_two_sources_whose_names_read_the_same_are_told_apart(pipeline: str):
    mirror(context(f"{pipeline}_new", orders=mark()))

    with pytest.raises(ConfigError, match="rename one of them"):
        mirror(context(pipeline, new_orders=mark()))


def test_blocks_that_prefect_does_not_take_cost_a_warning_only(caplog: pytest.LogCaptureFixture):
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api", PREFECT_CLIENT_MAX_RETRIES: 0}):
        assert {} == mirror(context("away", orders=mark()))

    assert "watermark/away-orders could not be brought up to date" in caplog.text
