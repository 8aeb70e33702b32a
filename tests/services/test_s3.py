"""A lake in a bucket: the same pipeline and the same guarantees as in a folder, against a real S3 server on loopback."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from dataflow import Engine, LakeError, Workflow
from dataflow.lake.lake import Lake
from dataflow.lake.seams import Seam, watch

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    start = "from moto.server import main; main()"
    server = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", start, "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(120):
            try:
                create = urllib.request.Request(
                    f"{url}/bucket",
                    method="PUT",
                    headers={"Authorization": "AWS4-HMAC-SHA256 Credential=k/20260101/us-east-1/s3/aws4_request"},
                )
                urllib.request.urlopen(create, timeout=2).close()
                break
            except (OSError, urllib.error.URLError):
                time.sleep(0.25)
        else:
            pytest.fail("the S3 server did not start within 30 s")
        yield url
    finally:
        server.terminate()
        server.wait(20)


@pytest.fixture
def options(endpoint: str) -> dict[str, str]:
    return {
        "aws_access_key_id": "k",
        "aws_secret_access_key": "s",
        "aws_endpoint_url": endpoint,
        "aws_allow_http": "true",
        "aws_region": "us-east-1",
    }


def typed(raw: pl.LazyFrame) -> pl.LazyFrame:
    return raw.with_columns(pl.col("amount").cast(pl.Int64, strict=False))


def workflow(folder: Path) -> Workflow:
    made = Workflow("orders")
    made.add_source("raw", {"path": str(folder / "*.csv"), "storage": {"partition_by": ["day"]}})
    made.add_task("typed", typed, partition_by=["day"], gate=[{"name": "amount", "predicate": "amount IS NOT NULL"}])
    return made


def test_a_pipeline_runs_on_s3_is_skipped_and_goes_on(tmp_path: Path, options: dict[str, str]):
    (tmp_path / "1.csv").write_text("day,amount\nmon,1\nmon,x\ntue,3\n")
    engine = Engine("s3://bucket/first", runner="inline", storage_options=options)
    assert "completed" == engine.execute(workflow(tmp_path)).state
    assert "skipped" == engine.execute(workflow(tmp_path)).state
    (tmp_path / "2.csv").write_text("day,amount\ntue,5\n")
    report = engine.execute(workflow(tmp_path))
    assert (1, 1) == (report.stage("typed").units, report.stage("typed").units_fresh)
    lake = Lake("s3://bucket/first", options)
    rows = lake.read("typed").select("day", "amount").collect().sort("day", "amount").rows()
    assert [("mon", 1), ("tue", 3), ("tue", 5)] == rows
    assert ["amount"] == lake.read("typed__quarantine").collect()["_rules"].explode().to_list()


@pytest.mark.parametrize("seam", [Seam.UNIT_STAGED, Seam.INTENT_RECORDED, Seam.TABLE_PUBLISHED])
def test_an_interrupted_run_on_s3_is_finished_by_the_next(tmp_path: Path, options: dict[str, str], seam: Seam):
    (tmp_path / "1.csv").write_text("day,amount\nmon,1\ntue,3\n")
    engine = Engine(f"s3://bucket/{seam.name.lower()}", runner="inline", storage_options=options)

    def end(reached: Seam, what: str) -> None:
        if reached is seam and what.startswith("typed"):
            raise KeyboardInterrupt

    unwatch = watch(end)
    try:
        with pytest.raises(KeyboardInterrupt):
            engine.execute(workflow(tmp_path))
    finally:
        unwatch()
    assert "completed" == engine.execute(workflow(tmp_path)).state
    rows = engine.lake(workflow(tmp_path)).read("typed").select("day", "amount").collect().sort("day").rows()
    assert [("mon", 1), ("tue", 3)] == rows


def test_a_bucket_that_is_not_there_is_named(tmp_path: Path, options: dict[str, str]):
    (tmp_path / "1.csv").write_text("day,amount\nmon,1\n")
    with pytest.raises(LakeError, match=r"s3://nowhere.*there is no such bucket"):
        Engine("s3://nowhere/lake", runner="inline", storage_options=options).execute(workflow(tmp_path))
