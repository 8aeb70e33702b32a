"""Asks a source that is pulled for what is new, before its stage is planned."""

from __future__ import annotations

from collections.abc import Iterable

from dataflow.errors import SourceError
from dataflow.lake.lake import Lake
from dataflow.lake.spool import Spool
from dataflow.plan import count
from dataflow.sources import Source
from dataflow.sources.spooled import SpooledSource
from dataflow.workflow import Stage


def attach(source: Source, stage: Stage, lake: Lake, pipeline: str) -> None:
    """Give a source that is pulled its place in the lake; planning reads what is there."""
    if isinstance(source, SpooledSource):
        source.attach(Spool(lake, pipeline, stage.name))


def check_forgotten(spool: Spool, landed: Iterable[str]) -> None:
    """Refuse to ask anew for what was landed from a spool that is empty now."""
    if lost := next((name for name in landed if name.startswith(f"{spool.folder}/")), None):
        raise spool.corrupt(lost.rsplit("/", 1)[-1], "it was landed, but the whole spool is gone")


def pull(source: Source, stage: Stage, lake: Lake, pipeline: str) -> str | None:
    """Ask for what is new and keep it in the lake; says what came, None of a source that is not pulled.

    Errors: SourceUnavailable, SourceError, ConfigError, LakeError.
    """
    if not isinstance(source, SpooledSource):
        return None
    attach(source, stage, lake, pipeline)
    try:
        files = source.fetch()
    except SourceError as error:
        if stage.pii and error.__cause__ is not None:
            told = f"source {stage.name!r} could not be pulled: {type(error.__cause__).__name__} (what it says is not told, as the stage has personal data)"
            raise type(error)(told, **error.details) from error
        raise
    if not files:
        return "nothing new was pulled"
    return f"pulled {count(sum(file.rows for file in files), 'row')} in {count(len(files), 'file')}"
