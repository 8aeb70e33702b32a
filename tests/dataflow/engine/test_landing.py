"""What of an item cannot be read is set aside with its reason; the rest is landed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pytest

from dataflow import Chosen, ConfigError, Engine, Item, RunReport, Source, SourceCorrupt, Workflow
from dataflow.lake.lake import Lake
from dataflow.model import Frozen
from dataflow.sources import BROKEN, LINE, RAW, source_types
from tests.dataflow.engine.made import Made, done, failed

SCHEMA = pl.Schema({"id": pl.Int64(), "name": pl.String()})


class LinesConfig(Frozen):
    """A folder of text files."""

    folder: str
    saves: bool = True
    checks: bool = False


class Lines(Source):
    """``id=name`` a line; what is else is broken. Reads strictly first, forgivingly when asked to."""

    Config: ClassVar[type[Frozen]] = LinesConfig

    def __init__(self, name: str, config: Any) -> None:
        self.config = config

    def items(self) -> Sequence[Item]:
        paths = sorted(Path(self.config.folder).glob("*.txt"))
        return [Item(name=str(p), size_bytes=p.stat().st_size, modified_at=p.stat().st_mtime) for p in paths]

    def content_hash(self, item: Item) -> str:
        return Path(item.name).read_text()

    @property
    def fingerprint(self) -> str:
        return "lines"

    def contract(self, items: Sequence[Item], held: pl.Schema | None) -> pl.Schema:
        return SCHEMA

    def scan(self, item: Item, schema: pl.Schema, *, row_index: str) -> pl.LazyFrame:
        parts = pl.scan_lines(item.name).select(pl.col("line").str.split_exact("=", 1).struct.unnest())
        typed = parts.select(
            pl.col("field_0").cast(pl.Int64, strict=not self.config.checks).alias("id"), name="field_1"
        )
        return typed.with_row_index(row_index)

    def verify(self, item: Item, nulls: Collection[str]) -> None:
        if self.config.checks and "id" in nulls:
            raise SourceCorrupt(f"{item.name} has lines without a number", source="lines")

    def salvage(self, item: Item, schema: pl.Schema, *, row_index: str) -> pl.LazyFrame | None:
        if not self.config.saves:
            return None
        rows = []
        for number, line in enumerate(Path(item.name).read_text().splitlines()):
            left, _, right = line.partition("=")
            why = None if left.isdigit() else "its number is none"
            rows.append((number, int(left) if why is None else None, right or None, why, number + 1, line))
        names = [row_index, *schema, BROKEN, LINE, RAW]
        types = [pl.UInt32(), *schema.dtypes(), pl.String(), pl.Int64(), pl.String()]
        return pl.LazyFrame(rows, schema=dict(zip(names, types, strict=True)), orient="row")

    def notes(self, items: Sequence[Item]) -> Sequence[str]:
        return [f"{len(items)} read"]


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(source_types._types, "lines", Lines)


def land(
    made: Made, files: dict[str, str], *, gate: Sequence[Any] = (), limit: Any = None, **options: Any
) -> RunReport:
    return made.run(declared(made, files, gate=gate, limit=limit, **options))


def declared(
    made: Made, files: dict[str, str], *, gate: Sequence[Any] = (), limit: Any = None, **options: Any
) -> Workflow:
    folder = made.root / "lines"
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    workflow = made.workflow()
    source = {"type": "lines", "folder": str(folder), "gate": list(gate), "quarantine_limit": limit, **options}
    workflow.add_source("names", {**source, "retry": {"attempts": 1}})
    return workflow


@pytest.mark.parametrize("checks", [False, True], ids=["the scan fails", "the look afterwards fails"])
def test_a_broken_line_costs_that_line(made: Made, checks: bool) -> None:
    report = done(land(made, {"a.txt": "1=ann\nxx\n3=cid", "b.txt": "4=dan"}, checks=checks))
    stage = report.stage("names")
    aside = made.frame("names__quarantine")

    assert [(1, "ann"), (3, "cid"), (4, "dan")] == made.rows("names", "id", "name")
    assert [("its number is none", 2, "xx", ["readable"])] == aside.select("_reason", LINE, RAW, "_rules").rows()
    assert [str(made.root / "lines/a.txt")] == aside["_source_file"].to_list()
    assert (4, 1, 3) == (stage.counts.read, stage.counts.quarantined, stage.counts.published)
    told = "a.txt: 1 row could not be read; names__quarantine tells line and reason"
    assert ("2 read", told) == stage.notes
    assert BROKEN not in made.frame("names").columns


def test_no_rule_is_asked_of_what_could_not_be_read(made: Made) -> None:
    known = {"name": "known", "predicate": "id IS NOT NULL"}
    named = {"name": "named", "predicate": "name IS NOT NULL", "on_fail": "quarantine"}
    stage = done(land(made, {"a.txt": "1=ann\nxx\n3="}, gate=[known, named])).stage("names")
    assert stage.verdict is not None
    aside = made.frame("names__quarantine").sort("_line", nulls_last=True)

    assert [("known", True, 2, 0), ("named", False, 2, 1)] == [
        (r.rule, r.success, r.checked, r.failed) for r in stage.verdict.results
    ]
    assert [(2, "xx", ["readable"]), (None, None, ["named"])] == aside.select(LINE, RAW, "_rules").rows()
    assert 2 == aside["_quarantine_id"].n_unique()


def test_a_limit_counts_them(made: Made) -> None:
    report = land(made, {"a.txt": "1=ann\nxx\nyy"}, limit={"rows": 1})

    assert "rejected" == report.state
    assert "quarantine_limit (2" in report.stage("names").reason


def test_what_nothing_can_be_saved_of_fails_the_stage(made: Made) -> None:
    told = failed(land(made, {"a.txt": "1=ann\nxx"}, saves=False), "names")

    assert "a.txt cannot be read" in told
    assert not (made.lake / "names" / "_delta_log").exists()
    # A plan that failed may still open a file; what it left goes with the next run.
    done(land(made, {"a.txt": "1=ann"}))
    there = {str(place.relative_to(made.lake / "names")) for place in (made.lake / "names").rglob("*.parquet")}
    assert Lake(made.lake).logged("names") == there


def test_a_file_that_is_mended_replaces_what_was_set_aside(made: Made) -> None:
    done(land(made, {"a.txt": "1=ann\nxx"}))
    done(land(made, {"a.txt": "1=ann\n22=bob"}))

    assert [(1, "ann"), (22, "bob")] == made.rows("names", "id", "name")
    assert 0 == made.frame("names__quarantine").height


def test_broken_lines_are_sent_again_once_somebody_filled_them_in(made: Made, tmp_path: Path) -> None:
    workflow = declared(made, {"a.txt": "1=ann\nxx"})
    done(made.run(workflow))
    engine = Engine(runner="inline")
    plain = engine.replay(workflow, "names")
    with pytest.raises(ConfigError, match="rows that could not be read have no values to send; export them"):
        engine.replay(workflow, "names", Chosen(rules=("readable",)))
    edited = tmp_path / "edited.parquet"
    name = pl.col("_raw").alias("name")
    engine.quarantined(workflow, "names").with_columns(id=pl.lit(2), name=name).collect().write_parquet(edited)
    mended = done(engine.replay(workflow, "names", Chosen(edited=str(edited))))

    assert "skipped" == plain.state
    assert "0 quarantined rows sent again; 1 row could not be read" in plain.stage("names").reason
    assert [(1, "ann"), (2, "xx")] == made.rows("names", "id", "name")
    assert 0 == made.frame("names__quarantine").height
    assert 1 == mended.stage("names").counts.published
