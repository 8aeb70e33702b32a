"""Which files of a table a batch takes out: those of the units that it writes anew or drops."""

from __future__ import annotations

from collections.abc import Collection

from dataflow.errors import LakeCorrupt
from dataflow.lake.lake import Snapshot
from dataflow.lake.naming import unit_id_of
from dataflow.model import Frozen


class Replacement(Frozen):
    """What a batch takes out of a table."""

    removes: tuple[str, ...]
    truncate: bool
    """Nothing of the table stays."""


def replacement(
    snapshot: Snapshot, replaced: Collection[str], published: Collection[str], *, also: Collection[str] = ()
) -> Replacement:
    """The files that go when the units ``replaced`` are written anew or dropped; ``published`` are those that have rows.

    Rows of a unit are found by the names of its files. Another program that rearranges the table's files (native
    compaction does) blurs that: then all units go together, or none can. ``also`` are paths that go in any case.
    Errors: LakeCorrupt where a unit's rows can no more be told from those that stay.
    """
    active = [file.path for file in snapshot.files]
    if set(published) <= set(replaced):
        return Replacement(removes=tuple(sorted(active)), truncate=True)
    foreign = [path for path in active if unit_id_of(path) is None]
    if foreign and not set(published).isdisjoint(replaced):
        table = snapshot.version.table
        raise LakeCorrupt(
            f"table {table!r}: another program wrote or rearranged {len(foreign)} of its files ({foreign[0]}), so that the rows that this batch "
            f"replaces cannot be told from the others; nothing is published. Run with --full to write the table anew, or restore it to a "
            f"version from before: deltalake.DeltaTable({snapshot.version.uri!r}).restore(version)",
            table=table,
            files=foreign,
        )
    removes = {path for path in active if unit_id_of(path) in replaced} | set(also)
    return Replacement(removes=tuple(sorted(removes)), truncate=len(removes) == len(active))
