"""What a source that has to be asked has answered: files in the lake, each answer in sight at once with the state after it.

``_spool/<pipeline>/<stage>/`` holds ``NNNNNN-<pull>-NNNN.parquet`` and, written last, ``NNNNNN.json``: the record that
names the files of one pull and the state to ask with next. A file that no record names was never pulled.
"""

from __future__ import annotations

import io
import os
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import polars as pl
import xxhash
from pydantic import ValidationError

from dataflow.errors import CommitConflict, LakeCorrupt
from dataflow.lake.errors import storage_errors
from dataflow.lake.filesystem import names_in, read_all
from dataflow.lake.lake import Lake
from dataflow.lake.pulls import Cut, Reach, Record, SpooledFile, as_json, as_schema, contents_of, files_of
from dataflow.lake.schema import storable
from dataflow.lake.sizing import sized

FOLDER = "_spool"
_WHOLE = 100
"""Every so many records one names all files so far, and those before it need not be read again."""

State = Mapping[str, Any]


class Spool:
    """The files and the state of one source stage. Cheap to make, safe to pickle.

    One process writes at a time (the pipeline's lease sees to that); of two that do so all the same, one counts.
    """

    def __init__(self, lake: Lake, pipeline: str, stage: str) -> None:
        self.lake = lake
        self.stage = stage
        self.folder = f"{FOLDER}/{pipeline}/{stage}"
        self._known: dict[str, SpooledFile] = {}
        self._told: dict[int, Record] = {}
        """Records that were read: what is written once stays as it is, and is asked for several times in a run."""

    @property
    def uri(self) -> str:
        return f"{self.lake.uri}/{self.folder}"

    def files(self) -> list[SpooledFile]:
        """All files that were pulled, in order.

        Errors: LakeCorrupt for a record that is missing or cannot be read.
        """
        found = files_of(self._records())
        self._known = {file.name: file for file in found}
        return found

    def standing(self) -> list[SpooledFile]:
        """All files as they will be after the next pull: without what it takes the place of."""
        records = self._records()
        pending = records[-1].wish if records else None
        return (
            files_of([*records, records[-1].model_copy(update={"files": (), "cut": pending})])
            if pending
            else files_of(records)
        )

    def number(self) -> int:
        """That of the last pull; 0 before the first."""
        return max(self._numbers(), default=0)

    def state(self) -> dict[str, Any] | None:
        """What to ask with next; None before the first pull."""
        last = self._last()
        return last.state if last else None

    def declared(self) -> pl.Schema:
        """The types that the source declared when it was pulled last."""
        last = self._last()
        return as_schema(last.declared) if last else pl.Schema()

    def sweep(self) -> int:
        """Delete what an interrupted pull has left; says how many files."""
        named = {file.name for file in self.files()}
        left = [n for n in self._listed() if n not in named and not _is_record(n)]
        self._remove(left)
        return len(left)

    def write(
        self,
        frames: Iterable[pl.DataFrame],
        state_after: Callable[[], State | None],
        declared: Callable[[], pl.Schema] = pl.Schema,
        *,
        after: int | None = None,
        reach: Callable[[pl.DataFrame], Reach | None] = lambda _: None,
    ) -> tuple[SpooledFile, ...]:
        """Keep ``frames``, and the state that is known when all of them were taken: both, or nothing.

        ``after`` is the number of the pull whose state was asked with, by default the last one. Where the answer is that
        of the pull before, and the state too, nothing is kept: there is nothing new. An answer to a wish is kept in any
        case, and takes the place of what was wished anew.
        Errors: CommitConflict where another process pulled meanwhile; LakeError.
        """
        before, following = self._last(), (self.number() if after is None else after) + 1
        pull = uuid.uuid4().hex[:8]
        written = [
            self._write_file(f"{following:06d}-{pull}-{index:04d}.parquet", frame, reach(frame))
            for index, frame in enumerate(sized(frames))
        ]
        found, types = state_after(), as_json(storable(declared(), self.stage))
        state = None if found is None else dict(found)
        known = (before.state, before.declared) if before else (None, as_json(pl.Schema()))
        wish = before.wish if before else None
        same = not written or (before is not None and contents_of(written) == before.contents)
        if wish is None and same and (state, types) == known:
            # The same answer to the same question, say a list that is given as a whole and did not change.
            self._remove([file.name for file in written])
            return ()
        self._commit(following, Record(pull=pull, files=tuple(written), state=state, declared=types, cut=wish))
        return tuple(written)

    def wish(self, state: State | None, cut: Cut) -> None:
        """Have the next pull ask with ``state``; its answer takes the place of the rows that ``cut`` says.

        Until then these rows count as before.
        Errors: CommitConflict where another process pulled meanwhile; LakeError.
        """
        before = self._last()
        assert before is not None, "nothing was pulled yet"
        asked = None if state is None else dict(state)
        record = Record(pull=uuid.uuid4().hex[:8], files=(), state=asked, declared=before.declared, wish=cut)
        self._commit(self.number() + 1, record)

    def file(self, name: str) -> SpooledFile:
        """The file of this name.

        Errors: LakeCorrupt where no record names it.
        """
        if name not in self._known:
            # It may have been pulled since; all records are read for that, so not for each file.
            self.files()
        if name not in self._known:
            raise self.corrupt(name, "no record names it")
        return self._known[name]

    def scan(self, name: str, row_index: str) -> pl.LazyFrame:
        """The rows of a file, numbered from 0.

        Errors: LakeCorrupt where it is not as it was written.
        """
        file = self.file(name)
        with storage_errors(self.uri):
            place = self._place(name)
            size = self.lake.fs.size(place) if self.lake.fs.exists(place) else None
        if size != file.size_bytes:
            raise self.corrupt(name, "it is gone" if size is None else f"it has {size} bytes, not those written")
        rows = pl.scan_parquet(
            f"{self.uri}/{name}",
            row_index_name=row_index,
            glob=False,
            hive_partitioning=False,
            storage_options=self.lake.storage_options or None,
        )
        try:
            rows.collect_schema()
        except (pl.exceptions.PolarsError, OSError) as error:
            raise self.corrupt(name, f"it cannot be read: {str(error).splitlines()[0]}") from error
        return rows

    def _remove(self, names: list[str]) -> None:
        with storage_errors(self.uri):
            for name in names:
                self.lake.fs.rm_file(self._place(name))

    def _write_file(self, name: str, frame: pl.DataFrame, reach: Reach | None) -> SpooledFile:
        columns = as_json(storable(frame.schema, self.stage))
        buffer = io.BytesIO()
        frame.write_parquet(buffer)
        content = buffer.getvalue()
        with storage_errors(self.uri):
            self.lake.fs.makedirs(self._place(""), exist_ok=True)
            self.lake.fs.pipe_file(self._place(name), content)
        return SpooledFile(
            name=name,
            rows=frame.height,
            size_bytes=len(content),
            content_hash=xxhash.xxh3_128_hexdigest(content),
            columns=columns,
            pulled_at=datetime.now(UTC),
            reach=reach,
        )

    def _commit(self, number: int, record: Record) -> None:
        if number % _WHOLE == 0:
            record = record.model_copy(update={"files": tuple(files_of([*self._records(), record]))})
        place, content = self._place(f"{number:06d}.json"), record.model_dump_json().encode()
        conflict = CommitConflict(f"{place}: another run pulled this source at the same time; run again", what=place)
        with storage_errors(self.uri):
            self.lake.fs.makedirs(self._place(""), exist_ok=True)
            if any(not self.lake.fs.exists(self._place(f.name)) for f in record.files if record.pull in f.name):
                # Swept by the other run.
                raise conflict
            try:
                self._create(place, content, record.pull)
            except FileExistsError:
                # Also where it was written, but the storage's answer was lost and the client asked again.
                if self._read(number).pull != record.pull:
                    raise conflict from None

    def _create(self, place: str, content: bytes, pull: str) -> None:
        """Write a whole file in one step, unless there is one."""
        if "://" in self.lake.uri:
            self.lake.fs.pipe_file(place, content, mode="create")
            return
        draft = f"{place}.{pull}.tmp"
        self.lake.fs.pipe_file(draft, content)
        try:
            os.link(draft, place)
        finally:
            os.remove(draft)

    def _last(self) -> Record | None:
        numbers = self._numbers()
        return self._read(numbers[-1]) if numbers else None

    def _records(self) -> list[Record]:
        numbers = self._numbers()
        whole = max((n for n in numbers if n % _WHOLE == 0), default=1)
        wanted = list(range(whole, numbers[-1] + 1)) if numbers else []
        if lost := next((n for n in wanted if n not in numbers), None):
            raise self.corrupt(f"{lost:06d}.json", "it is gone")
        unread = [n for n in wanted if n not in self._told]
        with storage_errors(self.uri):
            contents = read_all(self.lake.fs, [self._place(f"{n:06d}.json") for n in unread])
        self._told |= {n: self._parsed(n, content) for n, content in zip(unread, contents, strict=True)}
        return [self._told[n] for n in wanted]

    def _read(self, number: int) -> Record:
        if number not in self._told:
            with storage_errors(self.uri):
                self._told[number] = self._parsed(number, self.lake.fs.cat_file(self._place(f"{number:06d}.json")))
        return self._told[number]

    def _parsed(self, number: int, content: bytes) -> Record:
        try:
            return Record.model_validate_json(content)
        except ValidationError as error:
            raise self.corrupt(f"{number:06d}.json", f"it cannot be read: {error.errors()[0]['msg']}") from error

    def _numbers(self) -> list[int]:
        return sorted(int(name[:-5]) for name in self._listed() if _is_record(name))

    def _listed(self) -> list[str]:
        with storage_errors(self.uri), suppress(FileNotFoundError):
            return names_in(self.lake.fs, self._place(""))
        return []

    def _place(self, name: str) -> str:
        return self.lake.path(*self.folder.split("/"), name).rstrip("/")

    def corrupt(self, name: str, why: str) -> LakeCorrupt:
        """The error that says what is wrong with a file, and what to do."""
        return LakeCorrupt(
            f"{self.uri}/{name}: {why}; what source {self.stage!r} was pulled is known there alone. Restore the file, or remove "
            f"{self.uri} and {self.lake.table_uri(self.stage)} and run with --full to pull everything again",
            table=self.stage,
            path=f"{self.folder}/{name}",
        )


def _is_record(name: str) -> bool:
    return name.endswith(".json") and name[:-5].isdigit()
