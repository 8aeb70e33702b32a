import io
import json
from datetime import UTC, datetime

from rich.console import Console

from dataflow.model import How, RowCounts, RuleResult, RunReport, StageReport, Verdict
from flows.summary import notes, print_report, report_json


def rule(name: str, route: str, failed: int = 0, **fields: object) -> RuleResult:
    base = {
        "rule": name,
        "severity": "critical",
        "route": route,
        "success": not failed,
        "checked": 100,
        "failed": failed,
    }
    return RuleResult.model_validate({**base, **fields})


def stage(name: str, state: str = "published", **fields: object) -> StageReport:
    return StageReport.model_validate(
        {"stage": name, "kind": "task", "state": state, "units": 1, "seconds": 1.25, **fields}
    )


def run(*stages: StageReport, state: str = "completed", **fields: object) -> RunReport:
    base = {
        "pipeline": "shop",
        "run_id": "r",
        "state": state,
        "lake": "/lake",
        "started_at": datetime.now(UTC),
        "seconds": 2.5,
    }
    return RunReport.model_validate({**base, "stages": stages, **fields})


def verdict(*results: RuleResult) -> Verdict:
    return Verdict(stage="s", batch_id="b", digest="d", results=results)


def printed(report: RunReport) -> str:
    console = Console(file=io.StringIO(), width=160, markup=False, highlight=False)
    print_report(console, report)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


COUNTS = RowCounts(read=1200, late=7, filtered=3, produced=1190, deduplicated=40, quarantined=50, published=1100)
ORDERS = stage(
    "orders",
    kind="source",
    counts=COUNTS,
    verdict=verdict(
        rule("known", "quarantine", 50, statement="id IS NOT NULL"),
        rule("fine", "quarantine"),
        rule("plausible", "warn", 9, rows=(3, 5), statement="price MATCHES '^[0-9]+$'"),
        rule("enough", "warn", success=False, observed=3, statement="rows between 5 and 9"),
        rule("counted", "measure", 4),
    ),
    notes=("row ids are not carried: unique() looks at every column",),
)


def test_a_run_is_a_table_with_notes_and_a_lake():
    text = printed(run(ORDERS, stage("idle", "skipped", units=0, reason="nothing new"), repaired=("swept 2 files",)))
    names = ["stage", "read", "published", "deduplicated", "filtered", "quarantined", "late", "seconds", "verdict"]
    header, _, *cells = [line.split() for line in text.strip().splitlines()]
    assert names == header
    assert ["orders", "1,200", "1,100", "40", "3", "50", "7", "1.2", "quarantined"] == cells[0]
    assert ["idle", *["–"] * 6, "1.2", "skipped"] == cells[1]
    assert text.endswith("shop completed (2.5 s, 1,200 records read)\nlake: /lake\n")


def test_on_a_narrow_terminal_headings_are_broken_and_figures_are_not():
    report = run(ORDERS, stage("flights_enriched", counts=RowCounts(read=336_776, published=336_776)))
    console = Console(file=io.StringIO(), width=80, markup=False, highlight=False)
    print_report(console, report)
    assert isinstance(console.file, io.StringIO)
    table = console.file.getvalue().splitlines()[:5]
    assert max(map(len, table)) <= 80
    assert ["flights_enriched", "336,776", "336,776", "0", "0", "0", "0", "1.2", "published"] == table[-1].split()


TOOK = stage("flights", counts=COUNTS, cpu_seconds=2.46, peak_memory_bytes=1_812_000_000)


def test_what_stages_took_has_columns_where_there_is_room():
    report = run(
        TOOK, stage("broken", "failed", cpu_seconds=0.2, peak_memory_bytes=9_000_000), stage("idle", "skipped")
    )
    header, _, *cells = [line.split() for line in printed(report).splitlines()]
    assert ["seconds", "CPU", "s", "peak", "MB", "rows/s", "verdict"] == header[7:]
    assert ["1.2", "2.5", "1,812", "960", "published"] == cells[0][7:]
    assert ["1.2", "0.2", "9", "–", "failed"] == cells[1][7:]
    assert ["1.2", "–", "–", "–", "skipped"] == cells[2][7:]
    assert "CPU:" not in printed(report)


def test_on_a_narrow_terminal_what_stages_took_is_a_line():
    console = Console(file=io.StringIO(), width=80, markup=False, highlight=False)
    print_report(console, run(TOOK, stage("more", cpu_seconds=0.2, peak_memory_bytes=9_000_000)))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "rows/s" not in text
    assert text.endswith("lake: /lake\nCPU: 2.7 s; most memory: 1,812 MB, in flights\n")


def test_what_only_some_gates_do_has_columns_only_then():
    counts = RowCounts(read=12, produced=12, dropped=2, repaired=3, published=10)
    header, _, cells, *_ = [line.split() for line in printed(run(stage("orders", counts=counts))).splitlines()]
    assert ["quarantined", "dropped", "repaired", "late"] == header[5:9]
    assert ["0", "2", "3", "0"] == cells[5:9]


def test_on_a_narrow_terminal_only_counts_that_there_are_stay_beside_them():
    counts = RowCounts(read=336_776, produced=336_776, dropped=336_770, repaired=3, published=6, quarantined=1)
    report = run(stage("flights_enriched_and_more", counts=counts))
    console = Console(file=io.StringIO(), width=80, markup=False, highlight=False)
    print_report(console, report)
    assert isinstance(console.file, io.StringIO)
    first, second, _, cells = console.file.getvalue().splitlines()[:4]
    assert max(map(len, (first, second, cells))) <= 80
    assert ["stage", "read", "lished", "tined", "ped", "paired", "onds", "verdict"] == second.split()
    assert ["336,776", "6", "1", "336,770", "3", "1.2", "published"] == cells.split()[1:]


def test_the_notes_say_what_happened_to_rows_and_how_to_see_them():
    assert [
        "repaired: swept 2 files",
        "the quality history is not up to date",
        "orders: quarantined by known: 50 of 100 rows (id IS NOT NULL)",
        "  pl.read_delta('/lake/orders__quarantine').filter(pl.col('_rules').list.contains('known'))",
        "orders: warning plausible: 9 of 100 rows (price MATCHES '^[0-9]+$')",
        "  pl.concat([pl.read_delta(t) for t in ['/lake/orders', '/lake/orders__quarantine']], how='diagonal')"
        ".filter(pl.col('_row_id').is_in([3, 5]))  # the first 2",
        "orders: warning enough: found 3 (rows between 5 and 9)",
        "orders: 7 rows came too late",
        "  pl.read_delta('/lake/orders__late')",
        "orders: row ids are not carried: unique() looks at every column",
    ] == list(notes(run(ORDERS, repaired=("swept 2 files",), notes=("the quality history is not up to date",))))


def test_what_went_wrong_is_said_in_words():
    results = (
        rule("unique", "fail", 2, statement="unique id"),
        rule("broken", "warn", error="no column 'x'", success=False),
    )
    report = run(
        stage("orders", "rejected", reason="its gate refused the batch: unique", verdict=verdict(*results)),
        stage("totals", "failed", reason="an error", error="ZeroDivisionError: division by zero"),
        stage("report", "not_run", units=0, reason="totals was failed"),
        stage("later", "deferred", units=0, reason="due in 5 minutes"),
        state="failed",
        reason="stage 'totals' failed: ZeroDivisionError",
    )
    assert [
        "orders: rejected: its gate refused the batch: unique",
        "orders: refused by unique: 2 of 100 rows (unique id)",
        "orders: rule broken could not be evaluated: no column 'x'",
        "totals: failed: ZeroDivisionError: division by zero",
        "report: not run: totals was failed",
        "later: deferred: due in 5 minutes",
    ] == list(notes(report))
    assert "shop failed: stage 'totals' failed: ZeroDivisionError (2.5 s" in printed(report)


def test_a_refused_batch_put_nothing_into_any_table():
    refused = ORDERS.model_copy(update={"state": "rejected", "reason": "refused"})
    told = list(notes(run(refused, state="rejected")))
    assert [] == [note for note in told if "read_delta" in note or "quarantine" in note]
    assert "orders: not met known: 50 of 100 rows (id IS NOT NULL)" in told


def test_a_path_that_is_not_taken_is_told_with_its_reason():
    taken = rule("urgent", "branch", 2, branch="triage", statement="NOT urgent", rows=(7, 9))
    report = run(
        stage(
            "orders", "branched", verdict=verdict(taken), reason="its gate branched to triage: urgent (2 of 100 rows)"
        ),
        stage("report", "skipped", units=0, reason="orders was not published: its gate branched to triage").model_copy(
            update={"path_taken": False}
        ),
        stage("stock", "skipped", units=0, units_fresh=4, reason="no new files"),
    )
    assert [
        "orders: branched: its gate branched to triage: urgent (2 of 100 rows)",
        "orders: branched to triage by urgent: 2 of 100 rows (NOT urgent); the first row ids: 7, 9",
        "report: skipped: orders was not published: its gate branched to triage",
    ] == list(notes(report))
    assert ["orders", "0", "–", "0", "0", "0", "0", "1.2", "branched"] == printed(report).splitlines()[2].split()


def test_a_run_with_nothing_to_do_is_one_line():
    report = run(stage("orders", "skipped", units=0, seconds=0), state="skipped", reason="nothing new")
    assert "shop skipped: nothing new (2.5 s); lake: /lake\n" == printed(report)


def test_where_the_data_docs_are_is_the_last_line():
    report = run(ORDERS, data_docs="/lake/_quality/shop/data_docs/index.html")
    assert printed(report).endswith("lake: /lake\ndata docs: /lake/_quality/shop/data_docs/index.html\n")


def test_the_json_is_the_report_and_what_follows_from_it():
    report = run(ORDERS)
    document = json.loads(report_json(report))
    assert (1200, 0) == (document.pop("processed_records"), document.pop("exit_code"))
    assert (0.0, 1200 / 1.25) == (document.pop("cpu_seconds"), document["stages"][0].pop("rows_per_second"))
    assert [0, 0, 0.0] == [document.pop(name) for name in ("rows_skipped", "bytes_skipped", "seconds_saved")]
    assert 0.0 == document["stages"][0].pop("seconds_saved")
    assert 50 == document.pop("quality_metrics")["orders"]["known"]["failed"]
    assert report == RunReport.model_validate(document)


APPENDED = stage(
    "priced",
    counts=RowCounts(read=100, published=100),
    how=How(kind="append", why="every row depends on one row of orders"),
    rows_skipped=900,
    bytes_skipped=2_500_000,
    full_seconds=11.75,
    peak_memory_bytes=1,
)


def test_what_was_spared_is_told_beside_the_last_run_in_full():
    idle = stage("idle", "skipped", units=0, seconds=0.0, rows_skipped=100, bytes_skipped=500_000, full_seconds=1.5)
    text = printed(run(APPENDED, idle))
    expected = "spared: 1,000 rows and 3.0 MB not read; stages took 12.0 s less than when they last ran in full\n"
    assert expected in text


def test_more_time_than_in_full_is_told_as_such():
    slower = APPENDED.model_copy(update={"full_seconds": 1.0})
    assert "stages took 0.2 s more than when they last ran in full" in printed(run(slower))


def test_of_a_first_run_nothing_was_spared():
    whole = stage("orders", counts=RowCounts(read=5, published=5), in_full=True)
    assert "spared" not in printed(run(whole))


def test_without_a_run_in_full_no_time_is_told():
    text = printed(run(APPENDED.model_copy(update={"full_seconds": None})))
    assert "spared: 900 rows and 2.5 MB not read\n" in text


def test_on_a_wide_terminal_a_column_says_how_stages_were_brought_up_to_date():
    idle = stage("idle", "skipped", units=0, how=How(kind="merge"))
    header, _, *cells = [line.split() for line in printed(run(APPENDED, idle)).strip().splitlines()]
    assert ["how", "verdict"] == header[-2:]
    assert ["append", "published"] == cells[0][-2:]
    assert ["–", "skipped"] == cells[1][-2:]
