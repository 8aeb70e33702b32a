"""Manifests of staged units: what an interrupted run is resumed from."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from dataflow.errors import LakeError
from dataflow.lake import manifests
from dataflow.lake.lake import Lake
from dataflow.lake.staging import Target
from dataflow.model import Manifest, RowCounts, Unit
from tests.dataflow.lake.tables import staged


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def manifest(lake: Lake, key: str = "k1", batch_id: str = "t.0.1", age: timedelta = timedelta(0)) -> Manifest:
    unit = Unit(stage="t", partition=(("_source_file", key),))
    files, _ = staged(lake, pl.DataFrame({"v": [1]}), Target("t", unit, "r1"))
    return Manifest(
        unit=unit, key=key, batch_id=batch_id, staged_at=datetime.now(UTC) - age, files=files, counts=RowCounts(read=1)
    )


def test_a_manifest_comes_back_as_it_was(lake: Lake) -> None:
    saved = manifest(lake)
    manifests.save(lake, saved)
    manifests.save(lake, saved)

    assert saved == manifests.load(lake, "t", "k1")
    assert saved == manifests.load(lake, "t", "k1", batch_id="t.0.1", expires_after=timedelta(hours=1))


def test_what_was_never_saved_is_none(lake: Lake) -> None:
    assert None is manifests.load(lake, "t", "k1")
    assert [] == manifests.kept(lake, ["t"])
    manifests.clear(lake, "t")


@pytest.mark.parametrize("harm", ["gone", "cut"])
def test_a_manifest_whose_file_is_not_whole_is_of_no_use(lake: Lake, harm: str) -> None:
    saved = manifest(lake)
    manifests.save(lake, saved)
    place = Path(lake.path("t", saved.files[0].path))
    if harm == "gone":
        place.unlink()
    else:
        place.write_bytes(place.read_bytes()[:-1])

    assert None is manifests.load(lake, "t", "k1")
    assert [] == manifests.kept(lake, ["t"])


def test_a_manifest_of_another_batch_or_too_old_is_of_no_use(lake: Lake) -> None:
    manifests.save(lake, manifest(lake, age=timedelta(hours=2)))

    assert None is manifests.load(lake, "t", "k1", batch_id="t.0.2")
    assert None is manifests.load(lake, "t", "k1", expires_after=timedelta(hours=1))
    assert None is not manifests.load(lake, "t", "k1", expires_after=timedelta(hours=3))


@pytest.mark.parametrize("text", ["", '{"unit": ', '{"another": "release"}'])
def test_a_torn_or_foreign_manifest_is_staged_anew(lake: Lake, text: str) -> None:
    manifests.save(lake, manifest(lake))
    Path(lake.path("_staged", "t", "k1.json")).write_text(text)

    assert None is manifests.load(lake, "t", "k1")


def test_a_draft_that_a_crash_left_is_no_manifest(lake: Lake) -> None:
    manifests.save(lake, manifest(lake))
    place = Path(lake.path("_staged", "t", "k1.json"))
    place.rename(place.with_name("k1.json.t.0.1.tmp"))

    assert [] == manifests.kept(lake, ["t"])


def test_kept_removed_cleared(lake: Lake) -> None:
    first, second = manifest(lake, "k1"), manifest(lake, "k2")
    manifests.save(lake, first)
    manifests.save(lake, second)
    assert [first, second] == sorted(manifests.kept(lake, ["t", "u"]), key=lambda m: m.key)

    manifests.remove(lake, first)
    assert [second] == manifests.kept(lake, ["t"])
    assert lake.fs.exists(lake.path("t", first.files[0].path)), "the files stay"

    manifests.clear(lake, "t")
    assert [] == manifests.kept(lake, ["t"])


def test_a_file_in_place_of_the_folder_is_named(lake: Lake) -> None:
    saved = manifest(lake)
    Path(lake.path("_staged")).write_text("")

    with pytest.raises(LakeError, match="a file stands where a folder is needed"):
        manifests.save(lake, saved)
