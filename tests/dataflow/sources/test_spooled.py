"""Sources that are asked: nothing lost and nothing doubled, whatever ends a pull at whatever moment."""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow.errors import ConfigError, SourceError, SourceUnavailable
from dataflow.lake import spool as spool_module
from dataflow.lake.lake import Lake
from dataflow.sources.spooled import Pull
from tests.dataflow.sources.asked import Asked, Failing, Killed, Pages, asked, landed, values


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


def test_a_source_gives_what_is_new_and_its_rows_stay(lake: Path) -> None:
    pages: list[Any] = [[{"n": 1}, {"n": 2}], [{"n": 3}]]
    source = asked(lake, pages)

    assert [3] == [file.rows for file in source.fetch()]
    assert () == source.fetch()
    pages.append([{"n": 4}])
    assert [1] == [file.rows for file in asked(lake, pages).fetch()]

    assert [1, 2, 3, 4] == values(asked(lake, pages))
    assert {"given": 3} == source.spool.state()


def test_items_are_there_without_asking(lake: Path) -> None:
    source = asked(lake, [RuntimeError("asked")])

    assert [] == source.items()
    assert not lake.exists()


def test_an_item_is_called_the_same_wherever_the_lake_lies(lake: Path, tmp_path: Path) -> None:
    source = asked(lake, [[{"n": 1}]])
    source.fetch()
    (before,) = source.items()
    content = source.content_hash(before)
    lake.rename(tmp_path / "moved")
    moved = asked(tmp_path / "moved", [])

    assert [before] == moved.items()
    assert before.name.startswith("_spool/made/numbers/000001-")
    assert content == moved.content_hash(before)
    assert [1] == values(moved)


def test_an_item_never_changes(lake: Path) -> None:
    pages: list[Any] = [[{"n": 1}]]
    source = asked(lake, pages)
    source.fetch()
    (first,) = source.items()
    found, fingerprint = source.content_hash(first), source.fingerprint
    pages.append([{"n": 1.5, "late": True}])
    source.fetch()

    assert (first, found, fingerprint) == (source.items()[0], source.content_hash(first), source.fingerprint)
    assert 2 == len({source.content_hash(item) for item in source.items()})


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_pull_may_end_at_every_step(lake: Path, monkeypatch: pytest.MonkeyPatch, after: bool) -> None:
    for fine in range(30):
        place = lake / str(fine)
        pages: list[Any] = [[{"n": 1}]]
        asked(place, pages).fetch()
        # Types that contradict each other, so that one pull makes three files.
        pages += [[{"n": 2}], [{"n": 2}], pl.DataFrame({"n": [3.5]}), [{"n": 4}]]
        beaten = Lake(place)
        failing = Failing(beaten.fs, fine, after=after)
        beaten.__dict__["_files"] = (failing, str(place))
        with monkeypatch.context() as patched, suppress(Killed):
            patched.setattr(spool_module.os, "link", failing.wrapped(os.link))
            patched.setattr(spool_module.os, "remove", failing.wrapped(os.remove))
            asked(beaten, pages).fetch()
        assert values(asked(place, pages)) in ([1.0], [1.0, 2.0, 2.0, 3.5, 4.0])

        asked(place, pages).fetch()
        asked(place, pages).fetch()
        assert [1.0, 2.0, 2.0, 3.5, 4.0] == values(asked(place, pages))
        assert 6 == len(os.listdir(place / "_spool/made/numbers"))
        if not failing.failed:
            # Three files, their record under another name, its own, and the other name's end; folders in between.
            assert fine >= 6
            return
    pytest.fail("it never came to an end")


def test_an_answer_that_breaks_off_does_not_count(lake: Path) -> None:
    pages: list[Any] = [[{"n": 1}], ConnectionResetError("gone"), [{"n": 3}]]
    source = asked(lake, pages)

    with pytest.raises(
        SourceUnavailable,
        match=r"source 'numbers': page 2 was not answered: ConnectionResetError: gone; nothing of this pull is kept, run again",
    ):
        source.fetch()
    assert ([], None) == (source.items(), source.spool.state())

    pages[1] = [{"n": 2}]
    source.fetch()
    assert [1, 2, 3] == values(source)


class Answer:
    def __init__(self, status_code: int) -> None:
        self.status_code = status_code


class Refused(Exception):
    """As HTTP clients raise it."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.response = Answer(status)


class ReadTimeout(Exception):
    """As HTTP clients call it."""


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (ConnectionRefusedError("x"), True),
        (TimeoutError(), True),
        (ReadTimeout("x"), True),
        (URLError("x"), True),
        (Refused(503), True),
        (Refused(429), True),
        (Refused(404), False),
        (Refused(401), False),
        (HTTPError("http://x", 500, "x", None, None), True),  # pyright: ignore[reportArgumentType]
        (HTTPError("http://x", 403, "x", None, None), False),  # pyright: ignore[reportArgumentType]
        (ValueError("x"), False),
        (KeyError("x"), False),
        (FileNotFoundError("x"), False),
    ],
    ids=repr,
)
def test_only_what_may_pass_is_tried_again(lake: Path, error: Exception, passes: bool) -> None:
    with pytest.raises(SourceError, match=rf"page 1 .*{type(error).__name__}") as raised:
        asked(lake, [error]).fetch()

    assert passes == raised.value.retryable
    assert error is raised.value.__cause__
    if isinstance(error, HTTPError):
        error.close()


def test_an_error_of_ours_stays_what_it_is(lake: Path) -> None:
    with pytest.raises(ConfigError, match="as it is"):
        asked(lake, [ConfigError("as it is")]).fetch()


class Stateful(Asked):
    """Returns whatever the test says as its state."""

    def pull(self, state: dict[str, Any] | None) -> Pull:
        yield [{"n": 1}]
        return self.config.pages


@pytest.mark.parametrize("state", [{"at": datetime(2026, 1, 1)}, {1: "x"}, {"t": (1, 2)}, {"s": {1}}])
def test_a_state_that_would_not_come_back_is_refused(lake: Path, state: Any) -> None:
    source = Stateful("numbers", Pages(pages=state))
    source.attach(asked(lake, []).spool)

    with pytest.raises(SourceError, match="source 'numbers': its state is not what JSON makes of it; return text"):
        source.fetch()
    assert [] == source.items()


def test_a_source_without_a_cursor_gives_a_list_once_as_long_as_it_is_the_same(lake: Path) -> None:
    source = Stateful("numbers", Pages(pages=None))
    source.attach(asked(lake, []).spool)

    assert [1, 0, 0] == [len(source.fetch()) for _ in range(3)]


def test_new_columns_come_after_those_that_are_held_and_are_null_before(lake: Path) -> None:
    pages: list[Any] = [[{"n": 1, "unknown": None}]]
    source = asked(lake, pages)
    source.fetch()
    held = source.contract(source.items(), None)
    pages.append([{"late": "x", "n": 2, "unknown": True}])
    source.fetch()

    contract = source.contract(source.items()[1:], held)
    assert pl.Schema({"n": pl.Int64()}) == held
    assert pl.Schema({"n": pl.Int64(), "late": pl.String(), "unknown": pl.Boolean()}) == contract
    assert [(1, None, None), (2, "x", True)] == landed(source, held).select(*contract).rows()


def test_types_that_are_not_held_yet_widen_to_hold_all_values(lake: Path) -> None:
    source = asked(lake, [[{"n": 1, "t": 1}], pl.DataFrame({"n": [1.5], "t": ["x"]})])
    source.fetch()

    assert pl.Schema({"n": pl.Float64(), "t": pl.String()}) == source.contract(source.items(), None)
    assert [(1.0, "1"), (1.5, "x")] == landed(source).select("n", "t").rows()


def test_of_types_that_are_held_a_value_fits_or_its_row_is_set_aside(lake: Path) -> None:
    pages: list[Any] = [[{"n": 1}]]
    source = asked(lake, pages)
    source.fetch()
    held = source.contract(source.items(), None)
    pages += [[{"n": 2.0}, {"n": 2.5}], pl.DataFrame({"n": ["3", "x"]})]
    source.fetch()

    frame = landed(source, held, since=1)
    assert pl.Int64() == frame.schema["n"]
    assert [2, 3] == frame.filter(pl.col("_broken").is_null())["n"].to_list()
    aside = frame.filter(pl.col("_broken").is_not_null())
    assert ['{"n":2.5}', '{"n":"x"}'] == aside["_raw"].to_list()
    assert [2, 2] == aside["_line"].to_list()
    assert [0, 1, 0, 1] == frame["_n"].to_list()


def test_where_all_is_landed_anew_held_types_widen_but_not_to_text(lake: Path) -> None:
    pages: list[Any] = [[{"n": 1, "kind": 1}]]
    source = asked(lake, pages)
    source.fetch()
    held = source.contract(source.items(), None)
    pages += [pl.DataFrame({"n": ["x"], "kind": [2]}), [{"n": 2.5, "kind": 3}]]
    source.fetch()
    everything, later = source.items(), source.items()[1:]

    assert pl.Schema({"n": pl.Float64(), "kind": pl.Int64()}) == source.contract(everything, held)
    assert held == source.contract(later, held)
    assert pl.String() == source.contract(everything, None)["n"]


class Declared(Asked):
    """Knows the type of a column beforehand."""

    def declared(self) -> dict[str, pl.DataType]:
        return {"n": pl.Float64(), "never": pl.String()}


def test_declared_types_go_before_those_of_the_values(lake: Path) -> None:
    plain, source = asked(lake, [[{"n": 1}, {"n": "x"}]]), Declared("numbers", Pages(pages=[[{"n": 1}, {"n": "x"}]]))
    source.attach(plain.spool)
    plain.fetch()
    before = plain.fingerprint
    source.fetch()

    assert before != source.fingerprint
    assert source.fingerprint == plain.fingerprint
    assert pl.Schema({"n": pl.Float64()}) == source.contract(source.items(), None)
    assert [1.0, None] == landed(source)["n"].to_list()


@pytest.mark.parametrize(
    ("pages", "says"),
    [
        (
            [[{"id": 1}], [{"ID": 2}]],
            "a column 'ID', beside 'id', which a Delta table does not tell from it; rename it",
        ),
        ([[{"_row_id": 1}]], "a column '_row_id', a name that dataflow keeps for itself; rename it where the rows"),
        ([[{"_batch_id": 1}]], "'_batch_id'"),
        ([[{"_broken": 1}]], "'_broken'"),
    ],
)
def test_names_that_a_table_cannot_take_are_refused_before_anything_is_kept(
    lake: Path, pages: list[Any], says: str
) -> None:
    source = asked(lake, pages)

    with pytest.raises(SourceError, match=f"source 'numbers': it delivers .*{says}"):
        source.fetch()
    assert ([], None) == (source.items(), source.spool.state())


def test_what_a_source_has_open_is_closed_where_its_rows_are_refused(lake: Path) -> None:
    closed: list[bool] = []

    class Open(Asked):
        def pull(self, state: dict[str, Any] | None) -> Pull:
            try:
                yield pl.DataFrame({"_row_id": [1]})
                yield [{"n": 1}]
            finally:
                closed.append(True)
            return state

    source = Open("numbers", Pages(pages=[]))
    source.attach(asked(lake, []).spool)
    with pytest.raises(SourceError, match="_row_id") as refused:
        source.fetch()

    assert refused.traceback
    assert [True] == closed


def test_names_of_earlier_pulls_count_too(lake: Path) -> None:
    asked(lake, [[{"id": 1}]]).fetch()

    with pytest.raises(SourceError, match="'ID', beside 'id'"):
        asked(lake, [[{"id": 1}], [{"ID": 2}]]).fetch()


def test_other_names_are_kept_as_they_are_delivered(lake: Path) -> None:
    source = asked(lake, [[{"User Name": 1, "a.b": 2, "_id": 3, "é=": 4}]])
    source.fetch()

    assert ["User Name", "a.b", "_id", "é="] == source.contract(source.items(), None).names()


ROW = st.dictionaries(
    st.sampled_from("ab"), st.none() | st.integers(-9, 9) | st.floats(-2, 2) | st.text("xy"), max_size=2
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(ROW, max_size=3), max_size=6), st.lists(st.integers(0, 3), max_size=6))
def test_however_the_pages_are_cut_into_pulls_each_row_is_there_once(
    tmp_path_factory: pytest.TempPathFactory, pages: list[list[dict[str, Any]]], cuts: list[int]
) -> None:
    place = tmp_path_factory.mktemp("lake")
    numbered = [[{**row, "n": 10 * p + r} for r, row in enumerate(page)] for p, page in enumerate(pages)]
    given_: list[Any] = []
    source = asked(place, given_)
    for cut in [*cuts, len(numbered)]:
        given_ += numbered[len(given_) : len(given_) + cut]
        source.fetch()

    assert [row["n"] for page in numbered for row in page] == values(source)
