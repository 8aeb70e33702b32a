"""What must be true of a lake, whatever happened to the runs before; nothing here asks the engine."""

from __future__ import annotations

import base64
import json
import os
import uuid
from collections import defaultdict
from pathlib import Path
from urllib.parse import unquote

import polars as pl
from deltalake import DeltaTable

from dataflow.lake.journal import Journal
from dataflow.lake.lake import Lake
from dataflow.lake.lease import read_state
from dataflow.lake.state import Intent, Judgement
from tests.faults.harness import Case

OF_THE_RUN = (
    "_batch_id",
    "_ingested_at",
    "_quarantine_id",
    "_quarantined_at",
    "_dropped_at",
    "_repaired_at",
    "_replayed_at",
    "_replayed_in",
)
"""Columns that say which run wrote a row, and when."""


_KINDS = ("*.parquet", "deletion_vector_*.bin")


_Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
_FROM_Z85 = str.maketrans(_Z85, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~")


def tables(lake: Path) -> list[str]:
    return sorted(p.name for p in lake.iterdir() if (p / "_delta_log").is_dir() and not p.name.startswith("_"))


def rows(lake: Path, table: str) -> pl.DataFrame:
    """All rows of a table, read past our code, in an order of their own."""
    handle = DeltaTable(str(lake / table))
    living = {row["filepath"]: row["selection_vector"] for row in pl.DataFrame(handle.deletion_vectors()).to_dicts()}
    if not (uris := handle.file_uris()):
        return pl.DataFrame()
    return ordered(pl.concat([_living(uri, living) for uri in uris], how="diagonal"))


def ordered(frame: pl.DataFrame) -> pl.DataFrame:
    """Rows without what says which run wrote them, in an order of their own."""
    if "_source_file" in frame.columns:
        # What was pulled is in a file whose name says which attempt it was.
        frame = frame.with_columns(pl.col("_source_file").str.replace(r"^(_spool/.*/\d+)-[0-9a-f]{8}-", "$1-"))
    frame = frame.drop(*OF_THE_RUN, strict=False).select(sorted(set(frame.columns) - {*OF_THE_RUN}))
    return frame.sort([c for c, t in frame.schema.items() if not t.is_nested()], nulls_last=True)


def _living(uri: str, living: dict[str, list[bool]]) -> pl.DataFrame:
    """The rows of a file that no deletion vector marks as dead; a vector may end with the last one that it marks."""
    frame = pl.read_parquet(uri, hive_partitioning=False, glob=False)
    kept = next((keep for file, keep in living.items() if unquote(file).endswith(unquote(uri))), [])
    return frame.filter(pl.Series([*kept, *[True] * (frame.height - len(kept))], dtype=pl.Boolean))


def contents(lake: Path) -> dict[str, pl.DataFrame]:
    """Every table with rows: columns of the run apart, row ids included."""
    found = {table: rows(lake, table) for table in tables(lake)}
    return {table: frame for table, frame in found.items() if frame.height}


def assert_equal(expected: dict[str, pl.DataFrame], lake: Path) -> None:
    got = contents(lake)
    assert sorted(expected) == sorted(got)
    for table, frame in expected.items():
        assert frame.schema == got[table].schema, table
        assert frame.height == got[table].height, f"{table}: {frame.height} rows expected, {got[table].height} found"
        assert frame.equals(got[table]), f"{table}: rows differ"


def assert_sound(case: Case) -> None:
    """No orphans, no open ends, and books that balance."""
    lake = Lake(case.lake)
    state = read_state(lake, case.pipeline)
    assert {} == state.intents
    assert () == state.unswept
    assert state.lease is not None
    assert state.lease.released
    assert state.lease.clean
    assert {} == orphans(case.lake)
    assert not [p for p in (case.lake / "_staged").rglob("*") if p.is_file()]
    heads = {name: DeltaTable(str(case.lake / name)).version() for name in case.workflow().stages}
    assert heads == state.release
    _assert_books(case, lake)
    _assert_history(lake)


def orphans(lake: Path) -> dict[str, list[str]]:
    """Data files that no version of their table names."""
    found: dict[str, list[str]] = {}
    for table in tables(lake):
        on_disk = {str(p.relative_to(lake / table)) for kind in _KINDS for p in (lake / table).rglob(kind)}
        on_disk = {p for p in on_disk if not p.startswith("_delta_log")}
        if left := sorted(on_disk - _logged(lake / table)):
            found[table] = left
    stray = [p.name for p in lake.iterdir() if p.name not in tables(lake) and any(p.rglob("*.parquet"))]
    return found | {name: ["no table at all"] for name in stray if not name.startswith("_")}


def _logged(table: Path) -> set[str]:
    named: set[str] = set()
    # Files that only a log names which was set aside stay, in case somebody can still read it.
    for commit in table.glob("_delta_log*/*.json"):
        for line in commit.read_text().split("\n"):
            if line.startswith("{") and (change := (action := json.loads(line)).get("add") or action.get("remove")):
                named.add(unquote(change["path"]))
                if (vector := change.get("deletionVector")) and vector["storageType"] == "u":
                    named.add(_vector_path(vector["pathOrInlineDv"]))
    return named


def _vector_path(text: str) -> str:
    """Where a vector lies, as the Delta protocol says: a prefix, and 20 characters of Z85 that are a UUID."""
    name = uuid.UUID(bytes=base64.b85decode(text[-20:].translate(_FROM_Z85)))
    return f"{text[:-20]}/deletion_vector_{name}.bin".lstrip("/")


def _assert_history(lake: Lake) -> None:
    """Every verdict that the journal tells of is in the history once."""
    entries = Journal(lake).entries(archived=True)
    intents = {e.batch_id: Intent.model_validate_json(e.body) for e in entries if e.kind == "intent"}
    told = [(str(e.batch_id), True, intents[e.batch_id].verdict) for e in entries if e.kind == "published"]
    refused = [Judgement.model_validate_json(e.body) for e in entries if e.kind == "judged"]
    told += [(judgement.batch_id, False, judgement.verdict) for judgement in refused]
    judged = sorted((batch, published) for batch, published, verdict in told if verdict and verdict.results)
    rules = sorted((batch, r.rule) for batch, _, verdict in told if verdict for r in verdict.results)
    if judged:
        batches = pl.read_delta(lake.table_uri("_quality_batches")).select("batch_id", "published").rows()
        assert judged == sorted(batches)
        assert rules == sorted(pl.read_delta(lake.table_uri("_quality_rules")).select("batch_id", "rule").rows())
    for table in ("_quality_batches", "_quality_rules"):
        left = {p.name for p in Path(lake.path(table)).glob("*.parquet")} - _logged(Path(lake.path(table)))
        assert set() == left, table


def _assert_books(case: Case, lake: Lake) -> None:
    """Published batches, added up from the journal, are what lies in the tables."""
    entries = Journal(lake).entries(archived=True)
    intents = {str(e.batch_id): Intent.model_validate_json(e.body) for e in entries if e.kind == "intent"}
    published = [str(e.batch_id) for e in entries if e.kind == "published"]
    assert sorted(set(published)) == sorted(published), "a batch is published twice"
    assert set(published) == set(intents)
    held: dict[str, dict[str, int]] = defaultdict(dict)
    known: dict[tuple[str, str], int] = {}
    """How many rows of a file are dead."""
    for batch in published:
        intent = intents[batch]
        assert None is intent.counts.imbalance
        for change in intent.changes:
            held[change.table].update({f.path: f.rows for f in change.adds})
            for path in change.removes:
                del held[change.table][path]
            back = {f.path for f in change.adds}
            for file, dead in ((d.path, d.vector.cardinality) for d in change.deletes if d.path not in back):
                held[change.table][file] -= dead - known.get((change.table, file), 0)
            known.update({(change.table, d.path): d.vector.cardinality for d in change.deletes})
        new = sum(f.rows for c in intent.changes for f in c.adds if f.role == "new")
        told = f"{intent.stage}__changes"
        sides = [f for c in intent.changes if c.table != told for f in c.adds if f.role in ("side", "broken")]
        aside = sum(file.rows for file in sides)
        counts = intent.counts
        assert counts.published == new
        sent_again = counts.read if intent.replays else 0
        ends = counts.quarantined + counts.dropped + counts.late + counts.deduplicated
        assert ends + counts.repaired + sent_again == aside
    for table in tables(case.lake):
        names = {os.path.relpath(u, case.lake / table) for u in DeltaTable(str(case.lake / table)).file_uris()}
        if any((case.lake / table).glob("_delta_log.broken*")):
            # What the table had before is in the books, and no more in it.
            held[table] = {name: count for name, count in held[table].items() if name in names}
        assert names == set(held[table]), table
        assert sum(held[table].values()) == rows(case.lake, table).height, table
