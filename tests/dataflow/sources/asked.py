"""A source that is asked: numbers from a list that grows, with a cursor, and a place that fails when it is told to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import polars as pl
from pydantic import ConfigDict

from dataflow.lake.lake import Lake
from dataflow.lake.spool import Spool
from dataflow.model import Frozen
from dataflow.sources.spooled import Pull, SpooledSource


class Pages(Frozen):
    """The pages that a test's source has; the test adds to them, so the list itself is kept."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)
    pages: Any


class Asked(SpooledSource):
    """Gives the pages after the one that it gave last; a page that is an exception is raised."""

    Config: ClassVar[type[Frozen]] = Pages

    def pull(self, state: dict[str, Any] | None) -> Pull:
        given = (state or {"given": 0})["given"]
        for page in self.config.pages[given:]:
            if isinstance(page, BaseException):
                raise page
            yield page
        return {"given": len(self.config.pages)} if self.config.pages else state


def asked(lake: Any, pages: list[Any]) -> Asked:
    source = Asked("numbers", Pages(pages=pages))
    source.attach(Spool(lake if isinstance(lake, Lake) else Lake(lake), "made", "numbers"))
    return source


def landed(source: SpooledSource, held: pl.Schema | None = None, since: int = 0) -> pl.DataFrame:
    """What the source has, as the engine reads it: one contract, item by item."""
    items = source.items()[since:]
    contract = source.contract(items, held)
    frames = [source.scan(item, contract, row_index="_n").collect() for item in items]
    return pl.concat(frames, how="diagonal") if frames else pl.DataFrame()


def values(source: SpooledSource, column: str = "n") -> list[Any]:
    frame = landed(source)
    return frame[column].to_list() if column in frame.columns else []


class Killed(BaseException):
    """The end of the process, as far as the code knows."""


_CHANGING = ("pipe_file", "rm_file", "makedirs")


class Failing:
    """A file system that is fine for ``fine`` operations that change something, and then ends the process."""

    def __init__(self, fs: Any, fine: int, *, after: bool, changing: Iterable[str] = _CHANGING) -> None:
        self.fs = fs
        self.left = fine
        self.after = after
        self.changing = set(changing)
        self.failed = False

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.fs, name)
        return self.wrapped(found) if name in self.changing else found

    def wrapped(self, found: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.left -= 1
            if self.left < 0 and not self.after:
                self._end()
            result = found(*args, **kwargs)
            if self.left < 0:
                self._end()
            return result

        return call

    def _end(self) -> None:
        self.failed = True
        raise Killed
