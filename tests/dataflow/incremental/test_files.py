"""Which files are new, changed, touched or gone, and which ids they get."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from dataflow.incremental.files import Detection, detect
from dataflow.lake.state import FileRecord
from dataflow.model.values import Detect


@dataclass(frozen=True)
class Delivered:
    """All that a listing needs to say of a file: no source, no model of ours."""

    name: str
    content: str
    modified_at: float = 1.0
    etag: str | None = None

    @property
    def size_bytes(self) -> int:
        return len(self.content)


def run(
    listed: list[Delivered],
    ledger: dict[str, FileRecord] | None = None,
    next_file_id: int = 1,
    by: Detect = "auto",
) -> tuple[Detection, list[str]]:
    hashed: list[str] = []

    def content_hash(file: Delivered) -> str:
        hashed.append(file.name)
        return f"hash of {file.content}"

    return detect("s", listed, ledger or {}, content_hash, next_file_id=next_file_id, by=by), hashed


def ledger_of(found: Detection) -> dict[str, FileRecord]:
    return {record.name: record for record in found.records}


def test_everything_is_new_at_first() -> None:
    found, hashed = run([Delivered("b", "x"), Delivered("a", "y")], next_file_id=5)

    assert ["b", "a"] == hashed
    assert [("b", 5, 5), ("a", 6, 6)] == [(r.name, r.file_id, r.first_id) for r in found.records]
    assert found.records == found.unrecorded
    assert ({"a", "b"}, set(), set()) == (found.new, found.changed, found.removed)


def test_what_has_size_and_time_as_before_is_not_read() -> None:
    listed = [Delivered("a", "x")]
    first, _ = run(listed)
    again, hashed = run(listed, ledger_of(first), next_file_id=2)

    assert ([], first.records, ()) == (hashed, again.records, again.unrecorded)
    assert (set(), set(), set()) == (again.new, again.changed, again.removed)


def test_a_file_that_was_only_touched_keeps_its_id_and_is_noted() -> None:
    first, _ = run([Delivered("a", "x")])
    again, hashed = run([Delivered("a", "x", modified_at=2.0)], ledger_of(first), next_file_id=2)

    assert ["a"] == hashed
    assert [(1, 2.0)] == [(r.file_id, r.modified_at) for r in again.unrecorded]
    assert (set(), set()) == (again.new, again.changed)


def test_new_content_gets_a_new_id_and_remembers_the_first() -> None:
    first, _ = run([Delivered("a", "x"), Delivered("b", "x")])
    again, _ = run(
        [Delivered("a", "y", 2.0), Delivered("b", "x"), Delivered("c", "z")], ledger_of(first), next_file_id=3
    )
    third, _ = run([Delivered("a", "yy")], ledger_of(again), next_file_id=5)

    assert [("a", 3, 1), ("b", 2, 2), ("c", 4, 4)] == [(r.name, r.file_id, r.first_id) for r in again.records]
    assert ({"c"}, {"a"}) == (again.new, again.changed)
    assert ["a", "c"] == [r.name for r in again.unrecorded]
    assert [("a", 5, 1)] == [(r.name, r.file_id, r.first_id) for r in third.records]
    assert {"b", "c"} == third.removed


def test_new_content_of_the_same_size_is_seen_by_its_time() -> None:
    first, _ = run([Delivered("a", "x")])
    again, _ = run([Delivered("a", "y", 2.0)], ledger_of(first), next_file_id=2)

    assert {"a"} == again.changed


def test_a_file_that_is_gone_is_removed_and_comes_back_as_itself() -> None:
    first, _ = run([Delivered("a", "x"), Delivered("b", "x")])
    ledger = ledger_of(first)
    without, _ = run([Delivered("b", "x")], ledger, next_file_id=3)
    back, hashed = run([Delivered("a", "x"), Delivered("b", "x")], ledger, next_file_id=3)

    assert {"a"} == without.removed
    assert ([], ()) == (hashed, back.unrecorded)


def test_the_same_content_under_two_names_is_two_files() -> None:
    found, _ = run([Delivered("a", "x"), Delivered("b", "x")])

    assert 2 == len({r.file_id for r in found.records})


def test_by_size_and_time_nothing_is_read() -> None:
    listed = [Delivered("a", "x"), Delivered("b", "x")]
    first, hashed = run(listed, by="modified")
    again, hashed_again = run(listed, ledger_of(first), 3, "modified")
    touched, hashed_touched = run([Delivered("a", "x", 2.0), Delivered("b", "xy")], ledger_of(first), 3, "modified")

    assert [] == hashed == hashed_again == hashed_touched
    assert ((), set()) == (again.unrecorded, again.changed)
    assert {"a", "b"} == touched.changed, "who goes by time takes a touched file for a changed one"
    assert [3, 4] == [record.file_id for record in touched.records]


def test_by_etag_nothing_is_read_and_times_do_not_matter() -> None:
    first, _ = run([Delivered("a", "x", etag="1"), Delivered("b", "x", etag="1")], by="etag")
    again, hashed = run(
        [Delivered("a", "x", 2.0, etag="1"), Delivered("b", "x", etag="2")], ledger_of(first), 3, "etag"
    )

    assert [] == hashed
    assert ({"b"}, ["a", "b"]) == (again.changed, [record.name for record in again.unrecorded])
    assert [1, 3] == [record.file_id for record in again.records]
    assert ["etag:1", "etag:2"] == [record.content_hash for record in again.records]


def test_where_there_is_no_etag_the_content_tells() -> None:
    first, hashed = run([Delivered("a", "x")], by="etag")
    again, hashed_again = run([Delivered("a", "y", 2.0)], ledger_of(first), 2, "etag")

    assert ["a"] == hashed == hashed_again
    assert {"a"} == again.changed


def test_by_content_every_file_is_read() -> None:
    listed = [Delivered("a", "x"), Delivered("b", "x")]
    first, _ = run(listed, by="content")
    again, hashed = run([Delivered("a", "y"), Delivered("b", "x")], ledger_of(first), 3, "content")

    assert ["a", "b"] == hashed
    assert {"a"} == again.changed, "with the size and the time that it had"


def test_an_etag_gives_away_what_size_and_time_hide() -> None:
    first, _ = run([Delivered("a", "x", etag="1"), Delivered("b", "x", etag="1")])
    again, hashed = run([Delivered("a", "y", etag="2"), Delivered("b", "x", etag="2")], ledger_of(first), 3)

    assert ["a", "b"] == hashed
    assert ({"a"}, ["a", "b"]) == (again.changed, [record.name for record in again.unrecorded])


ways = st.sampled_from(["auto", "modified", "etag", "content"])


@given(ways, ways)
def test_another_way_of_looking_lands_nothing_again(before: Detect, after: Detect) -> None:
    listed = [Delivered("a", "x", etag="1"), Delivered("b", "y")]
    first, _ = run(listed, by=before)
    again, _ = run(listed, ledger_of(first), 3, after)

    # Who reads every file finds another name for its content where none was read before.
    renamed = {"a": before in ("modified", "etag"), "b": before == "modified"}
    expected = {name for name, other in renamed.items() if after == "content" and other}
    assert expected == again.changed


@given(st.sampled_from(["auto", "content"]))
def test_an_etag_is_noted_when_it_is_first_seen(by: Detect) -> None:
    first, _ = run([Delivered("a", "x")], by=by)
    again, _ = run([Delivered("a", "x", etag="1")], ledger_of(first), 2, by)
    third, hashed = run([Delivered("a", "x", 3.0, etag="1")], ledger_of(again), 2, "etag")

    assert ["1"] == [record.etag for record in again.unrecorded]
    assert (set(), set(), []) == (again.changed, third.changed, hashed)


names = st.sampled_from("abcd")
listings = st.lists(st.builds(Delivered, names, st.text("xy", max_size=2), st.sampled_from([1.0, 2.0])), max_size=6)


@given(st.lists(listings, max_size=5))
def test_ids_are_never_reused_whatever_is_listed(deliveries: list[list[Delivered]]) -> None:
    ledger: dict[str, FileRecord] = {}
    given_ids: dict[int, tuple[str, str]] = {}
    following = 1
    for listed in deliveries:
        found, _ = run(listed, ledger, following)
        for record in found.records:
            assert (record.name, record.content_hash) == given_ids.setdefault(
                record.file_id, (record.name, record.content_hash)
            )
            assert record.first_id <= record.file_id
        assert len(listed) == len(found.records)
        assert found.removed == set(ledger) - {file.name for file in listed}
        ledger |= {record.name: record for record in found.unrecorded}
        following = max([following, *(record.file_id + 1 for record in found.records)])
