"""Files whose columns are not those of their contract."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from dataflow.errors import SchemaDrift
from dataflow.sources.files.fit import Terms
from dataflow.sources.source import BROKEN, LINE, RAW, RESCUED

_MOST_TOLD = 10
_LONG_NAME = 60


def check_columns(found: Sequence[str], terms: Terms, separator: str = ",") -> None:
    """Errors: SchemaDrift where the contract refuses these columns, or knows none of them."""
    due = [c for c in terms.schema if c != RESCUED and c not in terms.constants]
    if twice := [c for c in terms.constants if c in found]:
        raise _drift(terms, f"has a column {twice[0]!r}, which `from_name` takes from its name", [], twice)
    if taken := [c for c in (BROKEN, RAW, LINE) if c in found]:
        raise _drift(terms, f"has a column {taken[0]!r}, a name that dataflow keeps for itself", [], taken)
    missing = [c for c in due if c not in set(found)]
    extra = [c for c in found if c not in terms.schema]
    if not missing and not extra:
        return
    if terms.mode != "freeze" and len(missing) < len(due):
        return
    drift = [f"lacks {_told(c)}{_renamed(c, extra)}" for c in missing[:_MOST_TOLD]]
    drift += [f"has an unexpected {_told(c)}" for c in extra[:_MOST_TOLD]]
    if more := len(missing) + len(extra) - len(drift):
        drift.append(f"differs in {more:,} columns more")
    if len(found) == 1 and (other := next((c for c in ";\t|," if c in found[0] and c != separator), None)):
        drift[-1] += f" (is its `separator` {other!r}?)"
    raise _drift(terms, " and ".join(drift), missing, extra)


def _drift(terms: Terms, how: str, missing: Sequence[str], extra: Sequence[str]) -> SchemaDrift:
    return SchemaDrift(
        f"source {terms.source!r}: {terms.file} {how}; mend the file, or change `columns` of the source",
        source=terms.source,
        file=terms.file,
        missing=list(missing),
        extra=list(extra),
    )


def _told(column: str) -> str:
    return repr(column if len(column) <= _LONG_NAME else f"{column[:_LONG_NAME]}…")


def _renamed(column: str, extra: Sequence[str]) -> str:
    near = difflib.get_close_matches(column, extra[:1000], n=1)
    return f" (renamed to {_told(near[0])}?)" if near else ""
