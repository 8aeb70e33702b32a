"""The spool in a bucket: as in a folder, against a real S3 server on loopback."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from dataflow.errors import CommitConflict, LakeCorrupt
from dataflow.lake.lake import Lake
from dataflow.lake.spool import Spool
from tests.dataflow.sources.asked import asked, values
from tests.services.test_s3 import endpoint, options

pytestmark = pytest.mark.services
fixtures = (endpoint, options)


def test_what_is_pulled_into_a_bucket_is_there_once(options: dict[str, str]) -> None:
    lake = Lake("s3://bucket/pulled", options)
    pages: list[Any] = [[{"n": 1}], pl.DataFrame({"n": [1.5]})]
    assert 2 == len(asked(lake, pages).fetch())
    pages += [ConnectionResetError("away")]
    with pytest.raises(Exception, match="away"):
        asked(lake, [*pages[:2], [{"n": 9}], pages[2]]).fetch()
    pages[2] = [{"n": 2}]
    assert 1 == len(asked(lake, pages).fetch())

    source = asked(Lake("s3://bucket/pulled", options), pages)
    assert () == source.fetch()
    assert [1.0, 1.5, 2.0] == values(source)
    assert {"given": 3} == source.spool.state()
    assert 5 == len(lake.fs.ls("bucket/pulled/_spool/made/numbers"))


def test_of_two_that_pull_at_once_one_counts(options: dict[str, str]) -> None:
    def spool() -> Spool:
        return Spool(Lake("s3://bucket/twice", options), "made", "numbers")

    def meanwhile() -> dict[str, int]:
        spool().write([pl.DataFrame({"n": [1]})], lambda: {"at": 1})
        return {"at": 2}

    with pytest.raises(CommitConflict, match=r"000001\.json: another run pulled this source at the same time"):
        spool().write([pl.DataFrame({"n": [1, 2]})], meanwhile)
    assert {"at": 1} == spool().state()
    assert 1 == spool().sweep()
    assert [1] == [file.rows for file in spool().files()]


def test_a_damaged_record_is_named(options: dict[str, str]) -> None:
    lake = Lake("s3://bucket/damaged", options)
    source = asked(lake, [[{"n": 1}]])
    source.fetch()
    lake.fs.pipe_file("bucket/damaged/_spool/made/numbers/000001.json", b"{")

    with pytest.raises(LakeCorrupt, match=r"s3://bucket/damaged/_spool/made/numbers/000001\.json: it cannot be read"):
        asked(lake, []).items()
