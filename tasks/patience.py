"""How long a run waits for Prefect's API where it is away: once, for all the retries that Prefect's client has."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar

import httpx
from prefect.logging import get_logger
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from dataflow.lake.damage import more

logger = get_logger("prefect.dataflow")
_AWAY = {408, 429, 502, 503}
"""What Prefect's client asks again after."""
_lost: ContextVar[ExitStack | None] = ContextVar("lost", default=None)


@contextmanager
def patience() -> Generator[None]:
    """A run's: what it loses by the way, it has again afterwards."""
    with ExitStack() as settings:
        token = _lost.set(settings)
        try:
            yield
        finally:
            _lost.reset(token)


def lose_patience(error: BaseException | None = None) -> None:
    """From here to the end of the run Prefect is asked once, not again; after an ``error`` that says it was away all along.

    A run has a dozen things to tell at its end, and each would be tried for a minute.
    """
    settings = _lost.get()
    if settings is not None and (error is None or is_away(error)):
        settings.enter_context(temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}))


def is_away(error: BaseException) -> bool:
    """Whether Prefect's API did not answer, or that it cannot at the moment."""
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code in _AWAY
    return isinstance(error, httpx.TransportError)


def warn(what: str, failed: Mapping[str, Exception]) -> None:
    """Say once what Prefect did not take; ``what`` has a place for its names."""
    if failed:
        first, error = next(iter(failed.items()))
        logger.warning("%s: %s", what.format(first + more([*failed])), error)
