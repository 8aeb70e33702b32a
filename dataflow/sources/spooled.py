"""What sources have in common that must be asked for what is new: what they answer is kept in the lake's spool.

From there it is landed like files are: an answer is landed once, whatever ends a run at whatever moment, and again
where the table is written anew, without asking a second time for what may no longer be there.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import Any, ClassVar

import polars as pl

from dataflow.errors import DataFlowError, SourceError, SourceUnavailable
from dataflow.lake.pulls import Cut, Reach, SpooledFile
from dataflow.lake.spool import Spool
from dataflow.model import SOURCE_FILE, Frozen, RuleResult, digest, is_row_id
from dataflow.model.secrets import redacted
from dataflow.sources.fitting import common_type, fitting
from dataflow.sources.pages import frames
from dataflow.sources.source import BROKEN, LINE, RAW, Item, Source

_KEPT = (SOURCE_FILE, "_batch_id", "_ingested_at", BROKEN, RAW, LINE)
_PASSING_TYPES = (ConnectionError, TimeoutError)
_PASSING_WORDS = ("timeout", "connectionerror", "connecterror", "readerror", "gaierror", "urlerror", "protocolerror")
_PASSING_STATUS = (408, 425, 429, 500, 502, 503, 504)

Pull = Generator[Any, None, Mapping[str, Any] | None]
"""Yields pages of rows, and returns the state to ask with next."""


class SpooledSource(Source):
    """A source that is asked; a class that derives from it says how, in ``pull``."""

    Config: ClassVar[type[Frozen]]

    def __init__(self, name: str, config: Any) -> None:
        self.name = name
        self.config = config
        self.findings: tuple[RuleResult, ...] = ()
        """What the last ``fetch`` found out about the source that people should know."""
        self._spool: Spool | None = None

    @abstractmethod
    def pull(self, state: dict[str, Any] | None) -> Pull:
        """Yield what is new since ``state``, page by page; return the state after it, in values that JSON knows.

        ``state`` is what was returned last; None at first. A page is a list of objects, or a frame of Polars, Arrow
        or pandas. Where this raises, nothing of it counts: the next attempt begins with the same state.
        """
        ...

    def declared(self) -> Mapping[str, pl.DataType]:
        """Types of columns that are known whatever their values look like; asked after ``pull``."""
        return {}

    def reach(self, frame: pl.DataFrame) -> Reach | None:
        """How far the rows go by the source's cursor; None where it has none that can be read off the rows."""
        return None

    def position(self) -> Any:
        """How far the source was read, as people write it, in values that JSON knows; None before the first pull."""
        return self.spool.state()

    def since(self, to: Any | None) -> tuple[dict[str, Any] | None, Any]:
        """The state that asks from ``to`` on, and ``to`` as a value of the cursor; what ``rewind`` goes by.

        Errors: SourceError where the source cannot be asked from there.
        """
        if to is not None:
            raise SourceError(
                f"source {self.name!r}: its state cannot be set by hand, for only the source knows what it means; "
                f"reset it, and everything is asked again from the beginning",
                source=self.name,
            )
        return None, None

    def holds(self, file: SpooledFile, since: Any) -> bool:
        """Whether rows of a file count that come at or after a value of the cursor; None: whether any do."""
        return file.cut is None or file.cut.before is not None

    def counted(self, rows: pl.LazyFrame, before: Any) -> pl.LazyFrame:
        """The rows that come before a value of the cursor, which is never None where ``since`` gives only None."""
        raise LookupError(f"source {self.name!r} has no cursor, but rows of it are cut at {before!r}")

    def held_from(self, to: Any | None) -> list[Item]:
        """The items with rows at or after ``to``, those that ``rewind`` has read again; None is the beginning.

        Errors: SourceError as from ``rewind``; LakeError.
        """
        _, value = self.since(to)
        return [self._item(file) for file in self.spool.files() if self.holds(file, value)]

    def rewind(self, to: Any | None = None) -> list[str]:
        """Have the next pull ask from ``to`` on, as people write it; None is the beginning.

        Says the names of the items that hold rows from there on. Until that pull they stay as they are. It takes their
        place in one step: from then on rows of theirs at or after ``to`` do not count, so that they are landed anew with
        what is left of them, in one batch with what was pulled.
        Errors: SourceError where the source cannot be asked from there; CommitConflict; LakeError.
        """
        if self.spool.number() == 0:
            return []
        state, value = self.since(to)
        files = [file for file in self.spool.files() if self.holds(file, value)]
        self.spool.wish(state, Cut(before=value, files=tuple(file.name for file in files), at=datetime.now(UTC)))
        return [self._item(file).name for file in files]

    def attach(self, spool: Spool) -> None:
        """Say where what is pulled is kept; comes before everything else."""
        self._spool = spool

    @property
    def spool(self) -> Spool:
        assert self._spool is not None, f"source {self.name!r} has no spool; call attach first"
        return self._spool

    def fetch(self) -> tuple[SpooledFile, ...]:
        """Ask for what is new and keep it; nothing is kept of an answer that breaks off.

        Errors: SourceUnavailable where trying again may help, else SourceError; LakeError.
        """
        spool, self.findings = self.spool, ()
        spool.sweep()
        # In this order: where another run pulls in between, ours is the one that does not count.
        number, state = spool.number(), spool.state()
        names, answer = _Names(self.name, spool.files()), _Answer()
        with closing(self._frames(state, answer)) as found:
            checked = (names.checked(frame) for frame in found)
            return spool.write(
                checked,
                lambda: self._kept(answer.state),
                lambda: pl.Schema(self.declared()),
                after=number,
                reach=self.reach,
            )

    def _frames(self, state: dict[str, Any] | None, answer: _Answer) -> Generator[pl.DataFrame]:
        try:
            with closing(self.pull(state)) as pull:
                yield from frames(answer.pages(pull))
        except DataFlowError:
            raise
        except Exception as error:
            raise failure(f"source {self.name!r}: page {answer.page}", error, source=self.name) from error

    def _kept(self, state: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        try:
            same = json.loads(json.dumps(state)) == state
        except (TypeError, ValueError):
            same = False
        if not same:
            raise SourceError(
                f"source {self.name!r}: its state is not what JSON makes of it; return text, numbers, lists and objects "
                f"with text keys from `pull`",
                source=self.name,
            )
        return state

    def items(self) -> Sequence[Item]:
        """What was pulled, in order; ``--plan`` and a run that may not ask see that too."""
        return [self._item(file) for file in self.spool.files()]

    def _item(self, file: SpooledFile) -> Item:
        return Item(
            name=f"{self.spool.folder}/{file.name}",
            size_bytes=file.size_bytes,
            modified_at=file.changed_at.timestamp(),
            restates=file.restates and f"{self.spool.folder}/{file.restates}",
        )

    def content_hash(self, item: Item) -> str:
        """That of the file when it was written; no such file is ever written again, but its rows may cease to count."""
        return self._file(item).content

    @property
    def fingerprint(self) -> str:
        """The declared types: how the source is asked does not change what it answered before."""
        return digest(*self.spool.declared().items())

    def contract(self, items: Sequence[Item], held: pl.Schema | None) -> pl.Schema:
        """What is held, then columns that came later, with the types that hold all their values.

        A column is there from its first value on; a type that the source declares goes before. Where all is landed anew,
        a held type widens too, but not to text: one bad value does not change what a column is.
        """
        types: dict[str, pl.DataType] = dict(held or {})
        whole = len(items) == len(self.spool.files())
        for item in items:
            for name, dtype in self._file(item).schema_of_rows.items():
                wider = common_type(types.get(name, dtype), dtype)
                if name not in (held or ()) or (whole and wider != pl.String()):
                    types[name] = wider
        declared = self.spool.declared()
        return pl.Schema({name: declared.get(name, dtype) for name, dtype in types.items()})

    def scan(self, item: Item, schema: pl.Schema, *, row_index: str) -> pl.LazyFrame:
        """The rows as they were delivered; those with a value that its column's type cannot hold are marked.

        Errors: LakeCorrupt where the spooled file is not as it was written.
        """
        file = self._file(item)
        rows = self.spool.scan(file.name, row_index)
        if file.cut is not None:
            rows = rows.clear() if file.cut.before is None else self.counted(rows, file.cut.before)
        found = {name: dtype for name, dtype in rows.collect_schema().items() if name != row_index}
        return fitting(rows, pl.Schema(found), schema, row_index=row_index)

    def _file(self, item: Item) -> SpooledFile:
        return self.spool.file(_file_name(item))


class _Answer:
    """What is known of an answer while it comes in."""

    def __init__(self) -> None:
        self.page = 1
        """That which is being made or read."""
        self.state: Mapping[str, Any] | None = None

    def pages(self, pull: Pull) -> Generator[Any]:
        """Those of ``pull``, whose return value becomes the state."""
        while True:
            try:
                page = next(pull)
            except StopIteration as end:
                self.state = end.value
                return
            yield page
            self.page += 1


class _Names:
    """Columns that were seen so far: what a table could not take is refused before any of it is kept."""

    def __init__(self, source: str, files: Sequence[SpooledFile]) -> None:
        self.source = source
        self.known = {name.lower(): name for file in files for name in file.names}

    def checked(self, frame: pl.DataFrame) -> pl.DataFrame:
        for name in frame.columns:
            other = self.known.setdefault(name.lower(), name)
            if other != name:
                raise self._refused(name, f"beside {other!r}, which a Delta table does not tell from it")
            if name in _KEPT or is_row_id(name):
                raise self._refused(name, "a name that dataflow keeps for itself")
        return frame

    def _refused(self, column: str, why: str) -> SourceError:
        return SourceError(
            f"source {self.source!r}: it delivers a column {column!r}, {why}; rename it where the rows are made",
            source=self.source,
            column=column,
        )


def failure(what: str, error: BaseException, said: str | None = None, **details: Any) -> SourceError:
    """What an error while a source was asked means: whether to ask again, or to mend something."""
    text = said if said is not None else str(error)
    told = f"{type(error).__name__}: {redacted(text)}" if text else type(error).__name__
    if _passes(error):
        return SourceUnavailable(f"{what} was not answered: {told}; nothing of this pull is kept, run again", **details)
    return SourceError(f"{what} failed: {told}; nothing of this pull is kept", **details)


def _passes(error: BaseException) -> bool:
    status = getattr(getattr(error, "response", None), "status_code", None) or getattr(error, "code", None)
    if isinstance(status, int):
        return status in _PASSING_STATUS
    names = [kind.__name__.lower() for kind in type(error).__mro__]
    return isinstance(error, _PASSING_TYPES) or any(word in name for name in names for word in _PASSING_WORDS)


def _file_name(item: Item) -> str:
    return item.name.rsplit("/", 1)[-1]
