"""A gate without a lake: a frame before rules, and where its rows would go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from dataflow.model import Verdict
from dataflow.quality.batch import Batch, FileFacts, Files
from dataflow.quality.gate import audit
from dataflow.quality.routes import QuarantineLimit
from dataflow.quality.routing import route_rows
from dataflow.quality.rules import ValidationRule


@dataclass(frozen=True)
class GateRun:
    """What a gate said about a frame, and what it did to its rows."""

    verdict: Verdict
    good: pl.DataFrame
    """The rows that would be published, were the batch not refused; repaired ones among them."""
    quarantined: pl.DataFrame
    """The rows that were set aside, as they were, with every rule that they broke; empty where there are none."""
    dropped: pl.DataFrame
    repaired: pl.DataFrame
    """Rows of ``good`` that a repair has changed, as they were."""

    @property
    def failed(self) -> dict[str, int]:
        """How many rows broke each rule, by its name."""
        return {result.rule: result.failed for result in self.verdict.results}


def run_gate(
    frame: pl.DataFrame | pl.LazyFrame,
    rules: Sequence[ValidationRule],
    *,
    stage: str = "sample",
    limit: QuarantineLimit | None = None,
    table: pl.DataFrame | None = None,
    references: Mapping[str, pl.DataFrame] | None = None,
) -> GateRun:
    """Put a frame before rules, as an engine does.

    ``table`` are the rows that are published already, for rules about the table; ``references`` the tables that
    rules refer to.
    Errors: ConfigError for two rules of one name, and for a repair that cannot be made.
    Example:
        >>> rule = ValidationRule("positive", "amount > 0")
        >>> run = run_gate(pl.DataFrame({"amount": [3, -1, 4]}), [rule])
        >>> run.verdict.outcome, run.good["amount"].to_list(), run.quarantined["_rules"].to_list()
        ('quarantined', [3, 4], [['positive']])
    """
    others = {name: other.lazy() for name, other in (references or {}).items()}
    routed = route_rows(frame.lazy(), rules, at=datetime.now(UTC), references=others)
    parts = (routed.good, routed.quarantined, routed.dropped, routed.repaired)
    good, quarantined, dropped, repaired = pl.collect_all([pl.LazyFrame() if p is None else p for p in parts])
    batch = Batch(
        _files(good),
        _files(quarantined) if routed.quarantined is not None else None,
        _files(dropped) if routed.dropped is not None else None,
        _files(repaired) if routed.repaired is not None else None,
        kept=None if table is None else _files(table),
        references=others,
    )
    verdict = audit(batch, rules, stage=stage, batch_id=f"{stage}.0.0", digest="", limit=limit)
    return GateRun(verdict, good, quarantined, dropped, repaired)


def _files(frame: pl.DataFrame) -> Files:
    """A frame as files whose statistics say nothing."""
    return Files((FileFacts("frame", frame.height),), lambda _: frame.lazy())
