"""A commit that went through, and whose answer got lost: it is there once, and nothing of it is taken away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError  # pyright: ignore[reportMissingTypeStubs]
from s3fs.errors import translate_boto_error  # pyright: ignore[reportMissingTypeStubs]

from dataflow.errors import LakeUnavailable
from dataflow.lake import lease as lease_module
from dataflow.lake.journal import Journal
from dataflow.lake.lake import Lake
from dataflow.lake.lease import acquire
from dataflow.lake.log import Log
from dataflow.lake.state import Outputs


def loses_answers(monkeypatch: pytest.MonkeyPatch, error: Callable[[], Exception]) -> None:
    """Every commit to a table that is there goes through, and is told as failed."""
    create = Log._create

    def lost(self: Log, place: str, content: bytes) -> None:
        create(self, place, content)
        raise error()

    monkeypatch.setattr(Log, "_create", lost)


@pytest.mark.parametrize(
    "error",
    [
        lambda: FileExistsError("At least one of the pre-conditions you specified did not hold"),
        lambda: OSError("error reading a body from connection"),
    ],
)
def test_an_entry_is_written_once(tmp_lake: str, monkeypatch: pytest.MonkeyPatch, error: Callable[[], Exception]):
    lease = acquire(Lake(tmp_lake), "shop", "run", ttl_seconds=60)

    loses_answers(monkeypatch, error)
    lease.record("swept", Outputs(outputs=()))

    assert ["lease", "swept"] == [entry.kind for entry in Journal(Lake(tmp_lake)).entries()]


def test_a_write_that_meets_another_one_on_its_way_is_tried_again(tmp_lake: str, monkeypatch: pytest.MonkeyPatch):
    lease = acquire(Lake(tmp_lake), "shop", "run", ttl_seconds=60)
    said = {"Error": {"Code": "ConditionalRequestConflict", "Message": "a conflicting operation"}}
    refusals = [translate_boto_error(ClientError(said, "PutObject")) for _ in range(2)]  # pyright: ignore[reportArgumentType]
    create = Log._create

    def refused(self: Log, place: str, content: bytes) -> None:
        if refusals:
            # What S3 answers with status 409, while the other write is not to be seen yet.
            raise refusals.pop()
        create(self, place, content)

    monkeypatch.setattr(Log, "_create", refused)
    lease.record("swept", Outputs(outputs=()))

    assert [] == refusals
    assert ["lease", "swept"] == [entry.kind for entry in Journal(Lake(tmp_lake)).entries()]


def test_a_lease_that_cannot_be_used_is_not_held(tmp_lake: str, monkeypatch: pytest.MonkeyPatch):
    def away(*args: Any) -> Any:
        raise LakeUnavailable("away")

    acquire(Lake(tmp_lake), "shop", "dead", ttl_seconds=60).stop()
    with monkeypatch.context() as broken:
        broken.setattr(lease_module, "fence", away)
        with pytest.raises(LakeUnavailable):
            acquire(Lake(tmp_lake), "shop", "unlucky", ttl_seconds=60)

    assert acquire(Lake(tmp_lake), "shop", "next", ttl_seconds=60).took_over
