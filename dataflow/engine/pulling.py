"""Asks a source that is pulled for what is new, before its stage is planned."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from dataflow.engine.logs import log
from dataflow.errors import SourceError
from dataflow.lake.lake import Lake
from dataflow.lake.spool import Spool
from dataflow.model import RuleResult, Verdict, digest
from dataflow.plan import count
from dataflow.quality.alerts import Alert, tell
from dataflow.sources import Source, source_types
from dataflow.sources.spooled import SpooledSource
from dataflow.workflow import Stage


def open_source(stage: Stage, lake: Lake, pipeline: str) -> Source:
    """The source of a stage; one that is pulled knows what it was asked before."""
    assert stage.source is not None
    kind = source_types.find(stage.source.type)
    made = kind(stage.name, kind.Config.model_validate(stage.source.options))
    attach(made, stage, lake, pipeline)
    return made


def attach(source: Source, stage: Stage, lake: Lake, pipeline: str) -> None:
    """Give a source that is pulled its place in the lake; planning reads what is there."""
    if isinstance(source, SpooledSource):
        source.attach(Spool(lake, pipeline, stage.name))


def check_forgotten(spool: Spool, landed: Iterable[str]) -> None:
    """Refuse to ask anew for what was landed from a spool that is empty now."""
    if lost := next((name for name in landed if name.startswith(f"{spool.folder}/")), None):
        raise spool.corrupt(lost.rsplit("/", 1)[-1], "it was landed, but the whole spool is gone")


class Pulled(NamedTuple):
    """What came of a pull."""

    text: str
    notes: tuple[str, ...] = ()
    """What the source found out, say rows that were missed; and alerts of it that could not be sent."""


def pull(source: Source, stage: Stage, lake: Lake, pipeline: str, alerts: Sequence[Alert] = ()) -> Pulled | None:
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
    text = f"pulled {count(sum(file.rows for file in files), 'row')} in {count(len(files), 'file')}"
    notes = _told(source.findings, stage, lake, pipeline, alerts)
    return Pulled(text if files else "nothing new was pulled", notes)


def _told(
    findings: Sequence[RuleResult], stage: Stage, lake: Lake, pipeline: str, alerts: Sequence[Alert]
) -> tuple[str, ...]:
    """The findings in words; who is told of failed rules is told of those that failed."""
    for finding in findings:
        log.log(logging.INFO if finding.success else logging.WARNING, "%s", finding.statement)
    words = tuple(finding.statement for finding in findings)
    verdict = Verdict(stage=stage.name, batch_id="pull", digest=digest(*words), results=tuple(findings))
    return (*words, *tell(alerts, verdict, pipeline=pipeline, lake=lake.uri))
