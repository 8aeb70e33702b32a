"""A commit that went through, and whose answer got lost: it is there once, and nothing of it is taken away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

from dataflow.errors import LakeUnavailable
from dataflow.lake import lease as lease_module
from dataflow.lake.journal import Journal
from dataflow.lake.lake import Lake
from dataflow.lake.lease import acquire
from dataflow.lake.state import Outputs


def loses_answers(monkeypatch: pytest.MonkeyPatch, error: Callable[[], Exception]) -> None:
    """Every commit to a table that is there goes through, and is told as failed."""
    commit = DeltaTable.create_write_transaction

    def lost(self: DeltaTable, *args: Any, **kwargs: Any) -> None:
        commit(self, *args, **kwargs)
        raise error()

    monkeypatch.setattr(DeltaTable, "create_write_transaction", lost)


@pytest.mark.parametrize(
    "error",
    [
        lambda: CommitFailedError("Transaction failed: a version with this number exists"),
        lambda: OSError("Kernel error -> Generic S3 error: error reading a body from connection"),
    ],
)
def test_an_entry_is_written_once(tmp_lake: str, monkeypatch: pytest.MonkeyPatch, error: Callable[[], Exception]):
    lease = acquire(Lake(tmp_lake), "shop", "run", ttl_seconds=60)

    loses_answers(monkeypatch, error)
    lease.record("swept", Outputs(outputs=()))

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
