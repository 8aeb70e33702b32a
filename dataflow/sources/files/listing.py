"""Which files a path means, and whether they are still what they were when they were listed."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import xxhash

from dataflow.errors import SourceUnavailable
from dataflow.lake.filesystem import FileSystem, open_filesystem
from dataflow.sources.source import Item

_CHUNK = 1 << 20
_HALF_WRITTEN = (".part", ".partial", ".tmp", ".temp", ".filepart", ".crdownload", ".swp", "~")
"""How the names of files end that somebody is still writing."""


class Listing:
    """The files of one source."""

    def __init__(self, source: str, storage_options: Mapping[str, str]) -> None:
        self.source = source
        self.storage_options = storage_options

    def expand(self, path: str) -> list[Item]:
        """The files that a path, folder or pattern means; hidden and half-written ones are passed over.

        Errors: SourceUnavailable where it is missing, matches nothing, or cannot be looked at (a loop of links).
        """
        fs, root = self._filesystem(path)
        try:
            items = [_item(fs, info) for info in _listed(fs, root)]
        except FileNotFoundError as error:
            # A link that leads nowhere is not the folder that it lies in.
            raise self._none(f"no file {error.filename or path}", path) from error
        except OSError as error:
            raise SourceUnavailable(
                f"source {self.source!r}: {path} cannot be read: {error}; check the file, or run again",
                source=self.source,
                path=path,
            ) from error
        if not items:
            bracket = ", where [[] would stand for a bracket" if "[" in path else ""
            raise self._none(f"no file in {path}" if fs.isdir(root) else f"nothing matches {path}{bracket}", path)
        return items

    def content_hash(self, item: Item) -> str:
        """xxh3-128 of the file's bytes.

        Errors: SourceUnavailable where the file is gone since it was listed, or may not be read.
        """
        state = xxhash.xxh3_128()
        try:
            with self.open(item) as file:
                while chunk := file.read(_CHUNK):
                    state.update(chunk)
        except OSError as error:
            raise SourceUnavailable(
                f"source {self.source!r}: {item.name} cannot be read: {error}; check the file, or run again",
                source=self.source,
                file=item.name,
            ) from error
        return state.hexdigest()

    @contextmanager
    def open(self, item: Item) -> Generator[Any]:
        """The file's bytes.

        Errors: OSError.
        """
        fs, root = self._filesystem(item.name)
        with fs.open(root, "rb") as file:
            yield file

    def check_unchanged(self, item: Item) -> None:
        """Errors: SourceUnavailable where the file is gone, or its size or time is another than when it was listed."""
        fs, root = self._filesystem(item.name)
        try:
            now = _item(fs, fs.info(root))
        except OSError as error:
            raise self._changed(item, f"is gone: {error}") from error
        if now.size_bytes != item.size_bytes:
            word = "grew" if now.size_bytes > item.size_bytes else "shrank"
            raise self._changed(item, f"{word} from {item.size_bytes:,} to {now.size_bytes:,} bytes")
        if now.modified_at != item.modified_at or now.etag != item.etag:
            raise self._changed(item, "was written anew")

    def check_content(self, item: Item) -> None:
        """Errors: SourceUnavailable where the file's content is another than the one that was to be read."""
        if item.content_hash is not None and self.content_hash(item) != item.content_hash:
            raise self._changed(item, "has another content")

    def _changed(self, item: Item, how: str) -> SourceUnavailable:
        return SourceUnavailable(
            f"source {self.source!r}: {item.name} changed while it was read: it {how}; run again when it is complete",
            source=self.source,
            file=item.name,
        )

    def _none(self, what: str, path: str) -> SourceUnavailable:
        return SourceUnavailable(
            f"source {self.source!r}: {what}; check `path` or wait for the delivery", source=self.source, path=path
        )

    def _filesystem(self, path: str) -> tuple[FileSystem, str]:
        return open_filesystem(path, self.storage_options)


def _item(fs: FileSystem, info: Mapping[str, Any]) -> Item:
    name, etag = str(info["name"]), info.get("ETag") or info.get("etag")
    modified = info.get("mtime") or info.get("LastModified") or 0
    return Item(
        name=name if _is_local(fs) else fs.unstrip_protocol(name),
        size_bytes=int(info["size"] or 0),
        # Some object stores tell fractions of a second in a listing, and none when asked for one object.
        modified_at=float(int(modified.timestamp()) if isinstance(modified, datetime) else modified),
        etag=str(etag).strip('"') if etag else None,
    )


def _listed(fs: FileSystem, root: str) -> list[Mapping[str, Any]]:
    """What the file system tells of each file that ``root`` means."""
    if any(c in root for c in "*?[") and not fs.exists(root):
        ends = tuple(end for end in _HALF_WRITTEN if not root.lower().endswith(end))
        return _told(fs, dict(fs.glob(root, detail=True)), (".",), ends)
    if not fs.isdir(root):
        return [fs.info(root)]
    return _told(fs, {info["name"]: info for info in fs.ls(root, detail=True)}, (".", "_"), _HALF_WRITTEN)


def _told(
    fs: FileSystem, found: Mapping[str, Mapping[str, Any]], beginnings: tuple[str, ...], ends: tuple[str, ...]
) -> list[Mapping[str, Any]]:
    named = {name: info for name, info in found.items() if not _is_passed_over(name, beginnings, ends)}
    if _is_local(fs):
        # A link is what it leads to; of all else the listing has told it.
        told = ((name, info) for name, info in named.items() if not (info["islink"] and fs.isdir(name)))
        return [fs.info(name) if info["islink"] else info for name, info in told if info["type"] != "directory"]
    # Asking an object store for each file takes a request or two for each.
    return [info for info in named.values() if info["type"] != "directory"]


def _is_local(fs: FileSystem) -> bool:
    return fs.protocol[0] == "file"


def _is_passed_over(name: str, beginnings: tuple[str, ...], ends: tuple[str, ...]) -> bool:
    last = _last(name)
    return last.startswith(beginnings) or last.lower().endswith(ends)


def _last(name: str) -> str:
    return name.rsplit("/", 1)[-1]
