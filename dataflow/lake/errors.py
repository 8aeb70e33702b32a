"""What delta-rs, the file system and Polars say about storage, in our words: mapped in one place."""

from __future__ import annotations

import errno
import re
from collections.abc import Generator
from contextlib import contextmanager

import polars as pl
from deltalake.exceptions import CommitFailedError, DeltaError, DeltaProtocolError, TableNotFoundError

from dataflow.errors import CommitConflict, DataFlowError, LakeCorrupt, LakeError, LakeUnavailable, TableMissing

_FULL = ("no space left", "storagefull", "disk quota exceeded", "(os error 28)", "(os error 122)")
_FORBIDDEN = ("permission denied", "read-only file system", "access denied", "accessdenied", "forbidden")
_PASSING = re.compile(
    r"timed? ?out|connection (refused|reset|closed|aborted)|error sending request|slow ?down|temporarily|"
    r"service unavailable|internal server error|bad gateway|status:? (code:? )?50[0-4]\b"
)
_GONE = (
    "no such file",
    "not found",
    "notfound",
    "nosuchkey",
    "file out of specification",
    "invalid parquet",
    "corrupt",
)
_BROKEN_LOG = ("kernel error", "json error", "no table metadata or protocol", "log segment")


@contextmanager
def storage_errors(what: str) -> Generator[None]:
    """Raise as an error of ours whatever goes wrong with the storage of ``what`` (a table or folder)."""
    try:
        yield
    except DataFlowError:
        raise
    except TableNotFoundError as error:
        raise TableMissing(f"{what}: no such table in the lake", what=what) from error
    except CommitFailedError as error:
        raise CommitConflict(
            f"{what}: another writer committed in between ({_said(error)}); run again", what=what
        ) from error
    except DeltaProtocolError as error:
        raise _broken_log(what, error) from error
    except (DeltaError, OSError, pl.exceptions.PolarsError) as error:
        raise lake_error(what, error) from error


def lake_error(what: str, error: BaseException) -> LakeError:
    """The error of ours that says what ``error`` means for ``what``."""
    said = _said(error)
    # What Polars says of a user's own columns and values is not about storage, whatever words are in it.
    about_storage = not isinstance(error, pl.exceptions.PolarsError) or isinstance(error, pl.exceptions.ComputeError)
    low = said.lower() if about_storage else ""
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or any(word in low for word in _FULL):
        return LakeError(
            f"{what}: no space left on the lake's disk; what is published stays as it is. Make room and run again",
            what=what,
        )
    if (
        isinstance(error, PermissionError)
        or getattr(error, "errno", None) == errno.EROFS
        or any(word in low for word in _FORBIDDEN)
    ):
        return LakeError(
            f"{what}: not writable ({said}); check the folder's permissions, or name another lake with --lake",
            what=what,
        )
    if isinstance(error, FileExistsError | NotADirectoryError) or "not a directory" in low:
        return LakeError(
            f"{what}: a file stands where a folder is needed ({said}); name another lake with --lake", what=what
        )
    if _PASSING.search(low):
        return LakeUnavailable(f"{what}: the storage did not answer ({said}); it is tried again", what=what)
    if isinstance(error, DeltaError) and any(word in low for word in _BROKEN_LOG):
        return _broken_log(what, error)
    if "nosuchbucket" in low:
        return LakeError(f"{what}: there is no such bucket; create it, or name another lake with --lake", what=what)
    if any(word in low for word in _GONE):
        return LakeCorrupt(
            f"{what}: a file that the table needs is gone or broken ({said}); {_way_out(what, 'restore it, or run with --full to compute it again')}",
            what=what,
        )
    return LakeError(f"{what}: {said}", what=what)


def _way_out(what: str, otherwise: str) -> str:
    if what.endswith("/_journal"):
        # What is published is known there alone: with tables that it does not know no run begins.
        return "restore the journal, or remove it together with the tables of the lake and run again"
    return otherwise


def _broken_log(what: str, error: BaseException) -> LakeCorrupt:
    return LakeCorrupt(
        f"{what}: the table's log cannot be read: {_said(error)}; {_way_out(what, 'restore the log, or remove the table and run with --full')}",
        what=what,
    )


def _said(error: BaseException) -> str:
    """What an error says, in one line: without delta-rs' stack traces and colours, and Polars' query plans."""
    told = re.split(r"\n\s*0: |\n\s*\n", str(error), maxsplit=1)[0]
    lines = re.sub(r"\x1b\[\d*m|↳", "", told).splitlines()
    return ": ".join(line.strip() for line in lines if line.strip())
