"""Everything that dataflow raises.

DataFlowError                 code, retryable, keyword attributes, picklable
├ ConfigError                 a file, key or argument that does not fit
├ SourceError
│ ├ SourceUnavailable         retryable: the source did not answer
│ ├ SourceCorrupt             the source answered with something unreadable
│ └ SchemaDrift               columns or types are not those of the contract
├ QualityError
│ └ GateRejected              carries the verdict
├ LakeError
│ ├ CommitConflict            retryable: another writer came in between
│ ├ LeaseHeld                 another run of the pipeline is under way
│ ├ LeaseLost                 this run was taken over and may not commit
│ ├ LakeUnavailable           retryable: the storage did not answer
│ ├ SchemaConflict            a table cannot take the columns of a stage
│ ├ TableMissing
│ └ LakeCorrupt               a file that the log names is gone or broken
├ PlanError                   cycle, unknown stage, unprovable increment
│ └ BooksUnbalanced           rows of a stage that are not accounted for
├ StageFailed                 a stage's function raised, or ran out of time
└ LineageError
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, ClassVar


class DataFlowError(Exception):
    """An error that names the thing, the place and the way out.

    Keyword arguments become attributes and travel through pickle, so that an
    error raised in a worker arrives whole.
    """

    code: ClassVar[str] = "dataflow"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["details"][name]
        except KeyError:
            raise AttributeError(name) from None

    def __reduce__(self) -> tuple[Any, ...]:
        return _revive, (type(self), self.message, self.details)


def _revive(kind: type[DataFlowError], message: str, details: dict[str, Any]) -> DataFlowError:
    return kind(message, **details)


class ConfigError(DataFlowError):
    """A configuration file, key or argument that does not fit."""

    code = "config"

    @classmethod
    def unknown(cls, what: str, name: str, accepted: Iterable[str], **details: Any) -> ConfigError:
        """An unknown name, with the nearest accepted one and the whole list."""
        return cls(f"unknown {what} {name!r}{hint(name, accepted)}", name=name, **details)


class SourceError(DataFlowError):
    """A source that cannot be landed."""

    code = "source"


class SourceUnavailable(SourceError):
    """A source that did not answer; trying again may help."""

    code = "source.unavailable"
    retryable = True


class SourceCorrupt(SourceError):
    """A source whose content cannot be read."""

    code = "source.corrupt"


class SchemaDrift(SourceError):
    """A source whose columns are not those of its contract."""

    code = "source.schema_drift"


class QualityError(DataFlowError):
    """A rule or gate that cannot be applied."""

    code = "quality"


class GateRejected(QualityError):
    """A batch that its gate refused; ``verdict`` says by which rules."""

    code = "quality.rejected"


class LakeError(DataFlowError):
    """The lake cannot be read or written."""

    code = "lake"


class CommitConflict(LakeError):
    """Another writer committed in between; planning again may help."""

    code = "lake.conflict"
    retryable = True


class LeaseHeld(LakeError):
    """Another run holds the pipeline's lease."""

    code = "lake.lease_held"


class LeaseLost(LakeError):
    """Another run took the lease over; this one may not commit any more."""

    code = "lake.lease_lost"


class LakeUnavailable(LakeError):
    """The storage did not answer; trying again may help."""

    code = "lake.unavailable"
    retryable = True


class SchemaConflict(LakeError):
    """A table cannot take the columns that a stage produced."""

    code = "lake.schema_conflict"


class TableMissing(LakeError):
    """A table that is not in the lake."""

    code = "lake.table_missing"


class LakeCorrupt(LakeError):
    """A file that a table's log names is gone or cannot be read."""

    code = "lake.corrupt"


class PlanError(DataFlowError):
    """A workflow that cannot be planned."""

    code = "plan"


class BooksUnbalanced(PlanError):
    """Rows of a stage that are neither published nor accounted for."""

    code = "plan.books"


class StageFailed(DataFlowError):
    """A stage's function raised, returned something else than a frame, or ran out of time."""

    code = "stage"


class LineageError(DataFlowError):
    """A value that cannot be traced."""

    code = "lineage"


_MANY = 40
"""More names than a reader takes in."""


def hint(name: str, accepted: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: the nearest match, then what is accepted, of many only the nearest."""
    names = sorted(accepted)
    near = difflib.get_close_matches(name, names, n=1)
    guess = f"; did you mean {near[0]!r}?" if near else ";"
    if len(names) <= _MANY:
        return f"{guess} accepted: {', '.join(names) or 'none'}"
    some = sorted(difflib.get_close_matches(name, names, n=5, cutoff=0))
    return f"{guess} accepted: {', '.join(some)} and {len(names) - len(some)} more"
