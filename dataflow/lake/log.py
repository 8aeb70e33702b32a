"""A table's log as files: what its commits say beyond what delta-rs tells, and commits that it cannot write."""

from __future__ import annotations

import json
import os
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

import polars as pl

from dataflow.errors import CommitConflict, LakeCorrupt
from dataflow.lake.deletion_vectors import from_log, vector_path
from dataflow.lake.errors import WAY_OUT, storage_errors
from dataflow.lake.filesystem import FileSystem, names_in, read_all
from dataflow.model import DeletionVector

Action = dict[str, Any]
_COMMIT = re.compile(r"(\d{20})\.json")
_CHECKPOINT = re.compile(r"(\d{20})\.checkpoint(?:\.\d+\.\d+)?\.parquet")
_AS_THEY_ARE = "/=!$&'()+,-.:;@_~"


@dataclass(frozen=True)
class Log:
    """The log of one table: ``folder`` is its place on ``fs``, ``uri`` that of the table."""

    fs: FileSystem
    folder: str
    uri: str
    table: str

    def place(self, version: int) -> str:
        """Where the commit ``version`` is, if there is one."""
        return f"{self.folder}/{version:020d}.json"

    def commits(self, since: int, until: int) -> Iterable[list[Action] | None]:
        """The actions of each commit after version ``since``, up to ``until``; None, and no more, where one is gone."""
        for version in range(since + 1, until + 1):
            yield (actions := self.commit(version))
            if actions is None:
                return

    def commit(self, version: int) -> list[Action] | None:
        """The actions of the commit ``version``; None where there is none. Errors: LakeCorrupt."""
        place = self.place(version)
        with storage_errors(self.uri):
            try:
                text = self.fs.cat_file(place).decode()
            except FileNotFoundError:
                return None
        # Not splitlines: values may hold characters that it takes for the end of a line.
        return [self._action(line, place) for line in text.split("\n") if line]

    def _action(self, line: str, place: str) -> Action:
        try:
            return json.loads(line)
        except ValueError as error:
            raise LakeCorrupt(
                f"{place}: the table's log cannot be read: {error}; {WAY_OUT}",
                table=self.table,
            ) from error

    def vectors(self, version: int) -> dict[str, DeletionVector]:
        """The deletion vectors of the files of ``version``, by path.

        delta-rs knows them, but does not tell. Read are the last checkpoint and the commits after it.
        Errors: LakeCorrupt.
        """
        with storage_errors(self.uri):
            start, parts = self.checkpoint(version)
            found = {path: vector for part in parts for path, vector in self._checkpointed(part)}
            places = [self.place(following) for following in range(start + 1, version + 1)]
            texts = read_all(self.fs, places)
        for place, text in zip(places, texts, strict=True):
            lines = text.decode().split("\n") if b'"deletionVector"' in text else []
            actions = [self._action(line, place) for line in lines if '"deletionVector"' in line]
            for remove in (action["remove"] for action in actions if "remove" in action):
                if from_log(remove.get("deletionVector")) == found.get(path := unquote(remove["path"])):
                    found.pop(path, None)
            for add in (action["add"] for action in actions if "add" in action):
                if vector := from_log(add.get("deletionVector")):
                    found[unquote(add["path"])] = vector
        return found

    def checkpoint(self, version: int | None = None) -> tuple[int, list[str]]:
        """The newest checkpoint, up to ``version``, and its files; -1 where there is none."""
        parts: dict[int, list[str]] = {}
        for name in self._names():
            if (match := _CHECKPOINT.fullmatch(name)) and (version is None or int(match[1]) <= version):
                parts.setdefault(int(match[1]), []).append(f"{self.folder}/{name}")
        newest = max(parts, default=-1)
        return newest, parts.get(newest, [])

    def _names(self) -> list[str]:
        return names_in(self.fs, self.folder)

    def _checkpointed(self, place: str) -> Iterable[tuple[str, DeletionVector]]:
        with self.fs.open(place, "rb") as file:
            adds = pl.read_parquet(file, columns=["add"])["add"].struct.unnest()
        if "deletionVector" in adds.columns:
            for path, said in adds.select("path", "deletionVector").iter_rows():
                if vector := from_log(said):
                    yield unquote(path), vector

    def kept(self, until: int) -> Iterable[tuple[int, list[Action]]]:
        """Number and actions of the commits up to version ``until`` that were not cleaned out of the log, newest first.

        delta-rs' history gives wrong numbers where another writer has committed since the handle was opened.
        """
        with storage_errors(self.uri):
            # By one listing: to ask for each version in turn, gone ones too, takes a long log on an object store minutes.
            found = sorted(
                (int(match[1]) for name in self._names() if (match := _COMMIT.fullmatch(name))), reverse=True
            )
        for version in found:
            if version <= until and (actions := self.commit(version)) is not None:
                yield version, actions

    def batches(self, until: int) -> Iterable[tuple[int, str]]:
        """Numbers and ids of our batches among those commits, newest first."""
        for version, actions in self.kept(until):
            for info in (action["commitInfo"] for action in actions if "commitInfo" in action):
                if "dataflow_batch" in info:
                    yield version, info["dataflow_batch"]

    def named(self, until: int) -> set[str]:
        """Paths of the data files and files of vectors that a commit up to ``until`` names.

        Versions that were cleaned out of the log can be read no more, whatever becomes of their files.
        """
        paths: set[str] = set()
        for _, actions in self.kept(until):
            for change in (a.get("add") or a.get("remove") for a in actions):
                if change:
                    vector = from_log(change.get("deletionVector"))
                    paths |= {unquote(change["path"]), *((vector_path(vector) or "",) if vector else ())}
        return paths - {""}

    def put(self, version: int, actions: Sequence[Action]) -> None:
        """Write the commit ``version``, unless there is one.

        Errors: CommitConflict where another writer was first.
        """
        place, text = self.place(version), "\n".join(json.dumps(action, separators=(",", ":")) for action in actions)
        with storage_errors(self.uri):
            try:
                self._create(place, text.encode())
            except OSError as error:
                # Object stores have many words for it, and one whose answer was lost may have taken this very commit.
                if not (isinstance(error, FileExistsError) or _met_another(error) or self.fs.exists(place)):
                    raise
                raise CommitConflict(
                    f"{self.uri}: another writer committed version {version}; run again", table=self.table
                ) from error

    def _create(self, place: str, content: bytes) -> None:
        if "file" not in self.fs.protocol:
            self.fs.pipe_file(place, content, mode="create")
            return
        # Whole or not at all: whoever is killed while writing leaves a draft that nobody reads.
        draft = f"{self.folder}/_commit_{uuid.uuid4()}.json.tmp"
        self.fs.pipe_file(draft, content)
        try:
            os.link(draft, place)
        finally:
            os.unlink(draft)


def _met_another(error: OSError) -> bool:
    """Whether S3 refused a write because another one to the same place was under way, of which nothing is to be seen yet."""
    answer: Action = getattr(error.__cause__, "response", {})
    return answer.get("Error", {}).get("Code") == "ConditionalRequestConflict"


def added(path: str, partition: Mapping[str, str | None], size_bytes: int, stats: str, at: int) -> dict[str, Any]:
    """What a commit says of a file that comes at ``at``, in milliseconds since 1970."""
    return {
        "path": log_path(path),
        "partitionValues": dict(partition),
        "size": size_bytes,
        "modificationTime": at,
        "dataChange": True,
        "stats": stats,
    }


def log_path(path: str) -> str:
    """A path as delta-rs writes it into the log: by that text a file is found again when it goes."""
    return quote(path, safe=_AS_THEY_ARE)
