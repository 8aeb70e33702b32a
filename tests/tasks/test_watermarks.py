from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from blocks import Watermark
from dataflow.engine.runner import RunContext
from dataflow.errors import ConfigError
from tasks.runner import PrefectRunner
from tasks.watermarks import mirror
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


def edit(pipeline: str, **data: Any) -> None:
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


@pytest.mark.parametrize(
    "edited",
    [
        {"position": {"files": 0}},
        {"event_time": "2012-01-01T00:00:00Z"},
        {"epoch": 1},
        {"digest": ""},
        {"epoch": "soon"},
    ],
)
def test_a_block_that_a_person_edited_is_not_taken_and_says_what_to_do(pipeline: str, edited: dict[str, Any]):
    run = context(pipeline, orders=mark())
    mirror(run)
    edit(pipeline, **edited)

    with pytest.raises(ConfigError) as caught:
        mirror(run)

    assert f"the Prefect block watermark/{name(pipeline)} was edited by hand" in caught.value.message
    assert f"`uv run prefect block delete watermark/{name(pipeline)}`" in caught.value.message
    delete(pipeline)
    mirror(run)
    assert block(pipeline).intact


def test_an_edited_block_stops_the_run_before_it_does_anything(pipeline: str):
    run = context(pipeline, orders=mark())
    mirror(run)
    edit(pipeline, epoch=1)

    with pytest.raises(ConfigError, match="was edited by hand"):
        PrefectRunner().run(run, lambda: pytest.fail("the body must not run"))


def test_a_block_edited_during_the_run_is_left_alone_with_a_warning(pipeline: str, caplog: pytest.LogCaptureFixture):
    marks = {"orders": mark(1)}
    run = RunContext(pipeline, "r", "/lake", 1, watermarks=lambda: marks)

    def body() -> Any:
        edit(pipeline, epoch=7)
        marks["orders"] = mark(2)
        return report(run)

    assert report(run) == PrefectRunner().run(run, body)

    assert 7 == block(pipeline).epoch
    assert "was edited by hand" in caplog.text


def test_two_sources_whose_names_read_the_same_are_told_apart(pipeline: str):
    mirror(context(f"{pipeline}_new", orders=mark()))

    with pytest.raises(ConfigError, match="rename one of them"):
        mirror(context(pipeline, new_orders=mark()))


def test_blocks_that_prefect_does_not_take_cost_a_warning_only(caplog: pytest.LogCaptureFixture):
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api", PREFECT_CLIENT_MAX_RETRIES: 0}):
        assert {} == mirror(context("away", orders=mark()))

    assert "watermark/away-orders could not be brought up to date" in caplog.text
