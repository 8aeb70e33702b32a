"""What delta-rs, the file system and Polars say about storage, in our words: mapped in one place."""

from __future__ import annotations

import errno
import re
from collections.abc import Generator, Sequence
from contextlib import contextmanager

import polars as pl
from deltalake.exceptions import CommitFailedError, DeltaError, DeltaProtocolError, TableNotFoundError
from tenacity import retry, retry_if_exception_type, stop_after_attempt, stop_after_delay, wait_random

from dataflow.errors import CommitConflict, DataFlowError, LakeCorrupt, LakeError, LakeUnavailable, TableMissing

_FULL = ("no space left", "storagefull", "disk quota exceeded", "(os error 28)", "(os error 122)")
_FORBIDDEN = ("permission denied", "read-only file system", "access denied", "accessdenied", "forbidden")
_PASSING = re.compile(
    r"timed? ?out|connection (refused|reset|closed|aborted)|error sending request|slow ?down|temporarily|"
    r"service unavailable|internal server error|bad gateway|error reading a body|payload is not completed|incomplete (message|read)|status:? (code:? )?50[0-4]\b"
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
WAY_OUT = (
    "bring it back with flows/maintenance/table.py restore, or compute it again with flows/maintenance/table.py rebuild"
)
"""What can be done about a damaged table."""
_BROKEN_LOG = ("kernel error", "json error", "no table metadata or protocol", "log segment")


persistently = retry(
    retry=retry_if_exception_type(LakeUnavailable),
    # delta-rs is patient itself with a storage that does not answer at all; what it gives up at once is an answer cut short.
    stop=stop_after_attempt(4) | stop_after_delay(15),
    wait=wait_random(0.05, 0.3),
    reraise=True,
)
"""Asks the storage once more where it did not answer: for what is read outside of the steps that a runner tries again."""


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
        raise broken_log(what, error) from error
    except (DeltaError, OSError, pl.exceptions.PolarsError) as error:
        raise lake_error(what, error) from error
    except Exception as error:
        if is_of_a_client(error):
            raise lake_error(what, error) from error
        raise


def is_of_a_client(error: BaseException) -> bool:
    """Whether an object store's client raises ``error``: these are no errors of the operating system."""
    return type(error).__module__.partition(".")[0] in ("aiohttp", "botocore", "aiobotocore")


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
        return broken_log(what, error)
    if "nosuchbucket" in low:
        return LakeError(f"{what}: there is no such bucket; create it, or name another lake with --lake", what=what)
    if any(word in low for word in _GONE):
        return LakeCorrupt(
            f"{what}: a file that the table needs is gone or broken ({said}); {_way_out(what, WAY_OUT)}",
            what=what,
        )
    return LakeError(f"{what}: {said}", what=what)


def _way_out(what: str, otherwise: str) -> str:
    if what.endswith("/_journal"):
        # What is published is known there alone: with tables that it does not know no run begins.
        return "restore the journal, or remove it together with the tables of the lake and run again"
    return otherwise


def broken_log(what: str, error: BaseException, files: Sequence[str] = ()) -> LakeCorrupt:
    """The error for a table at ``what`` whose log cannot be read, with the files of the log that are to blame."""
    named = f"{', '.join(files)} {'is' if len(files) == 1 else 'are'} broken or gone: " if files else ""
    return LakeCorrupt(
        f"{what}: the table's log cannot be read: {named}{_said(error)}; {_way_out(what, WAY_OUT)}",
        what=what,
        files=tuple(files),
    )


def _said(error: BaseException) -> str:
    """What an error says, in one line: without delta-rs' stack traces and colours, and Polars' query plans."""
    told = re.split(r"\n\s*0: |\n\s*\n", str(error), maxsplit=1)[0]
    lines = re.sub(r"\x1b\[\d*m|↳", "", told).splitlines()
    return ": ".join(line.strip() for line in lines if line.strip())
