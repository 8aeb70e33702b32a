"""Frames with known defects: how flaws are placed, and what is known about them afterwards."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from dataflow.errors import ConfigError, hint
from dataflow.quality.rules import ValidationRule
from dataflow.testing.flaws import Damage, Flaw


@dataclass(frozen=True)
class Defect:
    """A flaw as it was placed."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[int, ...]
    """Positions of the damaged rows, in ascending order: there, and only there, the frame differs."""
    failing: tuple[int, ...]
    """Positions that break the rule: of two rows with one key both, and rows that were broken before."""
    description: str
    rule: ValidationRule

    @property
    def count(self) -> int:
        """How many rows were damaged."""
        return len(self.rows)


@dataclass(frozen=True)
class Sample:
    """A frame, the same frame before it was damaged, and every defect with its place and its rule."""

    frame: pl.DataFrame
    clean: pl.DataFrame
    defects: tuple[Defect, ...]

    @property
    def expected(self) -> dict[str, int]:
        """How many rows each rule must find, by its name."""
        return {defect.rule.name: len(defect.failing) for defect in self.defects}

    def rules(self) -> tuple[ValidationRule, ...]:
        """The rule of every defect, in the order of the defects."""
        return tuple(defect.rule for defect in self.defects)

    def defect(self, name: str) -> Defect:
        """The defect of this name.

        Errors: ConfigError for an unknown one, with the nearest.
        """
        for defect in self.defects:
            if defect.name == name:
                return defect
        raise ConfigError.unknown("defect", name, [defect.name for defect in self.defects])

    def rows_with(self, name: str) -> pl.DataFrame:
        """The damaged rows, as they are in the frame."""
        return self.frame[list(self.defect(name).rows), :]


def with_defects(frame: pl.DataFrame, *flaws: Flaw, seed: int = 0, overlap: bool = False) -> Sample:
    """Damage a frame; the same frame, flaws and seed give the same sample.

    A row gets one defect at most; with ``overlap`` several, but never two in one
    column. Partners of duplicates stay as they are.
    Shape: (n, c) -> (n, c)
    Errors: ConfigError for two flaws of one name, an unknown column, and too few rows that are fit to be damaged.
    """
    _check(frame, flaws)
    damages = [flaw.plan(frame) for flaw in flaws]
    spoiled, taken = frame, dict[str, set[int]]()
    places: list[tuple[int, ...]] = []
    for flaw, damage in zip(flaws, damages, strict=True):
        columns = flaw.columns if overlap else tuple(frame.columns)
        fit = _fit(frame, flaw, damage, set[int]().union(*(taken.get(name, ()) for name in columns)))
        drawn = random.Random(f"{seed}:{flaw.name}").sample(range(fit.len()), flaw.count * (1 + damage.partners))
        chosen = fit.gather(drawn).to_list()
        rows, partners = sorted(chosen[: flaw.count]), chosen[flaw.count :]
        if rows:
            spoiled = _replaced(spoiled, rows, damage.spoil(spoiled[rows, :], spoiled[partners, :]))
        for name in columns:
            taken.setdefault(name, set()).update(chosen)
        places.append(tuple(rows))
    defects = [
        Defect(
            flaw.name,
            flaw.columns,
            rows,
            tuple(_where(spoiled, damage.broken)),
            flaw.description,
            ValidationRule(flaw.name, **damage.rule),
        )
        for flaw, damage, rows in zip(flaws, damages, places, strict=True)
    ]
    return Sample(spoiled, frame, tuple(defects))


def _check(frame: pl.DataFrame, flaws: Sequence[Flaw]) -> None:
    names = [flaw.name for flaw in flaws]
    for flaw in flaws:
        if names.count(flaw.name) > 1:
            raise ConfigError(f"two flaws are named {flaw.name!r}; call one .named(…)", name=flaw.name)
        for column in flaw.columns:
            if column not in frame.columns:
                raise ConfigError(
                    f"flaw {flaw.name!r}: unknown column {column!r}{hint(column, frame.columns)}", column=column
                )


def _fit(frame: pl.DataFrame, flaw: Flaw, damage: Damage, taken: set[int]) -> pl.Series:
    """The positions that can be damaged."""
    known = pl.all_horizontal(pl.col(name).is_not_null() for name in flaw.columns)
    sound = ~damage.broken.fill_null(value=False)
    fit = _where(frame, known & sound & damage.suits)
    fit = fit.filter(~fit.is_in(list(taken)))
    if fit.len() < (needed := flaw.count * (1 + damage.partners)):
        partners = ", each with another that stays as it is" if damage.partners else ""
        raise ConfigError(
            f"flaw {flaw.name!r} is to damage {flaw.count} rows{partners}, but of {frame.height} only {fit.len()} are fit "
            f"(with values in {', '.join(flaw.columns)}, sound, and in no other defect); ask for fewer, or give more rows",
            name=flaw.name,
            fit=fit.len(),
            needed=needed,
        )
    return fit


def _where(frame: pl.DataFrame, condition: pl.Expr) -> pl.Series:
    return frame.select(pl.arg_where(condition.fill_null(value=False))).to_series()


def _replaced(frame: pl.DataFrame, positions: Sequence[int], rows: pl.DataFrame) -> pl.DataFrame:
    """The frame with ``rows`` at ``positions``, which ascend."""
    replacement = pl.int_range(frame.height, frame.height + rows.height, eager=True)
    sources = pl.int_range(frame.height, eager=True).scatter(list(positions), replacement)
    return pl.concat([frame, rows])[sources, :]
