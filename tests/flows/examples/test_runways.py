"""The third pipeline, ``config/runways.yaml``, as people run it: dumps month by month, all at once, and again."""

from __future__ import annotations

import csv
import gzip
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from flows.command import PROJECT, main
from flows.examples.runways import summarise_airports

CONFIG = PROJECT / "config" / "runways.yaml"
FIELDS = [
    "id", "airport_ref", "airport_ident", "length_ft", "width_ft", "surface", "lighted", "closed",
    "le_ident", "le_latitude_deg", "le_longitude_deg", "le_elevation_ft", "le_heading_degT", "le_displaced_threshold_ft",
    "he_ident", "he_latitude_deg", "he_longitude_deg", "he_elevation_ft", "he_heading_degT", "he_displaced_threshold_ft",
]  # fmt: skip
Run = Callable[..., dict[str, Any]]
Dump = dict[str, tuple[str, ...]]
"""The lines of a file by their first field."""


@pytest.fixture
def etl(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "landing").mkdir()

    def run(*arguments: str, code: int = 0, lake: str = "lake") -> dict[str, Any]:
        capfd.readouterr()
        given = ["--config", str(CONFIG), "--path", "landing/runways-*.csv.gz", "--lake", lake, "--runner", "inline"]
        assert code == main([*given, "--json", *arguments])
        return json.loads(capfd.readouterr().out)

    return run


@pytest.fixture
def real(shared_data: Path) -> list[Path]:
    """Every second file of OurAirports, oldest first: all eight are read where strategies are tested alone."""
    found = sorted((shared_data / "runways").glob("runways-*.csv.gz"))
    assert 8 == len(found)
    return found[::2]


def runway(id: int, length: str = "1000", *, airport: str = "A", closed: str = "0", lighted: str = "1") -> list[str]:
    told = {"id": id, "airport_ident": airport, "length_ft": length, "closed": closed, "lighted": lighted}
    return [str(told.get(field, "")) for field in FIELDS]


MADE = [
    [runway(1), runway(2), runway(3, airport="B"), runway(4, "", airport="B")],
    [runway(1, "1200"), runway(2), runway(4, "", airport="B")],
    [runway(1, "1200"), runway(2), runway(4, "", airport="B")],
    [runway(1, "1200", closed="1"), runway(2), runway(3, airport="B"), runway(4, "700", airport="B"), runway(5)],
]

STAYING = [runway(id, airport="C") for id in range(100, 112)]
"""So that a runway more or less is less than a tenth."""


def write(path: Path, lines: Sequence[Sequence[str]]) -> Path:
    with gzip.open(path, "wt", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([FIELDS, *lines])
    return path


@pytest.fixture
def made(tmp_path: Path) -> list[Path]:
    """Four small dumps: a runway goes and comes back, others change, and once nothing does."""
    (tmp_path / "made").mkdir()
    paths = [tmp_path / "made" / f"runways-2026-{n:02}-01.csv.gz" for n, _ in enumerate(MADE, 1)]
    return [write(path, lines + STAYING) for path, lines in zip(paths, MADE, strict=True)]


def read(path: Path) -> Dump:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return {line[0]: tuple(line) for line in list(csv.reader(file))[1:]}


def current(lake: str = "lake") -> Dump:
    """The table, as any Delta reader sees it."""
    rows = pl.read_delta(f"{lake}/runways_current").select(pl.col(FIELDS).fill_null("")).rows()
    found = {row[0]: row for row in rows}
    assert len(rows) == len(found)
    return found


def differences(dumps: Sequence[Path]) -> Iterator[tuple[str, str, str]]:
    """Kind, day and id of all that changed from file to file."""
    before: Dump = {}
    for path in dumps:
        now, day = read(path), path.name[8:18]
        yield from (("insert", day, id) for id in now.keys() - before.keys())
        yield from (("delete", day, id) for id in before.keys() - now.keys())
        yield from (("update", day, id) for id in now.keys() & before.keys() if now[id] != before[id])
        before = now


def changes(lake: str = "lake") -> list[tuple[str, str, str]]:
    return sorted(pl.read_delta(f"{lake}/runways_current__changes").select("_change", "_snapshot", "id").rows())


def check(dumps: Sequence[Path], lake: str = "lake") -> None:
    """The tables are what the files are, read line by line."""
    last = read(dumps[-1])
    assert last == current(lake)
    assert sorted(differences(dumps)) == changes(lake)
    airports = pl.read_delta(f"{lake}/airports")
    assert Counter(line[2] for line in last.values()) == dict(airports.select("airport_ident", "runways").iter_rows())
    history = pl.read_delta(f"{lake}/runways_history") if Path(lake, "runways_history").is_dir() else None
    if history is not None:
        assert set(last) == set(history.filter("is_current")["id"])


def test_real_dumps_month_by_month_are_the_last_one(etl: Run, real: list[Path]) -> None:
    told: list[str] = []
    for path in real:
        shutil.copy(path, "landing")
        report = etl("--strategy", "snapshot")
        told += next(stage["notes"] for stage in report["stages"] if stage["stage"] == "runways_current")
    check(real)
    ids = [set(read(path)) for path in real]
    gone = [(path.name[8:18], id) for path, (a, b) in zip(real[1:], pairwise(ids), strict=True) for id in a - b]

    assert sorted(gone) == sorted((day, id) for kind, day, id in changes() if kind == "delete")
    assert gone, "or the data tells nothing of deletes"
    assert len(real) == len([note for note in told if note.startswith("1 snapshot: ")])
    assert "skipped" == etl("--strategy", "snapshot")["state"]


def test_real_dumps_all_at_once_and_delivered_again(etl: Run, real: list[Path]) -> None:
    for path in real:
        shutil.copy(path, "landing")
    etl("--strategy", "snapshot")
    check(real)
    for name in os.listdir("landing"):
        os.utime(f"landing/{name}")

    assert "skipped" == etl("--strategy", "snapshot")["state"], "touched, and not changed"


def test_made_dumps_month_by_month(etl: Run, made: list[Path]) -> None:
    for count, path in enumerate(made, 1):
        shutil.copy(path, "landing")
        etl()
        check(made[:count])
    assert "skipped" == etl()["state"]


@pytest.mark.parametrize(
    "first", [[1], [0, 2], [3, 1]], ids=["the second", "the first and third", "the last, the second"]
)
def test_made_dumps_in_another_order_end_as_the_last(etl: Run, made: list[Path], first: list[int]) -> None:
    for numbers in (first, range(len(made))):
        for number in numbers:
            shutil.copy(made[number], "landing")
        etl()

    assert read(made[-1]) == current()


def test_a_dump_that_is_corrected_counts_as_if_it_had_come_right(etl: Run, made: list[Path]) -> None:
    for path in made:
        shutil.copy(path, "landing")
    etl()
    corrected = [*made[:3], write(made[3], [*MADE[3][:-1], runway(6), *STAYING])]
    shutil.copy(made[3], "landing")
    os.utime(f"landing/{made[3].name}", (2_000_000_000, 2_000_000_000))
    etl()

    check(corrected)
    assert "6" in current()
    assert "5" not in current()


def test_a_dump_that_ends_early_deletes_nothing(etl: Run, made: list[Path]) -> None:
    shutil.copy(made[0], "landing")
    etl()
    write(Path("landing/runways-2026-02-01.csv.gz"), MADE[0][:1] + STAYING)
    report = etl(code=1)
    stage = next(stage for stage in report["stages"] if stage["stage"] == "runways_current")

    assert "failed" == stage["state"]
    assert "the snapshot of dumped_on '2026-02-01' has 13 rows, the one before it 16" in stage["error"]
    assert read(made[0]) == current()
    shutil.copy(made[1], "landing")
    os.utime("landing/runways-2026-02-01.csv.gz", (2_000_000_000, 2_000_000_000))
    etl()
    check(made[:2])


def test_the_folder_is_named_where_it_is_missing(etl: Run) -> None:
    report = etl(code=1)
    stage = next(stage for stage in report["stages"] if stage["stage"] == "runways")

    assert "source 'runways': nothing matches" in stage["error"]
    assert "landing/runways-*.csv.gz; check `path` or wait for the delivery" in stage["error"]


def test_an_airport_is_summed_up() -> None:
    rows = [runway(1, "900"), runway(2, "1200", closed="1"), runway(3, "", lighted="0"), runway(4, "", airport="B")]
    found = summarise_airports(pl.LazyFrame(rows, FIELDS, orient="row")).collect()

    assert [("A", 3, 2, 2, 900), ("B", 1, 1, 1, None)] == found.rows()
