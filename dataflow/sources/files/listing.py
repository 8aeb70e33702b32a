"""Which files a path means, and whether they are still what they were when they were listed."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import xxhash

from dataflow.errors import SourceUnavailable
from dataflow.lake.filesystem import FileSystem, open_filesystem
from dataflow.sources.source import Item

_CHUNK = 1 << 20


class Listing:
    """The files of one source."""

    def __init__(self, source: str, storage_options: Mapping[str, str]) -> None:
        self.source = source
        self.storage_options = storage_options

    def expand(self, path: str) -> list[Item]:
        """The files that a path, folder or pattern means; hidden ones are passed over.

        Errors: SourceUnavailable where it is missing, matches nothing, or cannot be looked at (a loop of links).
        """
        fs, root = self._filesystem(path)
        try:
            items = [self._item(fs, name) for name in _names(fs, root)]
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
            now = self._item(fs, root)
        except OSError as error:
            raise self._changed(item, f"is gone: {error}") from error
        if now.size_bytes != item.size_bytes:
            word = "grew" if now.size_bytes > item.size_bytes else "shrank"
            raise self._changed(item, f"{word} from {item.size_bytes:,} to {now.size_bytes:,} bytes")
        if now.modified_at != item.modified_at:
            raise self._changed(item, "was written anew")

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

    @staticmethod
    def _item(fs: FileSystem, name: str) -> Item:
        info = fs.info(name)
        modified = info.get("mtime") or info.get("LastModified")
        return Item(
            name=fs.unstrip_protocol(name) if fs.protocol[0] != "file" else name,
            size_bytes=int(info["size"] or 0),
            modified_at=modified.timestamp() if hasattr(modified, "timestamp") else float(modified or 0),
        )


def _names(fs: FileSystem, root: str) -> list[str]:
    if any(c in root for c in "*?[") and not fs.exists(root):
        return [n for n in fs.glob(root) if not fs.isdir(n) and not _last(n).startswith(".")]
    if not fs.isdir(root):
        return [root]
    return [n for n in fs.ls(root, detail=False) if not fs.isdir(n) and not _last(n).startswith((".", "_"))]


def _last(name: str) -> str:
    return name.rsplit("/", 1)[-1]
