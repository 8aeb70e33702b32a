from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest
from prefect.blocks.core import Block
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectAlreadyExists
from prefect.testing.standard_test_suites.blocks import BlockStandardTestSuite

import blocks
from blocks import Lake, Watermark
from blocks.storing import store

ALL = [getattr(blocks, name) for name in blocks.__all__]
EXAMPLES: dict[type[Block], Block] = {
    Lake: Lake.of("s3://bucket/lake", AWS_SECRET_ACCESS_KEY="hunter2", AWS_REGION="eu-south-1"),
    Watermark: Watermark.of(
        "flights",
        "bronze_flights",
        "s3://bucket/lake",
        {
            "position": {"files": {"a.csv": "ä€", "n": 2**60}, "since": None},
            "batch_id": "b1",
            "event_time": datetime(2013, 1, 1, 12, 30, 0, 123456, tzinfo=UTC),
            "epoch": 2,
        },
    ),
}


@pytest.mark.parametrize("block", ALL)
class TestAllBlocksAdhereToStandards(BlockStandardTestSuite):
    @pytest.fixture
    def block(self, block: type[Block]) -> type[Block]:
        return block

    def test_has_a_valid_image(self, block: type[Block]) -> None:
        """No logo: the page of whoever opens it would fetch it from a server of others."""
        assert block._logo_url is None


def test_every_block_has_an_example_here():
    assert set(ALL) == set(EXAMPLES)


@pytest.mark.prefect
@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize("block", ALL)
def test_a_block_comes_back_as_it_was_saved(block: type[Any]):
    store(EXAMPLES[block], "round-trip")

    found = block.load("round-trip", _sync=True)

    assert EXAMPLES[block].model_dump() == found.model_dump()


def test_of_two_runs_that_register_a_block_at_once_none_fails():
    class Registered(Block):
        saved: ClassVar[list[str]] = []

        def save(self, name: str | None = None, *args: Any, **options: Any) -> Any:
            self.saved.append(str(name))
            if len(self.saved) == 1:
                raise ObjectAlreadyExists(Exception("409 Conflict"))

    store(Registered(), "mine")

    assert ["mine", "mine"] == Registered.saved


@pytest.mark.prefect
@pytest.mark.usefixtures("prefect_server")
def test_credentials_of_a_lake_are_shown_to_nobody_but_its_opener():
    store(EXAMPLES[Lake], "secret")

    with get_client(sync_client=True) as client:
        shown = client.read_block_document_by_name("secret", "lake", include_secrets=False)

    assert "hunter2" not in shown.model_dump_json()
    assert "hunter2" not in repr(EXAMPLES[Lake])
    found: Any = Lake.load("secret", _sync=True)  # type: ignore[call-arg]
    assert {"AWS_SECRET_ACCESS_KEY": "hunter2", "AWS_REGION": "eu-south-1"} == found.options


@pytest.mark.parametrize("uri", ["", "s3://key:hunter2@bucket/lake"])
def test_a_lake_without_a_place_or_with_credentials_in_its_uri_is_refused(uri: str):
    with pytest.raises(ValueError, match="uri"):
        Lake.of(uri)


def test_a_watermark_is_intact_until_a_field_changes():
    stored: Any = EXAMPLES[Watermark]
    assert stored.intact

    for field, other in {"position": {}, "batch_id": None, "event_time": None, "epoch": 3, "lake": "/x"}.items():
        assert not stored.model_copy(update={field: other}).intact, field


def test_a_digest_does_not_depend_on_how_an_instant_is_written():
    instants = ["2013-01-01T12:00:00Z", "2013-01-01T12:00:00+00:00", datetime(2013, 1, 1, 12, tzinfo=UTC)]

    digests = {Watermark.of("p", "s", "/lake", {"event_time": instant}).digest for instant in instants}

    assert 1 == len(digests)
