"""However deliveries come and are corrected, increments come to what one clean full run comes to."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.dataflow.engine.shelves import Shelves

ROW = st.builds(
    "{},{},{},2026-01-{:02}T10,{}".format,
    st.integers(1, 99),
    st.sampled_from(["x", "y", "z", "w"]),
    st.sampled_from(["a", "b", "c", ""]),
    st.integers(1, 4),
    st.integers(-1, 9),
)
DELIVERY = st.tuples(st.integers(1, 3), st.lists(ROW, min_size=1, max_size=5))
"""The number of a file, new or corrected, and its rows."""
LABELS = st.lists(st.sampled_from(["Apples", "Books"]), min_size=2, max_size=2)


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    batches=st.lists(st.lists(DELIVERY, min_size=1, max_size=2), min_size=2, max_size=3),
    labels=st.lists(LABELS, max_size=1),
)
def test_any_batches_come_to_the_whole(batches: list[list[tuple[int, list[str]]]], labels: list[list[str]]):
    folder = Path(tempfile.mkdtemp(prefix="increments-"))
    try:
        shelves = Shelves(folder)
        shelves.labels(["a,Apples", "b,Books"])
        for number, deliveries in enumerate(batches):
            for file, rows in deliveries:
                shelves.deliver(file, rows)
            if number and labels:
                shelves.labels([f"{shelf},{label}" for shelf, label in zip("ab", labels[0], strict=True)])
            assert shelves.run(shelves.pipeline()).state in ("completed", "skipped")
        assert shelves.clean().told() == shelves.told()
        assert "skipped" == shelves.run(shelves.pipeline()).state
    finally:
        shutil.rmtree(folder)
