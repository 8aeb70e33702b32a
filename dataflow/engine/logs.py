"""What the library logs, under the name ``dataflow``, and what each record says of where it comes from.

Every record carries ``run``, ``stage`` and ``unit`` (None where it concerns none), those of a stage's end its
figures, those of an error its kind and the names of what it concerned. Handlers are for the application to install.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dataflow.errors import DataFlowError

if TYPE_CHECKING:
    _Adapter = logging.LoggerAdapter[logging.Logger]
else:
    _Adapter = logging.LoggerAdapter

logging.getLogger("dataflow").addHandler(logging.NullHandler())

NAMES = (
    "stage",
    "source",
    "table",
    "file",
    "files",
    "path",
    "column",
    "key",
    "name",
    "rule",
    "block",
    "pipeline",
    "line",
    "alert",
    "batch_id",
    "run_id",
    "unit",
    "cycle",
)
"""Details of errors that name a thing, and never quote a value."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a run something happens."""

    run: str | None = None
    stage: str | None = None
    unit: str | None = None
    private: bool = False
    """Whether the stage has personal data, which errors of other libraries would quote."""


_NOWHERE = Place()
_place: ContextVar[Place] = ContextVar("dataflow_place", default=_NOWHERE)


def place() -> Place:
    """Where the running code is, as far as the engine has told this thread."""
    return _place.get()


@contextmanager
def within(**more: Any) -> Generator[None]:
    """Whatever is logged inside comes from this place: fields of ``Place``."""
    token = _place.set(replace(_place.get(), **more))
    try:
        yield
    finally:
        _place.reset(token)


class Log(_Adapter):
    """A logger whose records say where they come from, whoever handles them."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Add run, stage and unit to the record."""
        return msg, {**kwargs, "extra": {**fields(), **(kwargs.get("extra") or {})}}


def fields() -> dict[str, Any]:
    """What a record that is made here is to carry."""
    at = place()
    return {"run": at.run, "stage": at.stage, "unit": at.unit, "_private": at.private}


log = Log(logging.getLogger("dataflow"))


def about(error: BaseException, *, private: bool) -> dict[str, Any]:
    """Kind and message of an error, and the names of what it concerned.

    An error that is not ours may quote values: where the data is private its message is left out.
    """
    told: dict[str, Any] = {"type": type(error).__name__}
    if isinstance(error, DataFlowError):
        told |= {"code": error.code, "message": error.message}
        told |= {name: error.details[name] for name in NAMES if error.details.get(name) is not None}
    elif not private:
        # What Polars says goes on with its query plan.
        told["message"] = next(iter(str(error).strip().splitlines()), "")
    return told


def failure(error: BaseException, **more: Any) -> dict[str, Any]:
    """What a record about ``error`` is logged with; its traceback too at level DEBUG, unless it may quote personal data."""
    private = place().private
    shown = log.isEnabledFor(logging.DEBUG) and not private
    return {"extra": {"exception": about(error, private=private), **more}, "exc_info": error if shown else None}
