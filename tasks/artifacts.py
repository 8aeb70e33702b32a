"""Artifacts of a run: its report, its verdicts, and what it did not have to do again."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from prefect.artifacts import Artifact, MarkdownArtifact, TableArtifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.context import FlowRunContext
from prefect.logging import get_logger

from dataflow.model import RunReport, StageReport
from tasks.naming import slug, title
from tasks.states import final_state, why

logger = get_logger("prefect.dataflow")
COLUMNS = ("Stage", "State", "Read", "Published", "Deduplicated", "Filtered", "Quarantined", "Late", "Seconds", "Gate")


def show(report: RunReport) -> None:
    """Make the run's artifacts; a run that was skipped has none.

    What Prefect does not take costs a warning only: the lake has it all.
    """
    if report.state == "skipped":
        return
    flow_run = FlowRunContext.get()
    flow_run_id = flow_run.flow_run.id if flow_run and flow_run.flow_run else None
    with get_client(sync_client=True) as client:  # one for all, and closed: `Artifact.create` leaves one open each
        for artifact in artifacts(report):
            try:
                client.create_artifact(_request(artifact, flow_run_id))
            except Exception as error:
                logger.warning("The artifact %s could not be made: %s", artifact.key, error)


def _request(artifact: Artifact, flow_run_id: UUID | None) -> ArtifactCreate:
    return ArtifactCreate(
        key=artifact.key,
        type=artifact.type,
        description=artifact.description,
        data=artifact.format(_sync=True),  # type: ignore[call-arg]
        flow_run_id=flow_run_id,
    )


def artifacts(report: RunReport) -> list[Artifact]:
    """The artifacts of a run; no verdicts where no stage has a gate."""
    name = title(report.pipeline)
    made: list[Artifact] = [
        MarkdownArtifact(
            key=slug(report.pipeline, "report"),
            description=f"{name}: what run {report.run_id} did",
            markdown=markdown(report),
        ),
        TableArtifact(
            key=slug(report.pipeline, "efficiency"),
            description=f"{name}: what run {report.run_id} did, and what it did not have to do again",
            table=efficiency(report),
        ),
    ]
    if rows := verdicts(report):
        made.append(
            TableArtifact(
                key=slug(report.pipeline, "verdicts"),
                description=f"{name}: what the gates of run {report.run_id} found, rule by rule",
                table=rows,
            )
        )
    return made


def verdicts(report: RunReport) -> list[dict[str, Any]]:
    """One row for each rule of each stage that was judged."""
    return [
        {
            "stage": stage.stage,
            "rule": rule.rule,
            "severity": rule.severity,
            "route": rule.route,
            "success": rule.success,
            "checked": rule.checked,
            "failed": rule.failed,
            "statement": rule.error or rule.statement,
        }
        for stage in report.stages
        if stage.verdict
        for rule in stage.verdict.results
    ]


def efficiency(report: RunReport) -> list[dict[str, Any]]:
    """One row for each stage: units, rows and bytes that were worked on, and those left as they were."""
    return [
        {
            "stage": stage.stage,
            "units_run": stage.units,
            "units_fresh": stage.units_fresh,
            "rows_read": stage.counts.read,
            "rows_fresh": stage.rows_fresh,
            "bytes_written": stage.bytes_written,
            "bytes_fresh": stage.bytes_fresh,
            "seconds": round(stage.seconds, 3),
        }
        for stage in report.stages
    ]


def markdown(report: RunReport) -> str:
    """The run in words, then as a table, then what a reader should know of each stage."""
    said = final_state(report)
    lines = [
        f"# {title(report.pipeline)}",
        f"**{said.name}.** {said.message} Run `{report.run_id}` took {report.seconds:.1f} s; "
        f"the lake is at `{report.lake}`.",
        _table([COLUMNS, *(_row(stage) for stage in report.stages)]),
    ]
    if report.repaired:
        lines += ["## Repaired", "What an earlier, interrupted run had left:", _list(report.repaired)]
    if notes := [f"**{stage.stage}**: {text}" for stage in report.stages for text in _notes(stage)]:
        lines += ["## Notes", _list(notes)]
    return "\n\n".join(lines) + "\n"


def _row(stage: StageReport) -> tuple[str, ...]:
    c = stage.counts
    counts = (c.read, c.published, c.deduplicated, c.filtered, c.quarantined, c.late)
    gate = stage.verdict.outcome if stage.verdict else "no gate"
    return (stage.stage, stage.state, *(f"{count:,}" for count in counts), f"{stage.seconds:.1f}", gate)


def _notes(stage: StageReport) -> list[str]:
    trouble = [why(stage)] if stage.state in ("rejected", "failed") else [stage.reason] if stage.reason else []
    return [*trouble, *stage.notes]


def _table(rows: list[tuple[str, ...]]) -> str:
    head, *body = (" | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) for row in rows)
    rule = " | ".join("---" if column in ("Stage", "State", "Gate") else "--:" for column in COLUMNS)
    return "\n".join(f"| {line} |" for line in (head, rule, *body))


def _list(items: Any) -> str:
    return "\n".join(f"- {' '.join(str(item).split())}" for item in items)
