"""What an error of a database means: whether to ask again, or to mend something; never with what nobody may see."""

from __future__ import annotations

import re

from sqlalchemy import exc

from dataflow.errors import ConfigError, SourceError, SourceUnavailable
from dataflow.model.secrets import redacted

_REFUSED = re.compile(
    r"password|authenti|pg_hba|access denied|login failed|does not exist|unknown database|permission|not authorized"
    r"|no such|syntax error|not a database|malformed",
    re.IGNORECASE,
)
"""Words of operational errors that do not pass by themselves."""
_PASSING = ("08", "40", "53", "57", "58")
"""Classes of SQLSTATE: connection, rolled back, no resources, operator intervened, system."""


def database_failure(what: str, error: BaseException, source: str) -> SourceError | ConfigError:
    """The error of ours for one of SQLAlchemy, of a driver, or of reading a value."""
    cause = getattr(error, "orig", None) or error
    said = redacted(" ".join(str(cause).split())) or "no reason given"
    told = f"{type(cause).__name__}: {said}"
    if isinstance(error, exc.ProgrammingError | exc.ArgumentError) and not _passes(error, said):
        return ConfigError(
            f"{what} was refused: {told}; mend `url`, `table`, `query` or the rights of the user", source=source
        )
    if isinstance(error, exc.DBAPIError | OSError) and _passes(error, said):
        return SourceUnavailable(
            f"{what} was not answered: {told}; nothing of this pull is kept, run again", source=source
        )
    if isinstance(error, exc.OperationalError):
        return SourceError(
            f"{what} was refused: {told}; mend `url`, `table`, `query` or the rights of the user", source=source
        )
    way_out = "; a `query` may cast what cannot be read, or leave it out" if not isinstance(error, SourceError) else ""
    return SourceError(f"{what} failed: {told}; nothing of this pull is kept{way_out}", source=source)


def _passes(error: BaseException, said: str) -> bool:
    if isinstance(error, exc.DBAPIError):
        if error.connection_invalidated:
            return True
        state = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)
        if state:
            return str(state).startswith(_PASSING)
        # Without a code, as where no connection came about.
        return isinstance(error, exc.OperationalError | exc.InterfaceError) and not _REFUSED.search(said)
    return isinstance(error, ConnectionError | TimeoutError)
