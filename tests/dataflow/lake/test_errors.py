"""Whatever delta-rs, the file system and Polars raise about storage comes out in our words."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from deltalake import exceptions as delta_exceptions
from deltalake.exceptions import CommitFailedError, DeltaError, DeltaProtocolError, TableNotFoundError

from dataflow.errors import (
    CommitConflict,
    ConfigError,
    DataFlowError,
    LakeCorrupt,
    LakeError,
    LakeUnavailable,
    TableMissing,
)
from dataflow.lake import manifests
from dataflow.lake.errors import lake_error, storage_errors
from dataflow.lake.journal import Entry, Journal
from dataflow.lake.lake import Lake
from dataflow.lake.staging import Target
from dataflow.model import Unit
from tests.dataflow.lake.tables import LOCK, put, staged

FRAME = pl.DataFrame({"v": range(10)})


def _mount(folder: Path, options: str) -> Iterator[Path]:
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"this machine does not let us mount: {done.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    yield from _mount(tmp_path / "small", "size=256k")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    yield from _mount(tmp_path / "disk", "size=4m")


# ---------------------------------------------------------------- real ones


def test_a_full_disk_while_staging(small_disk: Path) -> None:
    lake = Lake(small_disk / "lake")
    big = pl.DataFrame({"v": [os.urandom(1000).hex() for _ in range(1000)]})

    with pytest.raises(LakeError, match=r"no space left.*Make room and run again"), storage_errors(lake.table_uri("t")):
        staged(lake, big, Target("t", Unit(stage="t"), "r1", compression="uncompressed"))


def test_a_full_disk_while_committing_publishes_nothing(small_disk: Path) -> None:
    lake = Lake(small_disk / "lake")
    put(lake, FRAME, seq=1)
    files, _ = staged(lake, FRAME, Target("t", Unit(stage="t"), "r2"))
    with pytest.raises(OSError, match="No space left"):
        (small_disk / "ballast").write_bytes(b"x" * (1 << 20))

    for attempt in (
        lambda: put(lake, FRAME, seq=2, run_id="r3"),
        lambda: Journal(lake).append(Entry(kind="beat", pipeline="p", run_id="r"), LOCK),
    ):
        with pytest.raises(LakeError, match="no space left"), storage_errors("t"):
            attempt()
    assert FRAME.height == lake.read("t").collect().height
    assert files


@pytest.mark.parametrize("what", ["stage", "publish", "journal", "manifest"])
def test_a_disk_that_is_read_only(disk: Path, what: str) -> None:
    lake = Lake(disk / "lake")
    put(lake, FRAME, seq=1)
    files, schema = staged(lake, FRAME, Target("t", Unit(stage="t"), "r2"))
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    from datetime import UTC, datetime

    from dataflow.lake.commit import TableChange, publish_change
    from dataflow.model import Manifest, RowCounts

    change = TableChange(table="t", app="t@0", seq=2, batch_id="b", pipeline="p", table_schema=schema, adds=files)
    manifest = Manifest(
        unit=Unit(stage="t"), key="k", batch_id="b", staged_at=datetime.now(UTC), files=files, counts=RowCounts()
    )
    attempts = {
        "stage": lambda: staged(lake, FRAME, Target("t", Unit(stage="t"), "r3")),
        "publish": lambda: publish_change(lake, change, LOCK),
        "journal": lambda: Journal(lake).append(Entry(kind="beat", pipeline="p", run_id="r"), LOCK),
        "manifest": lambda: manifests.save(lake, manifest),
    }

    with (
        pytest.raises(LakeError, match=r"not writable.*permissions.*--lake") as caught,
        storage_errors(lake.table_uri("t")),
    ):
        attempts[what]()
    assert LakeError is type(caught.value)
    assert FRAME.height == lake.read("t").collect().height


@pytest.mark.parametrize("where", ["lake", "table"])
def test_a_file_in_place_of_a_folder(tmp_path: Path, where: str) -> None:
    lake = Lake(tmp_path / "lake")
    if where == "table":
        (tmp_path / "lake").mkdir()
    (tmp_path / "lake" / "t" if where == "table" else tmp_path / "lake").write_text("")

    with (
        pytest.raises(LakeError, match="a file stands where a folder is needed") as caught,
        storage_errors(lake.table_uri("t")),
    ):
        put(lake, FRAME)
    assert 1 == len(str(caught.value).splitlines())
    if where == "lake":
        with pytest.raises(LakeError, match="a file stands where a folder is needed"):
            Journal(lake).append(Entry(kind="beat", pipeline="p", run_id="r"), LOCK)


@pytest.mark.parametrize("harm", ["gone", "cut", "empty", "scrambled"])
def test_a_data_file_that_is_gone_or_broken(tmp_path: Path, harm: str) -> None:
    lake = Lake(tmp_path / "lake")
    put(lake, FRAME)
    place = next(Path(lake.path("t")).glob("*.parquet"))
    data = place.read_bytes()
    harms = {
        "cut": data[: len(data) // 2],
        "empty": b"",
        "scrambled": data[:8] + b"\xff" * (len(data) - 20) + data[-12:],
    }
    place.unlink() if harm == "gone" else place.write_bytes(harms[harm])

    with (
        pytest.raises(LakeCorrupt, match=r"gone or broken.*table.py rebuild"),
        storage_errors(lake.table_uri("t")),
    ):
        lake.read("t").collect()


@pytest.mark.parametrize("harm", ["garbage", "torn", "gap"])
def test_a_broken_log(tmp_path: Path, harm: str) -> None:
    lake = Lake(tmp_path / "lake")
    put(lake, FRAME, seq=1)
    put(lake, FRAME, seq=2, run_id="r2")
    log = Path(lake.path("t", "_delta_log"))
    place = log / f"{1:020}.json"
    if harm == "gap":
        (log / f"{0:020}.json").unlink()
    else:
        place.write_bytes(b"garbage{" if harm == "garbage" else place.read_bytes()[:-40])

    for attempt in (lambda: lake.head("t"), lambda: lake.read("t"), lambda: put(lake, FRAME, seq=3, run_id="r3")):
        with pytest.raises(
            LakeCorrupt,
            match=r"the table's log cannot be read.*table.py restore",
        ) as caught:
            attempt()
        assert "<unknown>" not in str(caught.value), "no stack trace of delta-rs"
        assert 1 == len(str(caught.value).splitlines())


# ---------------------------------------------------------------- the whole table


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (TableNotFoundError("x"), TableMissing),
        (CommitFailedError("Failed to commit transaction: 0"), CommitConflict),
        (DeltaProtocolError("x"), LakeCorrupt),
        (DeltaError("Kernel error: Json error: unexpected"), LakeCorrupt),
        (DeltaError("Object at location x not found"), LakeCorrupt),
        (DeltaError("Generic S3 error: error sending request for url"), LakeUnavailable),
        (DeltaError("Generic S3 error: Server returned error status code: 503"), LakeUnavailable),
        (DeltaError("AccessDenied: 403 Forbidden"), LakeError),
        (DeltaError("something new"), LakeError),
        (FileNotFoundError(errno.ENOENT, "No such file or directory"), LakeCorrupt),
        (TimeoutError("timed out"), LakeUnavailable),
        (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), LakeUnavailable),
        (OSError(errno.ENOSPC, "No space left on device"), LakeError),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), LakeError),
        (OSError(errno.EROFS, "Read-only file system"), LakeError),
        (PermissionError(errno.EACCES, "Permission denied"), LakeError),
        (pl.exceptions.ComputeError("parquet: File out of specification: x"), LakeCorrupt),
        (pl.exceptions.ComputeError("something else"), LakeError),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else f"{type(value).__name__}: {value}"[:50],
)
def test_each_error_has_its_word(error: Exception, kind: type[LakeError]) -> None:
    with pytest.raises(LakeError) as caught, storage_errors("s3://bucket/lake500/t"):
        raise error
    assert kind is type(caught.value)
    assert str(caught.value).startswith("s3://bucket/lake500/t: ")
    assert error is caught.value.__cause__


def test_every_exception_of_deltalake_is_caught() -> None:
    kinds = [k for k in vars(delta_exceptions).values() if isinstance(k, type) and issubclass(k, Exception)]
    assert {"DeltaError", "TableNotFoundError", "CommitFailedError"} <= {k.__name__ for k in kinds}
    for kind in kinds:
        with pytest.raises(LakeError), storage_errors("t"):
            raise kind("x")


def test_every_exception_of_polars_is_caught() -> None:
    kinds = [
        k for k in vars(pl.exceptions).values() if isinstance(k, type) and issubclass(k, pl.exceptions.PolarsError)
    ]
    assert len(kinds) > 10
    for kind in kinds:
        with pytest.raises(LakeError), storage_errors("t"):
            raise kind("x")


def test_a_users_own_mistake_is_not_taken_for_a_broken_lake() -> None:
    for error in (
        pl.exceptions.ColumnNotFoundError('"notfound" not found'),
        pl.exceptions.InvalidOperationError('conversion from `str` to `i64` failed for value "timed out"'),
        pl.exceptions.StructFieldNotFoundError("corrupt"),
    ):
        assert LakeError is type(lake_error("t", error))


def test_our_own_errors_pass_as_they_are() -> None:
    ours = ConfigError("x")
    with pytest.raises(DataFlowError) as caught, storage_errors("t"):
        raise ours
    assert ours is caught.value


def test_only_passing_trouble_and_conflicts_are_tried_again() -> None:
    assert lake_error("t", TimeoutError("timed out")).retryable
    assert not lake_error("t", OSError(errno.ENOSPC, "x")).retryable
    assert not lake_error("t", DeltaError("lake-503-t: something of 500 rows")).retryable


def test_what_an_object_stores_client_raises_is_of_the_storage() -> None:
    aiohttp = pytest.importorskip("aiohttp")
    with pytest.raises(LakeUnavailable, match="the storage did not answer"), storage_errors("s3://bucket/lake/t"):
        raise aiohttp.ClientPayloadError("Response payload is not completed")
    with pytest.raises(KeyError), storage_errors("s3://bucket/lake/t"):
        raise KeyError("ours")
