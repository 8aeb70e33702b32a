"""How what changed in a stage's inputs comes to its table: by the least work that is declared, or proven to do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import polars as pl

from dataflow.config import IncrementalConfig, SlicesConfig
from dataflow.errors import PlanError
from dataflow.incremental.tables import TableDiff, rows_that_left
from dataflow.lake.lake import Lake
from dataflow.lineage.locality import Cut, Locality
from dataflow.model import ROW_ID
from dataflow.plan.units import How, Increment
from dataflow.windows.assignment import WINDOW_START
from dataflow.workflow import Stage

_FEW_ROWS = 1_000_000
"""So many rows that left are compared with those that came, whatever share of the input they are: that takes seconds."""


@dataclass(frozen=True)
class Proof:
    """What the plan of a stage's function shows."""

    locality: Locality
    row_ids: bool = False
    """Whether the table's rows carry the row ids of the first input."""


Changes = Mapping[str, TableDiff]


@dataclass(frozen=True)
class Choosing:
    """A stage that has been run before, and what changed in its inputs since."""

    stage: Stage
    lake: Lake
    changed: Changes
    """By input: what came and what left, of those where anything did."""
    prove: Callable[[], Proof]

    @cached_property
    def proof(self) -> Proof:
        return self.prove()

    @property
    def first(self) -> str:
        return self.stage.inputs[0]

    @property
    def only_first(self) -> bool:
        """Whether nothing changed but the first input."""
        return set(self.changed) == {self.first}

    def choose(self) -> tuple[How, Increment | None]:
        """The increment, or none where the stage is to be computed in full; and why."""
        if self.stage.incremental == "full":
            return How(kind="full", why="declared"), None
        if anew := next((name for name, found in self.changed.items() if _is_anew(found)), None):
            return self._full(f"most rows of {anew} were written anew, and to compare them takes longer")
        if self.stage.strategy is not None:
            return self._merge()
        if self.stage.incremental is None and (rule := _about_all(self.stage)) is not None:
            why = (
                f"its rule {rule!r} is about the whole batch; say scope: table, or declare `incremental` "
                "to have it judge what is new"
            )
            return How(kind="full", why=why), None
        return self._declared() if self.stage.incremental is not None else self._proven()

    def _merge(self) -> tuple[How, Increment | None]:
        assert self.stage.strategy is not None
        if not self.only_first:
            return self._full(f"{self._others()} changed, which its function reads whole")
        if self.changed[self.first].grew:
            return How(kind="merge", why="declared" if self._merges else "as its strategy does"), Increment(
                self.changed
            )
        apart = self.stage.strategy.strategy.apart_by
        cuts = tuple(cut for cut in self._cuts() if cut.column in apart)
        if not cuts:
            return self._full(f"rows left {self.first}, and what they meant to the others cannot be told")
        return How(kind="merge", why=f"rows left: touched values of {_listed(cuts)} are merged anew"), Increment(
            self.changed, cuts
        )

    @property
    def _merges(self) -> bool:
        return isinstance(self.stage.incremental, IncrementalConfig)

    def _declared(self) -> tuple[How, Increment | None]:
        declared = self.stage.incremental
        if declared == "append":
            if not self.only_first:
                return self._full(f"{self._others()} changed, which it reads whole")
            found = self._append("declared")
            return found if found is not None else self._slices(self._cuts(), f"rows left {self.first}")
        columns = sliced_by(self.stage)
        cuts = tuple(cut for cut in self._cuts() if cut.column in columns)
        if {cut.column for cut in cuts} == set(columns):
            return self._slices(cuts, "declared")
        if not is_opaque(self.proof.locality) or not self.only_first:
            return self._full(f"{self._others()} changed, which it reads whole")
        trusted = tuple(Cut(((self.first, column),), column) for column in columns)
        return self._slices(trusted, "declared")

    @property
    def _note(self) -> str:
        """What is taken on trust, for the report."""
        shown = self.proof.locality
        reason = shown.reason if is_opaque(shown) else shown.order.reason
        if self.stage.incremental is None or not reason:
            return ""
        return f"that increments are safe is declared and not proven: {reason}"

    def _proven(self) -> tuple[How, Increment | None]:
        if self._disorder:
            return self._full(self._disorder)
        if self.only_first and self.proof.locality.row_wise:
            found = self._append("proven: each row comes of one row of its first input")
            if found is not None:
                return found
        return self._slices(self._cuts(), "")

    def _append(self, why: str) -> tuple[How, Increment | None] | None:
        """Rows that came, added; None where rows left that cannot be found in the table."""
        diff = self.changed[self.first]
        if self.stage.deduplicate is not None:
            return None
        if diff.grew:
            return How(kind="append", why=why), Increment(self.changed, note=self._note)
        if not self.proof.row_ids or self._has_nameless(diff):
            return None
        return How(kind="append", why=f"{why}; rows that left are found by their row ids"), Increment(
            self.changed, note=self._note
        )

    def _has_nameless(self, diff: TableDiff) -> bool:
        """Whether a row that left has no id."""
        if all(file.nameless == 0 for file in (*diff.left, *(now for _, now in diff.thinned))):
            return False
        gone = rows_that_left(self.lake, diff, [ROW_ID])
        return bool(gone.select(pl.col(ROW_ID).null_count()).collect().item())

    @property
    def _disorder(self) -> str:
        """Why no part of the rows tells what all of them do, though it could be computed by itself."""
        shown = self.proof.locality
        return shown.order.reason if shown.row_wise or shown.cuts else ""

    def _cuts(self) -> tuple[Cut, ...]:
        """The columns whose touched values can be computed again, for these changes."""
        if self._disorder and not sliced_by(self.stage):
            return ()
        repaired = {rule.repair.column for rule in self.stage.gate if rule.repair is not None}
        key = self.stage.deduplicate.key if self.stage.deduplicate else None
        found = self.proof.locality.cuts_for({self.first, *self.changed})
        # Rows of one key must meet, and a repaired value is no longer that of the input.
        return tuple(c for c in found if c.column not in repaired and (key is None or c.column in key))

    def _slices(self, cuts: tuple[Cut, ...], why: str) -> tuple[How, Increment | None]:
        if not cuts:
            return self._full(self._unproven())
        kind = "window" if any(cut.column == WINDOW_START for cut in cuts) else "partition"
        proven = f"proven: rows that differ in {_listed(cuts)} never meet"
        told = f"{why}; touched values of {_listed(cuts)} are computed again" if why else proven
        return How(kind=kind, why=told), Increment(self.changed, cuts, self._note)

    def _unproven(self) -> str:
        shown = self.proof.locality
        if self._disorder:
            return self._disorder
        if self.only_first and shown.row_wise:
            return f"rows left {self.first}, and which rows of the table they had become cannot be told"
        if shown.cuts and not self.only_first:
            return f"{self._others()} changed, which it reads whole"
        if self.stage.deduplicate is not None and (shown.row_wise or shown.cuts):
            return "no column of its deduplicate.key comes unchanged from its input"
        return shown.reason or "no column by which its rows stay apart comes unchanged to its table"

    def _others(self) -> str:
        return ", ".join(sorted(self.changed.keys() - {self.first}) or [self.first])

    def _full(self, why: str) -> tuple[How, None]:
        return How(kind="full", why=why), None


def check_declared(stage: Stage, prove: Callable[[], Proof]) -> None:
    """Refuse what is declared of a stage and its plan shows to be wrong.

    Errors: PlanError.
    """
    declared = stage.incremental
    if declared is None or declared == "full" or stage.strategy is not None or stage.partition_by:
        return
    shown = prove().locality
    if declared == "append" and shown.known and not shown.row_wise:
        raise PlanError(
            f"stage {stage.name!r}: incremental: append is for functions that make each row of one row, but {shown.reason}; "
            f"{_instead(shown)}",
            stage=stage.name,
        )
    columns = sliced_by(stage)
    cuts = {cut.column for cut in shown.cuts}
    if wrong := [column for column in columns if column not in cuts]:
        if is_opaque(shown):
            return
        raise PlanError(
            f"stage {stage.name!r}: touched values of {wrong[0]!r} cannot be recomputed by themselves: either rows that "
            f"differ in it meet{f' ({shown.reason})' if shown.reason else ''}, or it does not come unchanged from an input; "
            f"{_instead(shown)}",
            stage=stage.name,
        )


def sliced_by(stage: Stage) -> tuple[str, ...]:
    """The columns that the stage declares to be recomputed by."""
    if isinstance(stage.incremental, SlicesConfig):
        return stage.incremental.by
    if stage.incremental == "window":
        return (WINDOW_START,)
    return stage.storage.partition_by if stage.incremental == "partition" else ()


def is_opaque(shown: Locality) -> bool:
    """Whether the plan says neither that increments are safe nor that they are not."""
    return not (shown.row_wise or shown.cuts or shown.known)


def _instead(shown: Locality) -> str:
    named = sorted({cut.column for cut in shown.cuts})
    if not named:
        return "leave `incremental` out, and it is computed in full"
    return f"its rows stay apart by {', '.join(named)}: say {{by: [{', '.join(named)}]}}, or leave `incremental` out"


def _is_anew(diff: TableDiff) -> bool:
    """Whether hardly anything can stay as it is: 4 million rows, all of them others, took 10 times as long as in full,
    and 6 times the memory."""
    return diff.rows_left > _FEW_ROWS and 2 * diff.rows_left > diff.before.rows


def _about_all(stage: Stage) -> str | None:
    """The rule that is asked of all rows of a batch together."""
    return next((rule.name for rule in stage.gate if rule.scope == "batch"), None)


def _listed(cuts: Iterable[Cut]) -> str:
    return ", ".join(cut.column for cut in cuts)
