"""Where the rows of a stage went."""

from __future__ import annotations

from dataflow.model.values import Frozen


class RowCounts(Frozen):
    """Where the rows of a stage went. Every term is counted where it happens.

    ``read + fan_out = late + filtered + produced`` for row-wise stages,
    ``read = late + aggregated`` where rows are grouped, and in both
    ``produced = deduplicated + quarantined + dropped + published``.
    Merges and other increments add what the publication did to the table's rows: those that go are updated as far as
    others come in their place, and deleted beyond; ``repaired`` are those of the
    published rows that a repair made good.
    """

    read: int = 0
    late: int = 0
    filtered: int = 0
    fan_out: int = 0
    aggregated: int = 0
    produced: int = 0
    deduplicated: int = 0
    quarantined: int = 0
    dropped: int = 0
    published: int = 0
    repaired: int = 0
    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    unchanged: int = 0

    def __add__(self, other: RowCounts) -> RowCounts:
        return RowCounts(**{n: getattr(self, n) + getattr(other, n) for n in RowCounts.model_fields})

    @property
    def imbalance(self) -> str | None:
        """The equation that does not hold, in words; None when the books balance."""
        entered, word = (self.aggregated, "aggregated") if self.aggregated else (self.produced, "produced")
        if self.read + self.fan_out != self.late + self.filtered + entered:
            return (
                f"read {self.read} + fan-out {self.fan_out} ≠ "
                f"late {self.late} + filtered {self.filtered} + {word} {entered}"
            )
        if self.produced != self.deduplicated + self.quarantined + self.dropped + self.published:
            return (
                f"produced {self.produced} ≠ deduplicated {self.deduplicated} + quarantined {self.quarantined} + "
                f"dropped {self.dropped} + published {self.published}"
            )
        return None
