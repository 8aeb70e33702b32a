"""Going back in a source: what is asked again takes the place of what was held, in one step, whatever ends a run."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow.errors import SourceError
from dataflow.lake import spool as spool_module
from dataflow.lake.lake import Lake
from dataflow.lake.spool import Spool
from tests.dataflow.sources.asked import Failing, Killed, asked, values
from tests.dataflow.sources.shop import Shop

CURSOR: dict[str, Any] = {"column": "at", "lag": 1}


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return numbered(tmp_path)


def numbered(root: Path) -> Shop:
    return Shop(root, "create table orders (id integer primary key, at integer, note text)")


def pulled(shop: Shop) -> None:
    """Two pulls, a file each: 1 and 2, then 3 and 4."""
    for pair in ((1, 2), (3, 4)):
        shop.put(*((n, 10 * n, f"as it was {n}") for n in pair))
        shop.pull(cursor=CURSOR)


def ids(shop: Shop) -> list[tuple[int, bool]]:
    """Each row's number, and whether it is as it was."""
    return [(n, note.startswith("as it was")) for n, note in shop.held(cursor=CURSOR)]


def corrected(shop: Shop) -> None:
    shop.sql("update orders set note = 'corrected' where id >= 2")


def test_rows_from_a_position_on_are_replaced_by_the_next_pull(shop: Shop) -> None:
    pulled(shop)
    corrected(shop)
    before = {item.name: shop.source(cursor=CURSOR).content_hash(item) for item in shop.source(cursor=CURSOR).items()}

    concerned = shop.source(cursor=CURSOR).rewind(20)
    assert list(before) == concerned
    assert 20 == shop.source(cursor=CURSOR).position()
    assert [(1, True), (2, True), (3, True), (4, True)] == ids(shop)

    assert 3 == shop.pull(cursor=CURSOR)
    assert [(1, True), (2, False), (3, False), (4, False)] == ids(shop)
    source = shop.source(cursor=CURSOR)
    after = {item.name: source.content_hash(item) for item in source.items()}
    assert 3 == len(after)
    assert not set(before.items()) & set(after.items())
    assert 0 == shop.pull(cursor=CURSOR)


def test_files_before_the_position_stay_as_they_are(shop: Shop) -> None:
    pulled(shop)
    first, second = shop.source(cursor=CURSOR).items()
    content = shop.source(cursor=CURSOR).content_hash(first)
    source = shop.source(cursor=CURSOR)

    assert [second] == source.held_from(30)
    assert [second.name] == source.rewind("30")
    shop.pull(cursor=CURSOR)
    found = shop.source(cursor=CURSOR)
    assert (first, content) == (found.items()[0], found.content_hash(first))
    changed = found.items()[1]
    assert second.name == changed.name
    assert second.modified_at < changed.modified_at


def test_the_beginning_is_everything(shop: Shop) -> None:
    pulled(shop)
    corrected(shop)
    shop.sql("update orders set at = null where id = 1")
    cursor = {**CURSOR, "nulls": "every_time"}

    assert 2 == len(shop.source(cursor=cursor).rewind())
    assert shop.source(cursor=cursor).position() is None
    assert 4 == shop.pull(cursor=cursor)
    assert [(1, True), (2, False), (3, False), (4, False)] == ids(shop)


def test_a_pull_that_fails_leaves_everything_as_it_was(shop: Shop) -> None:
    pulled(shop)
    shop.source(cursor=CURSOR).rewind()
    (shop.root / "shop.db").rename(shop.root / "away.db")

    with pytest.raises(SourceError, match="there is no file"):
        shop.pull(cursor=CURSOR)
    assert [(1, True), (2, True), (3, True), (4, True)] == ids(shop)
    (shop.root / "away.db").rename(shop.root / "shop.db")
    assert 4 == shop.pull(cursor=CURSOR)
    assert [(1, True), (2, True), (3, True), (4, True)] == ids(shop)


def test_the_last_wish_counts(shop: Shop) -> None:
    pulled(shop)
    corrected(shop)
    shop.source(cursor=CURSOR).rewind()
    shop.source(cursor=CURSOR).rewind(40)

    assert 1 == shop.pull(cursor=CURSOR)
    assert [(1, True), (2, True), (3, True), (4, False)] == ids(shop)


def test_a_file_may_be_cut_twice(shop: Shop) -> None:
    shop.put(*((n, 10 * n, f"as it was {n}") for n in range(1, 5)))
    shop.pull(cursor=CURSOR)
    shop.source(cursor=CURSOR).rewind(30)
    shop.pull(cursor=CURSOR)
    first, second = shop.source(cursor=CURSOR).items()
    corrected(shop)

    assert [second.name] == shop.source(cursor=CURSOR).rewind(40)
    shop.pull(cursor=CURSOR)
    assert [(1, True), (2, True), (3, True), (4, False)] == ids(shop)
    assert [first.name, second.name] == shop.source(cursor=CURSOR).rewind(20)[:2]
    shop.pull(cursor=CURSOR)
    assert [(1, True), (2, False), (3, False), (4, False)] == ids(shop)


def test_rows_without_a_cursor_are_not_doubled(shop: Shop) -> None:
    cursor = {**CURSOR, "nulls": "every_time"}
    shop.put((1, None, "as it was"), (2, 20, "as it was"))
    shop.pull(cursor=cursor)
    shop.source(cursor=cursor).rewind(20)

    assert 1 == shop.pull(cursor=cursor)
    assert [(1, True), (2, True)] == ids(shop)


def test_before_the_first_pull_there_is_nothing_to_go_back_to(shop: Shop) -> None:
    assert [] == shop.source(cursor=CURSOR).rewind()
    assert [] == shop.source(cursor=CURSOR).rewind(5)
    assert shop.source(cursor=CURSOR).spool.number() == 0


@pytest.mark.parametrize(
    ("to", "says"),
    [
        (
            41,
            "source 'orders' cannot be set to 41: it was read up to 40 only, and what lies between would be passed over",
        ),
        ("soon", "cannot be set to a position like that: 'soon' is no number; it was read up to 40"),
        ({"file_id": 3}, r"\{'file_id': 3\} is no number"),
    ],
)
def test_a_position_that_cannot_be_is_refused(shop: Shop, to: Any, says: str) -> None:
    pulled(shop)

    for refuse in (shop.source(cursor=CURSOR).rewind, shop.source(cursor=CURSOR).held_from):
        with pytest.raises(SourceError, match=says):
            refuse(to)
    assert 40 == shop.source(cursor=CURSOR).position()


def test_what_the_source_does_not_have_any_more_is_not_given_up(shop: Shop) -> None:
    pulled(shop)
    shop.sql("delete from orders where id <= 2")

    says = "cannot be read from {} on any more: it has none before 30, but rows from {} on are held, and would be lost; set it to 30"
    with pytest.raises(SourceError, match=says.format("the beginning", 10)):
        shop.source(cursor=CURSOR).rewind()
    with pytest.raises(SourceError, match=says.format(15, 20)):
        shop.source(cursor=CURSOR).rewind(15)
    shop.sql("delete from orders")
    with pytest.raises(
        SourceError, match=r"it has no rows from there on, but rows from 30 on are held, and would be lost$"
    ):
        shop.source(cursor=CURSOR).rewind(30)
    assert 40 == shop.source(cursor=CURSOR).position()


def test_a_source_without_a_cursor_goes_back_to_the_beginning_only(shop: Shop) -> None:
    shop.put((1, 10, "as it was"))
    shop.pull()

    with pytest.raises(SourceError, match=r"its state cannot be set by hand, .* reset it"):
        shop.source().rewind(10)
    assert 1 == len(shop.source().rewind())
    assert 1 == shop.pull()
    assert [(1, "as it was")] == shop.held()


def test_a_source_whose_state_is_its_own_goes_back_to_the_beginning(tmp_path: Path) -> None:
    pages: list[Any] = [[{"n": 1}], [{"n": 2}]]
    source = asked(tmp_path, pages)
    source.fetch()

    assert {"given": 2} == source.position()
    with pytest.raises(SourceError, match="source 'numbers': its state cannot be set by hand"):
        source.rewind({"given": 1})
    assert 1 == len(source.rewind())
    pages[0] = [{"n": 5}]
    source.fetch()
    assert [5, 2] == values(asked(tmp_path, pages))


def test_what_was_cut_stays_so_when_the_cursor_is_taken_away(shop: Shop) -> None:
    pulled(shop)
    shop.source(cursor=CURSOR).rewind(20)
    shop.pull(cursor=CURSOR)

    assert 4 == len(shop.held())
    assert [1, 2, 3, 4] == [n for n, _ in shop.held()]


def test_a_cursor_may_be_given_later(shop: Shop) -> None:
    """What was read without one is known again, and one can go back in it."""
    shop.put((1, None, "as it was"))
    shop.pull()
    shop.put((2, 20, "as it was"), (3, 30, "as it was"))
    shop.pull()
    cursor = {**CURSOR, "nulls": "every_time"}
    assert [0, 0] == [shop.pull(cursor=cursor), shop.pull(cursor=cursor)]
    corrected(shop)
    assert 2 == len(shop.source(cursor=cursor).held_from(None))

    with pytest.raises(SourceError, match="cannot be set to 30: nothing was read of it yet"):
        shop.source(cursor={"column": "id"}).rewind(30)
    shop.put((4, 40, "as it was"))
    shop.pull(cursor=cursor)
    shop.source(cursor=cursor).rewind(30)
    shop.pull(cursor=cursor)
    assert [(1, True), (1, True), (2, True), (3, False), (4, True)] == ids(shop)


def test_another_cursor_begins_anew(shop: Shop) -> None:
    pulled(shop)
    shop.source(cursor=CURSOR).rewind(20)
    shop.pull(cursor=CURSOR)
    other = {"column": "id"}

    with pytest.raises(
        SourceError,
        match=r"source 'orders' was read by the cursor 'at' up to 40, not by 'id'; go back to that, or reset the source",
    ):
        shop.pull(cursor=other)
    assert 3 == len(shop.source(cursor=other).rewind())
    assert 4 == shop.pull(cursor=other)
    assert 0 == shop.pull(cursor=other)
    assert [(n, True) for n in range(1, 5)] == ids(shop)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_going_back_may_end_at_every_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: bool) -> None:
    for fine in range(30):
        root = tmp_path / str(fine)
        root.mkdir()
        shop = numbered(root)
        pulled(shop)
        corrected(shop)
        beaten = Lake(root / "lake")
        failing = Failing(beaten.fs, fine, after=after)
        beaten.__dict__["_files"] = (failing, str(root / "lake"))
        source = shop.source(cursor=CURSOR)
        source.attach(Spool(beaten, "made", "orders"))
        with monkeypatch.context() as patched, suppress(Killed):
            patched.setattr(spool_module.os, "link", failing.wrapped(os.link))
            patched.setattr(spool_module.os, "remove", failing.wrapped(os.remove))
            source.rewind(20)
            source.fetch()
        untouched = [(n, True) for n in range(1, 5)]
        assert ids(shop) in (untouched, [(1, True), (2, False), (3, False), (4, False)])

        shop.source(cursor=CURSOR).rewind(20)
        shop.pull(cursor=CURSOR)
        assert [(1, True), (2, False), (3, False), (4, False)] == ids(shop)
        if not failing.failed:
            assert fine >= 6
            return
    pytest.fail("it never came to an end")


STEPS = st.lists(
    st.tuples(st.sampled_from(["insert", "update", "pull", "rewind", "reset"]), st.integers(0, 9)), max_size=9
)


@given(STEPS)
@settings(max_examples=15, deadline=None)
def test_after_a_reset_the_table_is_what_one_pull_would_have_given(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    shop, following = numbered(tmp_path_factory.mktemp("shop")), 0
    for now, (what, which) in enumerate(steps):
        if what == "insert":
            following += 1
            shop.put((following, now, "new"))
        elif what == "update" and which < following:
            shop.put((which + 1, now, f"at {now}"))
        elif what == "pull":
            shop.pull(cursor=CURSOR)
        elif what == "reset":
            shop.source(cursor=CURSOR).rewind()
        elif what == "rewind":
            with suppress(SourceError):
                shop.source(cursor=CURSOR).rewind(which)
    shop.source(cursor=CURSOR).rewind()
    shop.pull(cursor=CURSOR)
    shop.pull(lake="anew", cursor=CURSOR)
    columns = ("id", "at", "note")
    assert shop.held(*columns, lake="anew", cursor=CURSOR) == shop.held(*columns, cursor=CURSOR)


def test_a_hundredth_record_knows_what_was_cut(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_module, "_WHOLE", 2)
    for n in range(1, 8):
        shop.put((n, 10 * n, f"as it was {n}"))
        shop.pull(cursor=CURSOR)
        if n in (3, 4):
            shop.source(cursor=CURSOR).rewind(10 * n - 10)

    assert [(n, True) for n in range(1, 8)] == ids(shop)
