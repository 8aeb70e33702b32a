"""What a strategy says becomes files: rows that come, rows that go, rows that are kept beside the table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import polars as pl
import pytest

from dataflow import ConfigError, Engine, Workflow
from dataflow.dedup import REASON, TABLE_ROW, Settled, Strategy, strategy_types
from dataflow.model import Frozen
from tests.dataflow.engine.made import Made, done, failed


class NewestConfig(Frozen):
    """Options of ``newest``."""

    key: str
    fault: Literal["", "loses", "twice", "no such row", "below zero"] = ""
    overwrites: bool = False


class Newest(Strategy):
    """One row per key: what comes later is newer. As plain as it can be, and wrong where it is told to be."""

    Config: ClassVar[type[Frozen]] = NewestConfig

    def __init__(self, config: Any) -> None:
        self.config = config

    @property
    def columns(self) -> Mapping[str, Sequence[str]]:
        return {"key": (self.config.key,)}

    @property
    def unique_by(self) -> tuple[str, ...]:
        return (self.config.key,)

    @property
    def rules(self) -> Sequence[Mapping[str, Any]]:
        return [{"name": "key_is_known", "predicate": f"{self.config.key} IS NOT NULL", "on_fail": "quarantine"}]

    def derive(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        return rows.with_columns(initial=pl.col("name").str.head(1))

    def settle(self, rows: pl.LazyFrame, table: pl.LazyFrame | None, everything: Callable[[], pl.LazyFrame]) -> Settled:
        key = self.config.key
        shadowed = pl.col(key).is_duplicated() & ~pl.col(key).is_last_distinct()
        added = rows.filter(~shadowed)
        dropped = rows.filter(shadowed).select(pl.exclude("initial"), pl.lit("older").alias(REASON))
        if self.config.fault == "loses":
            return Settled(added)
        told = (f"{everything().select(pl.len()).collect().item()} rows were ever given",)
        if table is None:
            return Settled(added, dropped, notes=told)
        if self.config.overwrites:
            rest = table.join(added, on=key, how="anti").drop(TABLE_ROW)
            return Settled(added, dropped, rewritten=rest, overwrites=True, notes=told)
        gone = table.join(added, on=key, how="semi")
        if self.config.fault == "twice":
            gone = pl.concat([gone, gone])
        if self.config.fault == "no such row":
            gone = gone.with_columns(pl.col(TABLE_ROW) + 100)
        if self.config.fault == "below zero":
            gone = gone.with_columns(pl.col(TABLE_ROW).cast(pl.Int64) - 100)
        return Settled(added, dropped, gone, notes=told)


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    # Into the registry's own dict: a strategy that is imported meanwhile stays known.
    monkeypatch.setitem(strategy_types._types, "newest", Newest)


def workflow(made: Made, function: Any = None, *, gate: Sequence[Any] = (), **options: Any) -> Workflow:
    declared = made.workflow()
    made.source(declared, "people")
    strategy = {"type": "newest", "key": "id", **options}
    declared.add_task("newest", function, ["people"], strategy=strategy, gate=gate, retry={"attempts": 1})
    return declared


def deliver(made: Made, name: str, *rows: str) -> None:
    made.csv(f"people/{name}", "id,name", rows)


@pytest.mark.parametrize("overwrites", [False, True])
def test_only_what_is_new_is_settled(made: Made, overwrites: bool) -> None:
    declared = workflow(made, overwrites=overwrites)
    deliver(made, "1.csv", "1,ann", "2,bob", "1,anna")
    first = done(made.run(declared)).stage("newest")
    deliver(made, "2.csv", "2,bert", "3,cid")
    second = done(made.run(declared)).stage("newest")
    landed = made.frame("people").select("_row_id", "id", "name")
    dropped = made.frame("newest__duplicates").join(landed, on=["_row_id", "id", "name"]).select("id", "name", REASON)

    assert [("1", "anna", "a"), ("2", "bert", "b"), ("3", "cid", "c")] == made.rows("newest", "id", "name", "initial")
    assert [("1", "ann", "older")] == dropped.rows()
    assert (3, 1, 2) == (first.counts.read, first.counts.deduplicated, first.counts.published)
    assert (2, 0, 2) == (second.counts.read, second.counts.deduplicated, second.counts.published)
    inserted, updated = (2, 0) if overwrites else (1, 1)
    assert (inserted, updated, 1) == (second.counts.inserted, second.counts.updated, second.counts.unchanged)
    assert (("3 rows were ever given",), ("5 rows were ever given",)) == (first.notes, second.notes)
    assert "skipped" == made.run(declared).state


def test_rows_keep_their_ids_and_only_touched_files_are_rewritten(made: Made) -> None:
    declared = workflow(made)
    for name, row in (("1.csv", "1,ann"), ("2.csv", "2,bob"), ("3.csv", "1,anna")):
        deliver(made, name, row)
        done(made.run(declared))
    landed = made.frame("people").select("_row_id", "id", "name")

    assert 2 == made.frame("newest").join(landed, on=["_row_id", "id", "name"]).height
    assert 2 == made.frame("newest")["_batch_id"].n_unique()


@pytest.mark.parametrize("replaced", [False, True], ids=["in full", "a file that was landed comes back changed"])
def test_anew_is_as_in_one_batch(made: Made, replaced: bool) -> None:
    declared = workflow(made)
    deliver(made, "1.csv", "1,ann", "2,bob")
    done(made.run(declared))
    deliver(made, "2.csv", "2,bert")
    done(made.run(declared))
    if replaced:
        deliver(made, "1.csv", "1,anna", "4,dan")
    done(made.run(declared, incremental=replaced))

    expected = [("1", "anna"), ("2", "bert"), ("4", "dan")] if replaced else [("1", "ann"), ("2", "bert")]
    assert expected == made.rows("newest", "id", "name")


def test_with_a_function_of_its_own_the_rows_are_computed_once(made: Made) -> None:
    seen: list[int] = []

    def shout(people: pl.LazyFrame) -> pl.LazyFrame:
        def look(name: pl.Series) -> pl.Series:
            seen.append(name.len())
            return name.str.to_uppercase()

        return people.with_columns(pl.col("name").map_batches(look, return_dtype=pl.String, is_elementwise=True))

    deliver(made, "1.csv", "1,ann", "2,bob", "1,anna")
    done(made.run(workflow(made, shout)))

    assert 3 == sum(seen)
    assert [("1", "ANNA"), ("2", "BOB")] == made.rows("newest", "id", "name")
    assert 1 == len(list((made.lake / "newest").glob("*.parquet")))


def test_its_rules_come_before_those_of_the_gate(made: Made) -> None:
    gate = [{"name": "short", "predicate": "LENGTH(name) < 4", "on_fail": "quarantine"}]
    declared = workflow(made, gate=gate)
    deliver(made, "1.csv", "1,ann", ",bob", "3,christopher")
    stage = done(made.run(declared)).stage("newest")
    assert stage.verdict is not None

    assert ["key_is_known", "short"] == [r.rule for r in stage.verdict.results]
    assert 2 == stage.counts.quarantined
    assert [("1", "ann")] == made.rows("newest", "id", "name")


def test_rows_that_were_set_aside_are_settled_when_they_are_sent_again(made: Made) -> None:
    gate = [{"name": "short", "predicate": "LENGTH(name) < 4", "on_fail": "quarantine"}]
    deliver(made, "1.csv", "1,ann", "2,christopher")
    done(made.run(workflow(made, gate=gate)))
    deliver(made, "2.csv", "2,bob")
    done(made.run(workflow(made, gate=gate)))
    report = done(Engine(runner="inline").replay(workflow(made), "newest"))

    assert [("1", "ann"), ("2", "christopher")] == made.rows("newest", "id", "name")
    assert 1 == report.stage("newest").counts.updated


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (
            "loses",
            "strategy 'newest' was given 3 rows, of which it added 2 and dropped 0; nothing of them is published",
        ),
        (
            "twice",
            "strategy 'newest' replaces 2 rows, of which 1 are told twice or are not in the table; nothing is published",
        ),
        (
            "no such row",
            "strategy 'newest' replaces 1 rows, of which 1 are told twice or are not in the table; nothing is published",
        ),
        (
            "below zero",
            "strategy 'newest' replaces 1 rows, of which 1 are told twice or are not in the table; nothing is published",
        ),
    ],
)
def test_a_strategy_that_is_wrong_publishes_nothing(made: Made, fault: str, told: str) -> None:
    deliver(made, "1.csv", "1,ann", "2,bob", "3,bert")
    done(made.run(workflow(made)))
    before = made.version("newest")
    deliver(made, "2.csv", "2,bo", "4,dan", "4,dane")
    report = made.run(workflow(made, fault=fault))

    if fault == "loses":
        # Another option is another stage: it is computed anew, from five or six rows.
        told = told.replace("given 3", "given 6").replace("added 2", "added 4")
    else:
        assert "completed" == report.state  # computed anew: nothing to replace
        deliver(made, "3.csv", "2,bobby")
        report = made.run(workflow(made, fault=fault))
    assert told in failed(report, "newest")
    assert before + (fault != "loses") == made.version("newest")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"strategy": "newes"}, "task 'x': strategy.type: unknown strategy 'newes'; did you mean 'newest'?"),
        ({"strategy": {"type": "newest"}}, "task 'x': strategy.key: is missing; it is required"),
        (
            {"strategy": {"type": "newest", "key": "id", "kee": 1}},
            "task 'x': strategy.kee: unknown key; did you mean 'key'?",
        ),
        ({}, "task 'x': function: is missing; a stage needs a function, a strategy, or both"),
        ({"strategy": {"type": "newest", "key": "id"}, "depends_on": None}, "task 'x': depends_on: is missing"),
        (
            {"strategy": {"type": "newest", "key": "id"}, "window": {"window_size": "1 day"}},
            "strategy: settles new rows with the whole table, which does not go together with window; leave one of them out",
        ),
    ],
)
def test_a_declaration_that_is_wrong_says_where(made: Made, given: dict[str, Any], told: str) -> None:
    declared = made.workflow()
    made.source(declared, "people")

    def declare() -> Any:
        declared.add_task("x", **{"depends_on": ["people"], **given})
        return declared.stages

    with pytest.raises(ConfigError) as error:
        declare()

    assert told in str(error.value)


def test_a_column_that_it_names_must_be_there(made: Made) -> None:
    deliver(made, "1.csv", "1,ann")
    told = failed(made.run(workflow(made, key="idd")), "newest")

    assert "stage 'newest': strategy.key names 'idd', which its function does not return; did you mean 'id'?" in told


@pytest.mark.parametrize("column", [TABLE_ROW, REASON])
def test_a_name_that_strategies_keep_for_themselves_is_refused(made: Made, column: str) -> None:
    deliver(made, "1.csv", "1,ann")
    declared = workflow(made, lambda people: people.with_columns(pl.lit("x").alias(column)))

    assert f"its rows have a column {column!r}, a name that strategies keep" in failed(made.run(declared), "newest")


def test_what_retells_personal_values_shows_them_nowhere_either(made: Made) -> None:
    declared = made.workflow()
    made.source(declared, "people", pii=["born"])
    strategy = {"type": "scd2", "key": ["id"], "effective_at": "born"}
    declared.add_task("history", depends_on=["people"], strategy=strategy, pii=["born"])
    made.csv("people/1.csv", "id,born", ["1,1961-04-12", "2,1961-05-05"])
    done(made.run(declared))

    told = [name for name, content in made.files().items() if not name.endswith(".parquet") and b"1961-0" in content]
    assert [] == told


def day_first(born: pl.Expr) -> pl.Expr:
    return born.str.replace(r"^(\d\d)\.(\d\d)\.(\d{4})$", "${3}-${2}-${1}")


@pytest.mark.parametrize("strategy", [{"type": "eager_dedup"}, {"type": "scd2", "key": ["id"], "effective_at": "born"}])
def test_what_a_strategy_derives_is_derived_from_what_the_gate_repaired(made: Made, strategy: dict[str, Any]) -> None:
    repair = {"column": "born", "function": f"{__name__}:day_first"}
    gate = [{"name": "iso", "predicate": "born NOT LIKE '%.%'", "on_fail": {"repair": repair}}]
    declared = made.workflow()
    made.source(declared, "people")
    declared.add_task("kept", depends_on=["people"], strategy=strategy, gate=gate)
    made.csv("people/1.csv", "id,born", ["1,1961-04-12", "1,12.04.1961", "2,05.05.1961"])
    first = done(made.run(declared)).stage("kept")
    made.csv("people/2.csv", "id,born", ["2,05.05.1961"])
    second = done(made.run(declared)).stage("kept")

    assert [("1", "1961-04-12"), ("2", "1961-05-05")] == made.rows("kept", "id", "born")
    assert (3, 1, 2, 2) == (first.counts.read, first.counts.deduplicated, first.counts.published, first.counts.repaired)
    assert (1, 1, 0) == (second.counts.read, second.counts.deduplicated, second.counts.published)
