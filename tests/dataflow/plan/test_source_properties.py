"""Whatever is done to a folder, what is landed is what a dictionary says."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow.errors import SourceUnavailable
from tests.dataflow.plan.delivered import Delivered

names = st.sampled_from(["a.csv", "b.csv", "c.csv"])
contents = st.sampled_from(["v\n1\n", "v\n2\n", "v\n22\n"])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("write"), names, contents),
        st.tuples(st.just("touch"), names, st.just("")),
        st.tuples(st.just("delete"), names, st.just("")),
        st.tuples(st.just("rename"), names, names),
        st.tuples(st.just("mark"), names, st.just("")),
        st.tuples(st.just("run"), st.just(""), st.just("")),
    ),
    max_size=14,
)


def step(folder: Delivered, kind: str, name: str, other: str) -> None:
    path = folder.folder / name
    if kind == "write":
        folder.write(name, other)
    elif kind == "mark":
        folder.mark(name)
    elif path.is_file() and kind == "touch":
        folder.write(name, path.read_text())
    elif path.is_file() and kind == "delete":
        path.unlink()
    elif path.is_file() and kind == "rename":
        folder.write(other, path.read_text())
        if other != name:
            path.unlink()


def there(folder: Delivered) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.folder.glob("*.csv")}


@settings(max_examples=50)
@given(steps, st.sampled_from(["auto", "modified", "content"]), st.sampled_from(["keep", "delete"]))
def test_what_is_landed_is_what_is_there(done: list[tuple[str, str, str]], detect: str, removed: str) -> None:
    with tempfile.TemporaryDirectory() as root:
        folder = Delivered(Path(root), {"detect": detect, "removed": removed})
        expected: dict[str, str] = {}
        for kind, name, other in [*done, ("run", "", "")]:
            if kind != "run":
                step(folder, kind, name, other)
                continue
            now = there(folder)
            unbelieved = removed == "delete" and expected and not expected.keys() & now.keys()
            if not now or unbelieved:
                try:
                    folder.run()
                    raise AssertionError("an empty folder, or all files gone")
                except SourceUnavailable:
                    continue
            folder.run()
            expected = now if removed == "delete" else expected | now
            assert expected == folder.landed
            assert "skip" == folder.run().action, "landing again is landing nothing"
