"""Quarantined rows sent through their stage again: once, with balanced books and a trace to what they were."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from deltalake import DeltaTable

from dataflow import Chosen, ConfigError, Engine, QuarantineLimit, RunReport, ValidationRule, Workflow
from dataflow.lake.seams import Seam
from tests.dataflow.engine.made import Made, done, failed, nonzero
from tests.faults.harness import Fault, injected

POSITIVE = ValidationRule("positive", "amount > 0")
SMALL = ValidationRule("small", "amount < 100")


def typed(orders: pl.LazyFrame) -> pl.LazyFrame:
    return orders.with_columns(pl.col("amount").cast(pl.Int64))


def gated(made: Made, *rules: Any, **options: Any) -> Workflow:
    workflow = made.workflow()
    month: dict[str, Any] = {"partition_by": ["month"]}
    made.source(workflow, "orders", storage=month)
    workflow.add_task("clean", typed, ["orders"], gate=rules or (POSITIVE, SMALL), storage=month, **month, **options)
    workflow.add_task("below", lambda clean: clean, ["clean"])
    return workflow


def deliver(made: Made, month: int, *amounts: int) -> None:
    rows = [f"{month},{number},{amount}" for number, amount in enumerate(amounts)]
    made.csv(f"orders/{month}.csv", "month,id,amount", rows)


def replay(workflow: Workflow, **chosen: Any) -> RunReport:
    return Engine(runner="inline").replay(workflow, "clean", Chosen(**chosen))


def edited(made: Made, name: str = "edited.csv", **values: Any) -> str:
    """An edited export of the whole quarantine."""
    frame = made.frame("clean__quarantine").select("_quarantine_id", *values).with_columns(**values)
    path = made.root / name
    {".csv": frame.write_csv, ".parquet": frame.write_parquet, ".jsonl": frame.write_ndjson}[path.suffix](path)
    return str(path)


@pytest.mark.parametrize("name", ["edited.csv", "edited.parquet", "edited.jsonl"])
def test_edited_rows_are_published_and_leave_the_quarantine(made: Made, name: str):
    deliver(made, 1, 5, -1, 700, 6)
    deliver(made, 2, -800, 7)
    workflow = gated(made)
    done(made.run(workflow))
    aside = made.frame("clean__quarantine").sort("_row_id")

    report = done(replay(workflow, edited=edited(made, name, amount=pl.lit(50)))).stage("clean")

    assert {"read": 3, "produced": 3, "published": 3} == nonzero(report)
    assert [(5,), (50,), (50,), (50,), (6,), (7,)] == made.rows("clean", "amount")
    assert 0 == made.frame("clean__quarantine").height
    fixed = made.frame("clean").filter(amount=50).sort("_row_id")
    assert aside["_row_id"].to_list() == fixed["_row_id"].to_list()
    assert {"clean.0.2"} == set(fixed["_batch_id"])
    ledger = made.frame("clean__replayed").sort("_row_id")
    assert aside.equals(ledger.select(aside.columns))
    assert {"clean.0.2"} == set(ledger["_replayed_in"])


def test_rows_that_fail_again_stay_in_quarantine_with_the_new_batch(made: Made):
    deliver(made, 1, 5, -1, 700)
    workflow = gated(made)
    done(made.run(workflow))

    report = done(replay(workflow)).stage("clean")

    assert {"read": 2, "produced": 2, "quarantined": 2} == nonzero(report)
    assert [("clean.0.2", ["positive"]), ("clean.0.2", ["small"])] == made.rows(
        "clean__quarantine", "_batch_id", "_rules"
    )
    assert 2 == made.frame("clean__replayed").height


def test_rows_are_chosen_by_rule_by_batch_and_by_what_they_are(made: Made):
    deliver(made, 1, -1, 700, -2)
    workflow = gated(made)
    done(made.run(workflow))
    deliver(made, 2, -3)
    done(made.run(workflow))

    def sent(**chosen: Any) -> list[int]:
        return sorted(Engine(runner="inline").quarantined(workflow, "clean", Chosen(**chosen)).collect()["amount"])

    assert [-3, -2, -1, 700] == sent()
    assert [-3, -2, -1] == sent(rules=("positive",))
    assert [-3, -2, -1, 700] == sent(rules=("positive", "small"))
    assert [-2, -1, 700] == sent(batches=("clean.0.1",))
    assert [-2, -1] == sent(rules=("positive",), batches=("clean.0.1",))
    assert [-2] == sent(where="month = '1' AND amount = -2")

    done(replay(workflow, where="amount = -2"))

    assert [-3, -1, 700] == sent(batches=("clean.0.1", "clean.0.2"))
    assert [-2] == sent(batches=("clean.0.3",))


def test_nothing_chosen_is_nothing_done(made: Made):
    deliver(made, 1, 5, -1)
    workflow = gated(made)
    done(made.run(workflow))
    before = made.version("clean")

    report = replay(workflow, where="amount = 17")

    assert "skipped" == report.state
    assert "0 quarantined rows sent again" == report.stage("clean").reason
    assert before == made.version("clean")


def test_a_row_is_sent_once(made: Made):
    deliver(made, 1, 5, -1)
    workflow = gated(made)
    done(made.run(workflow))
    path = edited(made, amount=pl.lit(50))
    done(replay(workflow, edited=path))

    with pytest.raises(
        ConfigError,
        match=r"1 rows are not in the quarantine of 'clean', clean.0.1/\w+/0 among them: it was sent again in batch clean.0.2",
    ):
        replay(workflow, edited=path)

    assert [(5,), (50,)] == made.rows("clean", "amount")


def test_what_was_sent_is_not_taken_for_new_input_and_goes_downstream(made: Made):
    deliver(made, 1, 5, -1)
    workflow = gated(made)
    done(made.run(workflow))
    done(replay(workflow, edited=edited(made, amount=pl.lit(50))))

    report = done(made.run(workflow))

    assert "skipped" == report.stage("clean").state
    assert [(5,), (50,)] == made.rows("below", "amount")
    assert "skipped" == made.run(workflow).state


def test_a_unit_that_is_computed_anew_takes_the_place_of_what_was_sent(made: Made):
    deliver(made, 1, 5, -1)
    deliver(made, 2, 6)
    workflow = gated(made)
    done(made.run(workflow))
    done(replay(workflow, edited=edited(made, amount=pl.lit(50))))
    deliver(made, 1, 5, 51)

    done(made.run(workflow))

    assert [(5,), (51,), (6,)] == made.rows("clean", "amount")
    assert 1 == made.frame("clean__replayed").height


def test_a_row_whose_key_was_published_meanwhile_is_a_duplicate(made: Made):
    deliver(made, 1, 5, -1)
    workflow = gated(made, deduplicate={"key": ["month", "amount"]})
    done(made.run(workflow))

    report = done(replay(workflow, edited=edited(made, amount=pl.lit(5)))).stage("clean")

    assert {"read": 1, "produced": 1, "deduplicated": 1} == nonzero(report)
    assert [(5,)] == made.rows("clean", "amount")
    assert [(5,)] == made.rows("clean__duplicates", "amount")


def test_rows_that_become_one_are_one(made: Made):
    deliver(made, 1, 5, -1, -2)
    workflow = gated(made, deduplicate={"key": ["month", "amount"]})
    done(made.run(workflow))

    report = done(replay(workflow, edited=edited(made, amount=pl.lit(9)))).stage("clean")

    assert {"read": 2, "produced": 2, "deduplicated": 1, "published": 1} == nonzero(report)
    assert [(5,), (9,)] == made.rows("clean", "amount")


def test_a_merge_takes_the_newer_row(made: Made):
    workflow = made.workflow()
    made.source(workflow, "orders")
    merge = {"key_columns": ["id"], "timestamp_column": "month"}
    workflow.add_task("clean", typed, ["orders"], gate=(POSITIVE,), incremental=merge)
    deliver(made, 1, 5, 6)
    done(made.run(workflow))
    deliver(made, 2, -7, -8, -9)
    done(made.run(workflow))

    report = done(replay(workflow, edited=edited(made, amount=pl.col("amount").abs()))).stage("clean")

    assert {"read": 3, "produced": 3, "published": 3, "inserted": 1, "updated": 2} == nonzero(report)
    assert [("0", 7), ("1", 8), ("2", 9)] == made.rows("clean", "id", "amount")


def test_rows_of_a_source_are_sent_again_too(made: Made):
    workflow = made.workflow()
    made.source(workflow, "orders", gate=[{"name": "amount_is_there", "predicate": "amount IS NOT NULL"}])
    made.csv("orders/1.csv", "id,amount", ["1,5", "2,", "3,7"])
    done(made.run(workflow))
    path = made.root / "edited.csv"
    made.frame("orders__quarantine").select("_quarantine_id", amount=pl.lit("6")).write_csv(path)

    report = done(Engine(runner="inline").replay(workflow, "orders", Chosen(edited=str(path))))

    assert {"read": 1, "produced": 1, "published": 1} == nonzero(report.stage("orders"))
    assert [("1", "5"), ("2", "6"), ("3", "7")] == made.rows("orders", "id", "amount")
    assert "skipped" == made.run(workflow).state


def test_a_refused_replay_changes_nothing(made: Made):
    deliver(made, 1, 5, -1)
    unique = {"type": "expect_column_values_to_be_unique", "column": "amount"}
    workflow = gated(made, POSITIVE, ValidationRule("unique", expectation=unique, scope="table"))
    done(made.run(workflow))

    report = replay(workflow, edited=edited(made, amount=pl.lit(5)))

    assert "rejected" == report.state
    assert "unique (1 of 1 row)" in report.reason
    assert [(-1,)] == made.rows("clean__quarantine", "amount")
    assert not (made.lake / "clean__replayed" / "_delta_log").exists()
    done(replay(workflow, edited=edited(made, amount=pl.lit(3))))
    assert [(3,), (5,)] == made.rows("clean", "amount")


def test_what_is_asked_of_a_delivery_is_not_asked_of_a_few_rows(made: Made):
    deliver(made, 1, 5, 6, -1)
    count = {"type": "expect_table_row_count_to_be_between", "min_value": 2}
    unique = {"type": "expect_column_values_to_be_unique", "column": "amount"}
    rules = (POSITIVE, ValidationRule("enough", expectation=count), ValidationRule("unique", expectation=unique))
    workflow = gated(made, *rules, quarantine_limit=QuarantineLimit(share=0.5))
    done(made.run(workflow))

    report = done(replay(workflow)).stage("clean")

    assert report.verdict is not None
    assert ["positive", "unique"] == [result.rule for result in report.verdict.results]
    assert 1 == report.counts.quarantined


def test_lineage_leads_to_the_quarantine(made: Made):
    deliver(made, 1, 5, -1)
    workflow = gated(made)
    done(made.run(workflow))

    report = done(replay(workflow, edited=edited(made, amount=pl.lit(3))))

    (edge,) = report.lineage
    assert [("clean__quarantine", 0)] == [(v.table, v.version) for v in edge.inputs]
    assert {"clean__quarantine", "clean__replayed", "clean"} == {v.table for v in edge.outputs}


def test_what_is_not_there_cannot_be_chosen(made: Made, subtests: pytest.Subtests):
    cases: list[tuple[dict[str, Any], str]] = [
        ({"rules": ("positiv",)}, "stage 'clean': no quarantined row is of rule 'positiv'; did you mean 'positive'?"),
        ({"batches": ("clean.0.9",)}, "stage 'clean': no quarantined row is of batch 'clean.0.9'"),
        ({"where": "amuont > 1"}, "stage 'clean': unknown column 'amuont' in amuont > 1; did you mean 'amount'?"),
        ({"where": "amount > '5'"}, "stage 'clean': amount > '5' cannot be asked: cannot compare string"),
        ({"edited": "rows.xlsx"}, "rows.xlsx: edited rows come as .csv, .parquet, .jsonl"),
        ({"edited": "nowhere.csv"}, "nowhere.csv: cannot be read"),
    ]
    deliver(made, 1, 5, -1)
    workflow = gated(made)
    done(made.run(workflow))

    for chosen, message in cases:
        with subtests.test(**chosen):
            with pytest.raises(ConfigError) as caught:
                replay(workflow, **chosen)
            assert message in str(caught.value)


def _lines(made: Made, *lines: str) -> str:
    (name,) = made.frame("clean__quarantine")["_quarantine_id"]
    path = Path(made.root / "edited.csv")
    path.write_text("\n".join(line.replace("ID", name) for line in lines) + "\n")
    return str(path)


def test_an_edited_file_that_does_not_fit_is_refused_before_anything_runs(made: Made, subtests: pytest.Subtests):
    cases = [
        (("amount", "5"), "has no column _quarantine_id"),
        (("_quarantine_id,amount", "ID,5", "ID,6"), "1 rows are there more than once"),
        (("_quarantine_id,amuont", "ID,5"), "unknown column 'amuont'; did you mean 'amount'?"),
        (("_quarantine_id,amount", "ID,five"), "'amount' of row clean.0.1/"),
        (("_quarantine_id,amount", "clean.0.1/000000000000/7,5"), "1 rows are not in the quarantine of 'clean'"),
    ]
    deliver(made, 1, 5, -1)
    workflow = gated(made)
    done(made.run(workflow))
    before = made.files()

    for lines, message in cases:
        with subtests.test(lines=lines):
            with pytest.raises(ConfigError) as caught:
                replay(workflow, edited=_lines(made, *lines))
            assert message in str(caught.value)
            assert before == made.files()


def test_a_stage_that_never_quarantined_anything_says_so(made: Made):
    deliver(made, 1, 5)
    workflow = gated(made)
    done(made.run(workflow))

    with pytest.raises(ConfigError, match="stage 'clean': nothing was ever quarantined there"):
        replay(workflow)
    with pytest.raises(ConfigError, match="unknown stage 'cleen'"):
        Engine(runner="inline").replay(workflow, "cleen")


def test_a_broken_quarantine_is_told_and_changes_nothing(made: Made):
    deliver(made, 1, 5, -1)
    workflow = gated(made)
    done(made.run(workflow))
    (file,) = (made.lake / "clean__quarantine").rglob("*.parquet")
    file.write_bytes(b"broken")

    assert "clean__quarantine" in failed(replay(workflow, where="amount = -1"), "clean")
    assert not (made.lake / "clean__replayed" / "_delta_log").exists()


TYPED = {
    "day": pl.lit("2026-02-28").str.to_date(),
    "at": pl.lit("2026-02-28T23:59:58.125").str.to_datetime(),
    "seen": pl.lit("2026-02-28T23:59:58.125").str.to_datetime(time_zone="UTC"),
    "ok": pl.lit(value=True),
    "price": pl.lit("1.20").cast(pl.Decimal(10, 2)),
    "share": pl.lit(0.5),
}


def typed_columns(made: Made) -> Workflow:
    workflow = made.workflow()
    made.source(workflow, "orders")
    workflow.add_task("clean", lambda orders: typed(orders).with_columns(**TYPED), ["orders"], gate=(POSITIVE,))
    return workflow


@pytest.mark.parametrize("name", ["edited.csv", "edited.parquet", "edited.jsonl"])
def test_an_edited_file_says_every_type_as_it_was_exported(made: Made, name: str):
    deliver(made, 1, 5, -1)
    workflow = typed_columns(made)
    done(made.run(workflow))
    path = made.root / name
    frame = made.frame("clean__quarantine").select("_quarantine_id", *TYPED, amount=pl.lit(50))
    {".csv": frame.write_csv, ".parquet": frame.write_parquet, ".jsonl": frame.write_ndjson}[path.suffix](path)

    done(replay(workflow, edited=str(path)))

    published = made.frame("clean").sort("amount").select(*TYPED)
    assert 2 == published.height
    assert 1 == published.n_unique()
    assert (True, "2026-02-28 23:59:58.125000+00:00") == (published["ok"][1], str(published["seen"][1]))


def test_a_person_may_write_a_value_in_the_usual_ways(made: Made, subtests: pytest.Subtests):
    cases = [
        ("day", "2026-03-01", "2026-03-01"),
        ("at", "2026-03-01 12:30:00", "2026-03-01 12:30:00"),
        ("at", "2026-03-01", "2026-03-01 00:00:00"),
        ("seen", "2026-03-01T12:30:00+02:00", "2026-03-01 10:30:00+00:00"),
        ("seen", "2026-03-01 12:30:00", "2026-03-01 12:30:00+00:00"),
        ("ok", "FALSE", "False"),
        ("ok", "", "None"),
    ]
    deliver(made, 1, 5, *(-n for n, _ in enumerate(cases, 1)))
    workflow = typed_columns(made)
    done(made.run(workflow))
    ids = dict(made.frame("clean__quarantine").select("amount", "_quarantine_id").iter_rows())
    path = made.root / "edited.csv"

    for n, (column, given, expected) in enumerate(cases, 1):
        with subtests.test(column=column, given=given):
            path.write_text(f"_quarantine_id,amount,{column}\n{ids[-n]},{50 + n},{given}\n")
            done(replay(workflow, edited=str(path)))
            found = made.frame("clean").filter(amount=50 + n).select(column).rows()
            assert [expected] == [str(value) for (value,) in found]


def test_a_value_that_is_none_of_its_type_is_named(made: Made, subtests: pytest.Subtests):
    deliver(made, 1, 5, -1)
    workflow = typed_columns(made)
    done(made.run(workflow))

    for column, given in (("day", "28.2.2026"), ("at", "noon"), ("seen", "yesterday"), ("ok", "yes")):
        with (
            subtests.test(column),
            pytest.raises(ConfigError, match=rf"'{column}' of row clean.0.1/\w+/0 is no "),
        ):
            replay(workflow, edited=_lines(made, f"_quarantine_id,{column}", f"ID,{given}"))


def test_a_type_that_the_file_cannot_say_is_refused_in_our_words(made: Made):
    deliver(made, 1, 5, -1)
    workflow = made.workflow()
    made.source(workflow, "orders")
    workflow.add_task("clean", lambda orders: typed(orders).with_columns(l=pl.lit([1])), ["orders"], gate=(POSITIVE,))
    done(made.run(workflow))

    with pytest.raises(ConfigError, match=r"'l' is of type List\(Int64\), which .csv cannot say; leave the column out"):
        replay(workflow, edited=_lines(made, "_quarantine_id,l", "ID,1"))


def test_the_quarantine_of_a_partitioned_stage_is_not_partitioned_when_some_of_it_is_sent(made: Made):
    deliver(made, 1, -1, -2)
    workflow = gated(made)
    done(made.run(workflow))

    done(replay(workflow, where="amount = -1"))

    actions = [json.loads(line) for log in _logs(made, "clean__quarantine") for line in log.read_text().splitlines()]
    assert [{}] * 3 == [action["add"]["partitionValues"] for action in actions if "add" in action]
    assert {-1, -2} == set(made.frame("clean__quarantine")["amount"])


def _logs(made: Made, table: str) -> list[Path]:
    return sorted((made.lake / table / "_delta_log").glob("*.json"))


def test_a_quarantine_that_another_program_rearranged_is_told_with_the_way_out(made: Made):
    deliver(made, 1, 5, -1)
    deliver(made, 2, -2)
    workflow = gated(made)
    done(made.run(workflow))
    before = made.version("clean__quarantine")
    DeltaTable(str(made.lake / "clean__quarantine")).optimize.compact()

    error = failed(replay(workflow), "clean")

    assert "another program rearranged its files" in error
    DeltaTable(str(made.lake / "clean__quarantine")).restore(before)
    assert {"read": 2, "produced": 2, "quarantined": 2} == nonzero(done(replay(workflow)).stage("clean"))


def test_a_ledger_of_other_types_is_told_with_a_way_out_that_works(made: Made):
    deliver(made, 1, 5, -1)
    done(made.run(gated(made)))
    done(replay(gated(made)))
    workflow = made.workflow()
    made.source(workflow, "orders", storage={"partition_by": ["month"]})
    workflow.add_task(
        "clean",
        lambda orders: orders.with_columns(pl.col("amount").cast(pl.Float64)),
        ["orders"],
        gate=(POSITIVE,),
        partition_by=["month"],
        storage={"partition_by": ["month"]},
    )
    done(made.run(workflow, incremental=False))

    error = failed(replay(workflow), "clean")

    ledger = made.lake / "clean__replayed"
    assert f"keep {ledger} elsewhere and remove it to write the table anew" in error
    ledger.rename(made.root / "kept")
    assert "completed" == replay(workflow).state
    assert 1 == made.frame("clean__replayed").height


def test_a_replay_that_cannot_be_finished_says_where_its_rows_are(made: Made):
    deliver(made, 1, 5, -1)
    workflow = gated(made)
    done(made.run(workflow))
    known = set((made.lake / "clean").rglob("*.parquet"))
    path = edited(made, amount=pl.lit(50))
    with injected(Fault(Seam.SIDE_TABLE_PUBLISHED, 2, "fail")):
        replay(workflow, edited=path)
    assert [0, 1] == [made.frame(f"clean__{what}").height for what in ("quarantine", "replayed")]
    for staged in set((made.lake / "clean").rglob("*.parquet")) - known:
        staged.unlink()

    report = made.run(workflow)

    assert "those that are no more in quarantine are in clean__replayed" in report.repaired[0]
    assert [(5,)] == made.rows("clean", "amount")
    done(made.run(workflow, incremental=False))
    assert [(-1,)] == made.rows("clean__quarantine", "amount")


@pytest.mark.parametrize("damage", ["removed", "replaced"])
def test_nothing_is_sent_where_the_table_is_gone_or_another_one(made: Made, damage: str):
    deliver(made, 1, 5, -1)
    done(made.run(gated(made)))
    name = edited(made, amount=pl.lit(50))
    shutil.rmtree(made.lake / "clean")
    if damage == "replaced":
        pl.DataFrame({"month": ["1"]}).write_delta(str(made.lake / "clean"))

    said = failed(replay(gated(made), edited=name), "clean")

    assert "table.py rebuild" in said
    assert 1 == made.frame("clean__quarantine").height
