"""Artifacts of a run: its report, what each gate found, and what it did not have to do again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from prefect.artifacts import Artifact, MarkdownArtifact, TableArtifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.context import FlowRunContext
from prefect.logging import get_logger

from dataflow.engine.spared import spared
from dataflow.lake.seams import Seam, reach
from dataflow.model import RuleResult, RunReport, StageReport
from dataflow.quality.findings import findings, see_rows
from tasks.naming import slug, title
from tasks.patience import lose_patience, warn
from tasks.states import final_state, why

logger = get_logger("prefect.dataflow")
COUNTS = "read", "published", "deduplicated", "filtered", "quarantined", "dropped", "repaired", "late"
ALWAYS = "read", "published"
WORDS = "Stage", "State", "Gate"
USED = "Seconds", "CPU s", "Peak MB"


def show(report: RunReport) -> None:
    """Make the run's artifacts; a run that was skipped has none.

    What Prefect does not take costs a warning only: the lake has it all.
    """
    if report.state == "skipped":
        return
    flow_run = FlowRunContext.get()
    flow_run_id = flow_run.flow_run.id if flow_run and flow_run.flow_run else None
    failed: dict[str, Exception] = {}
    with get_client(sync_client=True) as client:  # one for all, and closed: `Artifact.create` leaves one open each
        for artifact in artifacts(report):
            try:
                client.create_artifact(_request(artifact, flow_run_id))
                reach(Seam.ARTIFACT_WRITTEN, str(artifact.key))
            except Exception as error:
                lose_patience(error)
                failed[str(artifact.key)] = error
    warn("The artifact {} could not be made", failed)


def _request(artifact: Artifact, flow_run_id: UUID | None) -> ArtifactCreate:
    return ArtifactCreate(
        key=artifact.key,
        type=artifact.type,
        description=artifact.description,
        data=artifact.format(_sync=True),  # type: ignore[call-arg]
        flow_run_id=flow_run_id,
    )


def artifacts(report: RunReport) -> list[Artifact]:
    """The artifacts of a run: a table for each stage that was judged, the whole in words, and what was spared."""
    name = title(report.pipeline)
    return [
        MarkdownArtifact(
            key=slug(report.pipeline, "report"),
            description=f"{name}: what run {report.run_id} did",
            markdown=markdown(report),
        ),
        TableArtifact(
            key=slug(report.pipeline, "efficiency"),
            description=_efficiency_told(name, report),
            table=efficiency(report),
        ),
        *(
            TableArtifact(
                key=slug(report.pipeline, stage.stage, "gate"),
                description=f"{name}: what the gate of {stage.stage} found in run {report.run_id}: {stage.verdict.outcome}",
                table=gate(stage, report.lake),
            )
            for stage in report.stages
            if stage.verdict is not None and stage.verdict.results
        ),
    ]


def _efficiency_told(name: str, report: RunReport) -> str:
    told = spared(report) if report.state == "completed" else ""
    return f"{name}: what run {report.run_id} did, and what it did not have to do again{f' ({told})' if told else ''}"


def gate(stage: StageReport, lake: str) -> list[dict[str, Any]]:
    """One row for each rule of a stage that was judged."""
    return [
        {
            "rule": rule.rule,
            "result": _result(rule),
            "severity": rule.severity,
            "failed": rule.failed,
            "checked": rule.checked,
            "share": round(rule.failed / rule.checked, 6) if rule.checked else 0,
            "repaired": rule.repaired,
            "route": f"branch to {rule.branch}" if rule.branch else rule.route,
            "found": rule.observed,
            "evidence": rule.evidence,
            "scope": rule.scope,
            "says": rule.statement,
            "rows": ", ".join(map(str, rule.rows)),
            "see": see_rows(stage, rule, lake) or "",
        }
        for rule in (stage.verdict.results if stage.verdict else ())
    ]


def _result(rule: RuleResult) -> str:
    return f"could not be evaluated: {rule.error}" if rule.error else "passed" if rule.success else "failed"


def efficiency(report: RunReport) -> list[dict[str, Any]]:
    """One row for each stage: what was worked on and how, what was not read or left as it was, and the time saved."""
    return [
        {
            # What fits beside Prefect's menus comes first.
            "stage": stage.stage,
            "how": _how(stage),
            "rows_read": stage.counts.read,
            "rows_skipped": stage.rows_skipped,
            "seconds": round(stage.seconds, 3),
            "full_seconds": None if stage.full_seconds is None else round(stage.full_seconds, 3),
            "seconds_saved": round(stage.seconds_saved, 3),
            "why": stage.how.why if stage.how and stage.units else stage.reason,
            "in_full": stage.in_full,
            "units_run": stage.units,
            "units_fresh": stage.units_fresh,
            "rows_fresh": stage.rows_fresh,
            "bytes_read": stage.bytes_read,
            "bytes_skipped": stage.bytes_skipped,
            "bytes_written": stage.bytes_written,
            "bytes_fresh": stage.bytes_fresh,
            "cpu_seconds": round(stage.cpu_seconds, 3),
            "peak_memory_mb": round(stage.peak_memory_bytes / 1e6),
            "rows_per_second": round(stage.rows_per_second),
        }
        for stage in report.stages
    ]


def _how(stage: StageReport) -> str:
    """How the stage was brought up to date; what became of it where it was not."""
    if not stage.units:
        return stage.state.replace("_", " ")
    return stage.how.kind if stage.how else "full" if stage.in_full else "files" if stage.kind == "source" else "–"


def markdown(report: RunReport) -> str:
    """The run in words, then as a table, then what a reader should know of each stage."""
    said = final_state(report)
    docs = f", what its gates found on `{report.data_docs}`" if report.data_docs else ""
    lines = [
        f"# {title(report.pipeline)}",
        f"**{said.name}.** {said.message} Run `{report.run_id}` took {report.seconds:.1f} s; "
        f"the lake is at `{report.lake}`{docs}.",
        _table(report.stages),
    ]
    if report.state == "completed" and (told := spared(report)):
        lines.append(f"{told[0].upper()}{told[1:]}.")
    if report.repaired:
        lines += ["## Repaired", "What an earlier, interrupted run had left:", _list(report.repaired)]
    notes = [f"**{stage.stage}**: {text}" for stage in report.stages for text in _notes(stage, report.lake)]
    if notes := [*report.notes, *notes]:
        lines += ["## Notes", _list(notes)]
    return "\n\n".join(lines) + "\n"


def _row(stage: StageReport, counts: Sequence[str]) -> tuple[str, ...]:
    state = stage.state.replace("_", " ")
    used = f"{stage.seconds:.1f}", f"{stage.cpu_seconds:.1f}", f"{stage.peak_memory_bytes / 1e6:,.0f}"
    if not stage.units:
        return stage.stage, state, *["–"] * (len(counts) + 1), *(used if stage.seconds else ["–"] * len(used))
    told = stage.counts
    if stage.state in ("rejected", "branched"):
        told = told.model_copy(update={"published": 0})  # it is what would have been
    return (
        stage.stage,
        state,
        stage.verdict.outcome if stage.verdict else "no gate",
        *(f"{getattr(told, name):,}" for name in counts),
        *used,
    )


def _notes(stage: StageReport, lake: str) -> list[str]:
    trouble = [why(stage)] if stage.state in ("rejected", "failed") else [stage.reason] if stage.reason else []
    told = [f"{_plain(each.text)}{f': `{each.see}`' if each.see else ''}" for each in findings(stage, lake)]
    return [*trouble, *told, *stage.notes]


def _plain(text: str) -> str:
    """Text as Markdown shows it unchanged: predicates are full of signs."""
    return re.sub(r"([\\`*_\[\]<>|~])", r"\\\1", text)


def _table(stages: Sequence[StageReport]) -> str:
    """One row for each stage; counts that no stage has are left out, so that it need not be scrolled."""
    counts = [name for name in COUNTS if name in ALWAYS or any(getattr(s.counts, name) for s in stages if s.units)]
    columns = (*WORDS, *(name.title() for name in counts), *USED)
    rows = [columns, *(_row(stage, counts) for stage in stages)]
    head, *body = (" | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) for row in rows)
    rule = " | ".join("---" if column in WORDS else "--:" for column in columns)
    return "\n".join(f"| {line} |" for line in (head, rule, *body))


def _list(items: Any) -> str:
    return "\n".join(f"- {' '.join(str(item).split())}" for item in items)
