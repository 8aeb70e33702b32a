from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import fsspec
import pytest
from polars import LazyFrame

from dataflow.quality import checkpoint, data_docs
from dataflow.quality.data_docs import build_data_docs, newest
from dataflow.quality.gx_polars import make_expectation
from tests.dataflow.quality.docs_results import MIXED, NASTY, NOON, expectation, result

GOOD = result(expectation("has_id", column="id"))
BAD = result(expectation("has_id", column="id", failed=3), expectation("has_name", column="name"))


class Page(HTMLParser):
    """What a page fetches, links to and says."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.styles: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "srcset", "data", "action"):
                (self.links if tag == "a" else self.fetched).append(value or "")
            if name == "style":
                self.styles.append(value or "")

    def handle_data(self, data: str) -> None:
        self.words += data.split()

    @property
    def text(self) -> str:
        return " ".join(self.words)


def pages(folder: Path) -> dict[str, Page]:
    return {str(p.relative_to(folder)): Page(p.read_text()) for p in sorted(folder.rglob("*.html"))}


def test_a_page_a_batch_and_an_index_by_stage(tmp_path: Path):
    later = NOON + timedelta(hours=1)
    batches = [("orders", "b1", NOON, BAD), ("orders", "b2", later, GOOD), ("customers", "b3", NOON, GOOD)]

    assert 3 == build_data_docs(batches, str(tmp_path))

    index, *others = pages(tmp_path).items()
    _, *rest = [page for name, page in pages(tmp_path).items() if name.startswith("batches/")]
    assert 2 == len(rest)
    assert 3 == len([name for name, _ in [index, *others] if name.startswith("batches/")])
    listing = pages(tmp_path)["index.html"].text
    assert "customers Result" in listing
    assert listing.index("2013-01-01 13:00:00 b2 1 of 1") < listing.index("2013-01-01 12:00:00 b1 1 of 2 has_id")


def test_what_a_page_links_to_is_there(tmp_path: Path):
    build_data_docs([("orders", "b1", NOON, MIXED)], str(tmp_path))

    for name, page in pages(tmp_path).items():
        targets = [link for link in page.links + page.fetched if not link.startswith(("#", "data:"))]
        assert 4 <= len(targets)
        assert [] == [target for target in targets if not ((tmp_path / name).parent / target).is_file()]


def test_no_page_asks_the_network_for_anything(tmp_path: Path):
    build_data_docs([("orders", "b1", NOON, MIXED)], str(tmp_path))

    for page in pages(tmp_path).values():
        assert [] == [each for each in page.fetched + page.links if "//" in each]
        assert [] == [each for each in page.styles if "url(" in each]
    for file in [*tmp_path.rglob("*.css"), *tmp_path.rglob("*.js")]:
        text = file.read_text()
        assert "@import" not in text
        assert "fetch(" not in text
        assert [] == [part[:30] for part in text.split("url(")[1:] if not part.startswith('"data:')]


def batch_of(folder: Path, checked: dict[str, Any]) -> Page:
    build_data_docs([("orders", "b1", NOON, checked)], str(folder))
    (page,) = [page for name, page in pages(folder).items() if name.startswith("batches/")]
    return page


def test_the_page_of_a_batch_tells_each_rule_in_counts(tmp_path: Path):
    text = batch_of(tmp_path, MIXED).text

    assert "Stage orders Batch b1 Expectations not all met" in text
    assert "known critical values must belong to this set: eu us . 3 unexpected values found." in text
    assert "priced warning Rows must satisfy: price < 5 AND name <> '$' 2 unexpected values found." in text
    assert "raised an exception: cannot convert" in text
    assert "eu 0.25 us 0.75" in text
    assert "Great Expectations 1.24" in text
    assert "Run Info" not in text


def test_the_page_says_nothing_of_values_the_machine_or_other_sites(tmp_path: Path):
    text = batch_of(tmp_path, MIXED).text

    for word in ("secret", "traceback", "/home", "__rows", "newsletter", "Cloud", "staged-orders"):
        assert word not in text


def test_values_of_rows_are_left_out_even_where_a_result_brings_them(tmp_path: Path):
    samples = {"element_count": 1, "unexpected_count": 1, "unexpected_percent": 100.0}
    samples |= {"partial_unexpected_list": ["ada@example.org"], "unexpected_list": ["ada@example.org"]}
    samples |= {"partial_unexpected_counts": [{"value": "ada@example.org", "count": 1}]}

    page = batch_of(tmp_path, result(expectation("x", column="email", failed=1, result=samples)))

    assert "ada@" not in page.text


@pytest.mark.parametrize(
    ("observed", "says"),
    [({"observed_value": None}, "2 not as expected"), ({}, "2 not as expected"), ({"observed_value": 7}, "7")],
)
def test_a_count_without_a_share_is_told_without_one(
    tmp_path: Path, observed: dict[str, Any], says: str, caplog: pytest.LogCaptureFixture
):
    kind = "expect_column_distinct_values_to_be_in_set"
    among = expectation("x", kind, column="a", value_set=[1], failed=2, result={"unexpected_count": 2, **observed})

    assert f"belong to this set: 1 . {says}" in batch_of(tmp_path, result(among)).text
    assert [] == caplog.messages


def test_names_are_no_markup(tmp_path: Path):
    build_data_docs([(NASTY, NASTY, NOON, MIXED)], str(tmp_path))

    for page in pages(tmp_path).values():
        assert 1 == page.tags.count("script")
        assert NASTY in page.text


def test_a_description_of_the_users_is_shown_as_it_is(tmp_path: Path):
    checked = result(expectation("x", column="id", description="costs $5 & <b>more</b>"))

    assert "costs $5 & <b>more</b>" in batch_of(tmp_path, checked).text


def test_an_expectation_that_is_not_known_any_more_is_told_all_the_same(tmp_path: Path):
    page = batch_of(tmp_path, result(expectation("old", "expect_something_of_another_release", 4, column="id")))

    assert "old critical expect_something_of_another_release" in page.text


def test_pages_are_made_once_and_come_back_when_the_site_is_gone(tmp_path: Path):
    first, second = ("orders", "b1", NOON, GOOD), ("orders", "b2", NOON, BAD)
    assert 1 == build_data_docs([first], str(tmp_path / "site"))
    (page,) = (tmp_path / "site" / "batches" / "orders").iterdir()
    page.write_text("untouched")

    assert 1 == build_data_docs([first, second, second], str(tmp_path / "site"))
    assert "untouched" == page.read_text()
    assert 0 == build_data_docs([first, second], str(tmp_path / "site"))
    assert 2 == build_data_docs([first, second], str(tmp_path / "elsewhere"))


@pytest.mark.parametrize("broken", ["{", "[1]", '[{"stage": "x"}]', "3"])
def test_a_broken_list_of_pages_is_made_anew(tmp_path: Path, broken: str):
    build_data_docs([("orders", "b1", NOON, GOOD)], str(tmp_path))
    (tmp_path / "index.json").write_text(broken)

    assert 1 == build_data_docs([("orders", "b1", NOON, GOOD)], str(tmp_path))
    assert ["b1"] == [each["batch_id"] for each in json.loads((tmp_path / "index.json").read_text())]


def test_without_results_nothing_is_written(tmp_path: Path):
    assert 0 == build_data_docs([], str(tmp_path / "site"))
    assert not (tmp_path / "site").exists()


@pytest.fixture
def bucket() -> Iterator[tuple[Any, str]]:
    """A file system that is no folder of this machine."""
    fs = fsspec.filesystem("memory")
    folder = f"/{uuid.uuid4().hex}/_quality/data_docs"
    yield fs, folder
    fs.rm(folder, recursive=True)


def test_a_site_may_lie_in_any_file_system(bucket: tuple[Any, str]):
    fs, folder = bucket

    assert 1 == build_data_docs([("orders", "b1", NOON, GOOD)], f"{folder}/", fs)

    found = sorted(name.removeprefix(f"{folder}/") for name in fs.find(folder))
    assert ["batches/orders/20130101120000-b1-", "index.html", "index.json"] == [found[0][:33], *found[1:3]]
    assert "static/bootstrap.min.css" in found


def test_what_a_real_checkpoint_says_makes_a_page(tmp_path: Path):
    gx = checkpoint.load()
    context = gx.get_context(mode="ephemeral")
    data = context.data_sources.add_polars("staged").add_dataframe_asset("orders")
    expectations = [
        make_expectation(
            "expect_column_values_to_not_be_null", column="id", severity="warning", meta={"rule": "has_id"}
        ),
        make_expectation("expect_column_max_to_be_between", column="id", max_value=9),
    ]
    suite = context.suites.add(gx.ExpectationSuite(name="orders", expectations=expectations))
    batch = data.add_batch_definition_whole_dataframe("batch")
    definition = context.validation_definitions.add(gx.ValidationDefinition(name="orders", data=batch, suite=suite))
    judge = context.checkpoints.add(gx.Checkpoint(name="orders", validation_definitions=[definition]))
    (run,) = judge.run({"dataframe": LazyFrame({"id": [1, None, 3]})}).run_results.values()

    text = batch_of(tmp_path, run.to_json_dict()).text

    assert "has_id warning values must never be null." in text
    assert "expect_column_max_to_be_between critical maximum value must be less than or equal to 9.0 ." in text


def test_a_site_knows_how_far_it_has_come(tmp_path: Path):
    assert newest(str(tmp_path)) is None

    later = NOON + timedelta(hours=1)
    build_data_docs([("orders", "b2", later, GOOD), ("orders", "b1", NOON, GOOD)], str(tmp_path))

    assert later == newest(str(tmp_path))


def test_the_newest_of_each_stage_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(data_docs, "MOST", 2)
    build_data_docs([("orders", f"b{hour}", NOON + timedelta(hours=hour), GOOD) for hour in range(2)], str(tmp_path))
    (gone,) = (tmp_path / "batches" / "orders").glob("*-b0-*")
    gone.unlink()
    build_data_docs([("orders", "b2", NOON + timedelta(hours=2), BAD), ("lines", "b0", NOON, GOOD)], str(tmp_path))
    build_data_docs([("orders", "b3", NOON + timedelta(hours=3), BAD)], str(tmp_path))

    listed = json.loads((tmp_path / "index.json").read_text())
    assert [("lines", "b0"), ("orders", "b2"), ("orders", "b3")] == sorted((e["stage"], e["batch_id"]) for e in listed)
    assert {each["page"] for each in listed} == {
        str(page.relative_to(tmp_path)) for page in (tmp_path / "batches").rglob("*.html")
    }
