"""Where the rows of a unit went, in terms that are each counted where it happens."""

from __future__ import annotations

from dataflow.engine.job import StageJob
from dataflow.engine.writing import Writing
from dataflow.errors import BooksUnbalanced, StageFailed
from dataflow.model import RowCounts
from dataflow.plan import PlannedUnit


def books(job: StageJob, planned: PlannedUnit, writing: Writing, read: int) -> RowCounts:
    """Where the ``read`` rows went; every term from a count of its own or from the footers of files.

    Errors: BooksUnbalanced, StageFailed.
    """
    late = writing.rows("late")
    ended = writing.outcome(RowCounts(read=read, late=late))
    ends = writing.counted("settled", ended.deduplicated + ended.published)
    produced = writing.counted("produced", ended.quarantined + ended.dropped + ends)
    given = writing.counted("given", read - late)
    if given + late != read:
        raise BooksUnbalanced(
            f"stage {job.stage.name!r}, {planned.unit.label}: its input holds {read} rows, {given + late} were read",
            stage=job.stage.name,
        )
    base = ended.model_copy(update={"produced": produced})
    if job.stage.rows == "grouped" or (
        job.stage.rows == "any" and job.carried is not None and job.carried.rows == "grouped"
    ):
        members = writing.total(job.stage.members) if job.stage.members else given
        if members != given:
            raise BooksUnbalanced(
                f"stage {job.stage.name!r}, {planned.unit.label}: the groups count {members} members in {job.stage.members!r}, but {given} rows went in",
                stage=job.stage.name,
            )
        # Out of nothing comes a row or none: the sum over no rows is one.
        return base.model_copy(update={"aggregated": given} if given else {"fan_out": produced})
    if job.stage.rows == "preserved" and produced != given:
        raise StageFailed(
            f"stage {job.stage.name!r}, {planned.unit.label}: declared to preserve rows, but {given} went in and {produced} came out; "
            f"{'a join multiplies rows: make its right side unique' if produced > given else 'keep the rows and flag them instead'}, or declare rows: any",
            stage=job.stage.name,
        )
    return base.model_copy(update={"filtered": max(0, given - produced), "fan_out": max(0, produced - given)})
