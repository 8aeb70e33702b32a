"""Files by URI: a folder and an object store look the same from here on."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import fsspec  # pyright: ignore[reportMissingTypeStubs]

FileSystem = Any
"""A file system of fsspec, which has no types."""
_S3_KEYS = {
    "aws_access_key_id": "key",
    "aws_secret_access_key": "secret",
    "aws_session_token": "token",
}


def open_filesystem(uri: str, storage_options: Mapping[str, str]) -> tuple[FileSystem, str]:
    """The file system that ``uri`` lies on and the path in it.

    ``storage_options`` are those of Polars and delta-rs (``aws_access_key_id``, ...).
    """
    if "://" not in uri:
        return _opened("file", auto_mkdir=True), str(Path(uri).expanduser().absolute())
    options = _s3fs_options(storage_options) if uri.startswith("s3") else {}
    found: Any = fsspec.url_to_fs(uri, **options)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return found


def read_all(files: FileSystem, places: Sequence[str]) -> list[bytes]:
    """The content of files, all at once: an object store takes as long for one."""
    # Not ``cat``, which takes brackets in a folder's name for a pattern.
    found: list[bytes] = files.cat_ranges([*places], None, None, on_error="raise") if places else []
    return found


def sizes_of(files: FileSystem, places: Sequence[str]) -> list[int | None]:
    """How large files are, asked all at once; None for one that is not there."""
    try:
        sizes: list[int | None] = files.sizes([*places])
    except FileNotFoundError:
        return [files.size(place) if files.exists(place) else None for place in places]
    return sizes


def names_in(files: FileSystem, folder: str) -> list[str]:
    """Names of what lies in ``folder``. Errors: FileNotFoundError where there is no such folder."""
    if "file" not in files.protocol:
        return [place.rstrip("/").rsplit("/", 1)[-1] for place in files.ls(folder, detail=False)]
    return os.listdir(folder)


def paths_under(files: FileSystem, root: str) -> set[str]:
    """Paths of all files below the folder ``root``, as seen from there."""
    if "file" not in files.protocol:
        return {place[len(root) + 1 :] for place in files.find(root)}
    # fsspec asks for the size and times of each file, which takes ten times as long.
    return {f"{folder}/{name}"[len(root) + 1 :] for folder, _, names in os.walk(root) for name in names}


def _opened(protocol: str, **options: bool) -> FileSystem:
    return fsspec.filesystem(protocol, **options)  # pyright: ignore[reportUnknownMemberType]


def _s3fs_options(storage_options: Mapping[str, str]) -> dict[str, Any]:
    lowered = {key.lower(): value for key, value in storage_options.items()}
    options: dict[str, Any] = {name: lowered[key] for key, name in _S3_KEYS.items() if key in lowered}
    client: dict[str, str] = {}
    if endpoint := lowered.get("aws_endpoint_url"):
        client["endpoint_url"] = endpoint
    if region := lowered.get("aws_region"):
        client["region_name"] = region
    # A listing that s3fs remembers would hide what this very run has written.
    return options | {"client_kwargs": client, "use_listings_cache": False}
