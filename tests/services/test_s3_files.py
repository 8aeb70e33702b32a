"""Files in a bucket: listed at once, told apart by their ETags."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from moto.server import ThreadedMotoServer

from dataflow.errors import SourceUnavailable
from dataflow.lake.filesystem import open_filesystem
from dataflow.sources.file import FileConfig, FileSource

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def options() -> Iterator[dict[str, str]]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    signed = {"Authorization": "AWS4-HMAC-SHA256 Credential=k/20260101/us-east-1/s3/aws4_request"}
    urllib.request.urlopen(urllib.request.Request(f"{url}/bucket", method="PUT", headers=signed)).close()
    try:
        yield {
            "aws_access_key_id": "k",
            "aws_secret_access_key": "s",
            "aws_endpoint_url": url,
            "aws_allow_http": "true",
            "aws_region": "us-east-1",
        }
    finally:
        server.stop()


@pytest.fixture
def fs(options: dict[str, str]) -> Any:
    found, _ = open_filesystem("s3://bucket", options)
    return found


def source(path: str, options: dict[str, str], **more: Any) -> FileSource:
    return FileSource("s", FileConfig(path=path, storage_options=options, **more))


def test_a_folder_and_a_pattern_mean_the_same_files(fs: Any, options: dict[str, str]) -> None:
    for name in ("a.csv", "b.csv", "b.csv.part", "_SUCCESS", ".hidden", "deeper/c.csv"):
        fs.pipe(f"bucket/one/{name}", b"v\n1\n")
    fs.pipe("bucket/one/deeper/", b"")
    items = source("s3://bucket/one", options, detect="etag").items()

    assert ["s3://bucket/one/a.csv", "s3://bucket/one/b.csv"] == [item.name for item in items]
    assert items == source("s3://bucket/one/*.csv", options).items()
    assert items[:1] == source("s3://bucket/one/a.csv", options).items()
    assert fs.info("bucket/one/a.csv")["ETag"].strip('"') == items[0].etag
    assert 4 == items[0].size_bytes


def test_a_file_that_is_replaced_within_a_second_is_not_taken_for_the_one_that_was_listed(
    fs: Any, options: dict[str, str]
) -> None:
    fs.pipe("bucket/two/a.csv", b"v\n1\n")
    src = source("s3://bucket/two", options)
    (item,) = src.items()
    src.verify(item, ())
    fs.pipe("bucket/two/a.csv", b"v\n2\n")
    unluckily = item.model_copy(update={"modified_at": src.items()[0].modified_at})

    assert item.etag != src.items()[0].etag
    with pytest.raises(SourceUnavailable, match="it was written anew"):
        src.verify(unluckily, ())
